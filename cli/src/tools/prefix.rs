//! A program's own prefix: the folder above its `bin` that holds all that belongs to it.
//!
//! It must never be home, nor a folder of home's that belongs to more than one program.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What tells a prefix from another folder.
#[derive(Clone, Copy, Debug)]
pub struct Prefixes<'a> {
    /// The human's home.
    pub home: &'a Path,
    /// One of these lies beside `bin`.
    pub beside: &'a [String],
    /// Below home, never a prefix.
    pub never: &'a [String],
}

impl Prefixes<'_> {
    /// The prefix of a folder of programs.
    pub fn of_folder(&self, folder: &Path) -> Option<PathBuf> {
        let is_bin = folder
            .file_name()
            .is_some_and(|name| name == "bin" || name == "sbin");
        let prefix = folder.parent().filter(|_| is_bin)?;
        let own = self.beside.iter().any(|name| prefix.join(name).exists());
        let deep = prefix.components().count() > 2;
        let shared = self.never.iter().any(|name| self.home.join(name) == prefix)
            || self.home.starts_with(prefix);
        (own && deep && !shared).then(|| prefix.to_owned())
    }

    /// The prefix of a program, or the program alone.
    pub fn of_program(&self, program: &Path) -> Option<PathBuf> {
        // A package's program: all of the package's installation, which its own modules lie in.
        let modules = program
            .ancestors()
            .filter(|folder| {
                folder
                    .file_name()
                    .is_some_and(|name| name == "node_modules")
            })
            .last();
        if let Some(modules) = modules {
            return Some(modules.to_owned());
        }
        let own = program.parent().and_then(|folder| self.of_folder(folder));
        Some(own.unwrap_or_else(|| program.to_owned()))
    }
}

/// Whether this is a file that somebody may run.
pub fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}
