//! What the human's tools need in a session: found by looking at PATH, with a table of known tools.
//!
//! Everything found is lent for reading. It must never name a place because something in it asks for
//! that: only PATH, the table, and links out of PATH's folders count.

mod prefix;
mod versions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use holdfast_protocol::run::MAX_TREES;
use holdfast_protocol::run::toolchains::{Root, TABLE, Toolchain, Toolchains};

use self::prefix::Prefixes;
use crate::outcome::Problem;

/// What every session has anyway.
const SYSTEM: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/nix"];
/// What a session has of its own, whatever the host has there.
const RESERVED: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// Holdfast's own folder below a home; `holdfast connect` puts commands there.
const OWN: &str = ".local/share/holdfast";
/// How many places tools may lie in: others want some of what a session may be lent.
const MAX_TOOLS: usize = MAX_TREES / 2;
/// How many links out of one folder are followed.
const MAX_LINKS: usize = 512;
/// Where a project keeps a Python of its own, which leads to the one that made it.
const IN_PROJECT: [&str; 2] = [".venv/bin", "venv/bin"];

/// What a session gets for its tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// Folders that are searched for programs, in order.
    pub path: Vec<PathBuf>,
    /// Folders and files to be lent for reading, none inside another.
    pub trees: Vec<PathBuf>,
}

/// Where to look.
pub struct Ground<'a> {
    /// The human's home.
    pub home: &'a Path,
    /// The project, which a session has anyway.
    pub project: &'a Path,
    /// The human's environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Ground<'_> {
    /// Finds what the programs on PATH need.
    pub fn probe(&self) -> Result<Tools, Problem> {
        let table: Toolchains = toml::from_str(TABLE).map_err(|error| {
            Problem::failed(
                format!("the table of tools cannot be read: {error}"),
                "install Holdfast again",
            )
        })?;
        let mut tools = Tools::default();
        let path = (self.variable)("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .filter_map(|folder| folder.canonicalize().ok())
            .filter(|folder| folder.is_dir() && !is_system(folder) && !is_reserved(folder))
            // What makes bare commands sealed outside has no business inside.
            .filter(|folder| !folder.starts_with(self.home.join(OWN)));
        for folder in folders {
            if !tools.path.contains(&folder) {
                tools.path.push(folder);
            }
        }
        let prefixes = Prefixes {
            home: self.home,
            beside: &table.beside,
            never: &table.never,
        };
        let mut found = Vec::new();
        for folder in &tools.path {
            let own = prefixes.of_folder(folder);
            found.push(own.unwrap_or_else(|| folder.clone()));
            found.extend(
                table
                    .toolchain
                    .iter()
                    .flat_map(|tool| self.brings(tool, folder)),
            );
            found.extend(links(folder).filter_map(|program| prefixes.of_program(&program)));
        }
        for folder in IN_PROJECT.map(|folder| self.project.join(folder)) {
            found.extend(links(&folder).filter_map(|program| prefixes.of_program(&program)));
        }
        let named = table.folders.iter();
        found.extend(named.filter_map(|name| self.named(name)));
        tools.trees = self.outermost(found);
        Ok(tools)
    }

    /// What a tool needs, where `folder`, which is on PATH, leads to it.
    fn brings(&self, tool: &Toolchain, folder: &Path) -> Vec<PathBuf> {
        let Some(root) = self.root(&tool.root) else {
            return Vec::new();
        };
        let shims = tool.shims.iter().filter_map(|shims| self.root(shims));
        if !folder.starts_with(&root) && !shims.into_iter().any(|shims| shims == folder) {
            return Vec::new();
        }
        let versions = versions::lent(self.home, &tool.name, &tool.versions);
        if tool.brings.is_empty() {
            return versions.chain([root]).collect();
        }
        let brought = tool.brings.iter().map(|name| root.join(name));
        // A link there could lead anywhere.
        let brought = brought.filter(|path| path.canonicalize().is_ok_and(|real| real == *path));
        versions.chain(brought).collect()
    }

    fn root(&self, root: &Root) -> Option<PathBuf> {
        let variable = root.variable.as_deref().and_then(self.variable);
        let named = variable
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let folder = named.unwrap_or_else(|| self.home.join(&root.home));
        let folder = match &root.below {
            Some(below) => folder.join(below),
            None => folder,
        };
        folder.canonicalize().ok().filter(|folder| folder.is_dir())
    }

    /// The folder that a tool's variable names.
    fn named(&self, variable: &str) -> Option<PathBuf> {
        let folder = (self.variable)(variable).map(PathBuf::from)?;
        let folder = folder.canonicalize().ok()?;
        folder.is_dir().then_some(folder)
    }

    /// What is not there anyway, and lies in nothing else that was found.
    fn outermost(&self, mut found: Vec<PathBuf>) -> Vec<PathBuf> {
        found.retain(|path| {
            !is_system(path)
                && !is_reserved(path)
                && !path.starts_with(self.project)
                && !self.home.starts_with(path)
        });
        found.sort();
        found.dedup();
        let mut trees: Vec<PathBuf> = Vec::new();
        for path in found {
            if !trees.iter().any(|outer| path.starts_with(outer)) {
                trees.push(path);
            }
        }
        if trees.len() > MAX_TOOLS {
            eprintln!(
                "holdfast: your tools lie in {} places; the session gets the first {MAX_TOOLS}",
                trees.len()
            );
            trees.truncate(MAX_TOOLS);
        }
        trees
    }
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

fn is_reserved(path: &Path) -> bool {
    RESERVED.iter().any(|own| path.starts_with(own))
}

/// The programs that links in `folder` lead to, elsewhere.
fn links(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let links = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .take(MAX_LINKS);
    let folder = folder.to_owned();
    links.filter_map(move |link| {
        let program = link.path().canonicalize().ok()?;
        let elsewhere = !program.starts_with(&folder) && !is_system(&program);
        (elsewhere && prefix::is_program(&program)).then_some(program)
    })
}

#[cfg(test)]
mod tests;
