//! The files that a script runs from, as its package manager laid them out.
//!
//! Read as the human; the broker measures what is named here and believes nothing else of it. It must
//! never name more than the script needs: a folder of packages holds many that are not its own.

mod node;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use holdfast_protocol::run::RunPackage;

use super::{file_name, unusable};
use crate::outcome::Problem;

/// A package, opened.
#[derive(Debug)]
pub struct Package {
    /// How it is asked for.
    pub wanted: RunPackage,
    /// Its root.
    pub root: OwnedFd,
    /// What the interpreter itself needs beside it.
    pub needs: Vec<PathBuf>,
}

/// Whether a script of the project's own is measured like one from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InProject {
    /// It runs where it lies, as the project's tools expect.
    RunsInPlace,
    /// It is: somebody asked for the kind that it is.
    Measured,
}

/// What a script is run with, and where from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The script, links resolved.
    pub(super) script: &'a Path,
    /// What it was called.
    pub(super) name: &'a str,
    /// The interpreter, links resolved.
    pub(super) interpreter: &'a Path,
    /// What the interpreter was called.
    pub(super) called: &'a str,
    /// The project.
    pub(super) project: &'a Path,
    /// What becomes of a script within it.
    pub(super) in_project: InProject,
}

/// The package that the script runs from; `None` where it runs in place: a script of the project's, or
/// one of no package in a folder that every session is lent anyway.
pub(super) fn of(asked: Asked<'_>) -> Result<Option<Package>, Problem> {
    let of_project = asked.script.starts_with(asked.project);
    if of_project && asked.in_project == InProject::RunsInPlace {
        return Ok(None);
    }
    if let Some(environment) = python_environment(asked) {
        return open(asked, &environment, Vec::new()).map(Some);
    }
    if let Some(root) = node::packages(asked.script) {
        let parts = node::needed(&root, asked.script, asked.name);
        return open(asked, &root, parts).map(Some);
    }
    if of_project || is_system(asked.script) {
        return Ok(None);
    }
    match node::package(asked.script) {
        Some(root) => open(asked, &root, node::files(&root)).map(Some),
        None if is_on_path(asked.script) => Ok(None),
        None => open(asked, asked.script, Vec::new()).map(Some),
    }
}

fn open(asked: Asked<'_>, root: &Path, parts: Vec<String>) -> Result<Package, Problem> {
    // Opened for reading: whoever cannot list a folder cannot lend it.
    let file = std::fs::File::open(root).map_err(|error| unusable(root, &error))?;
    let within = |path: &Path| {
        let path = path.strip_prefix(root).ok()?.to_str()?;
        Some(path.to_owned())
    };
    let script = within(asked.script).ok_or_else(|| {
        Problem::usage(
            format!("`{}` is not a plain path", asked.script.display()),
            "install the program below a folder whose name is text",
        )
    })?;
    let own = root.join("bin/python");
    let own = (root.join("pyvenv.cfg").is_file() && own.exists()).then_some(own);
    let base = own.as_ref().and_then(|_| base(asked.interpreter));
    Ok(Package {
        wanted: RunPackage {
            name: plain(&file_name(root)),
            script,
            parts,
            interpreter: plain(asked.called),
            found_by: own.as_deref().and_then(within),
        },
        root: file.into(),
        needs: base.into_iter().collect(),
    })
}

/// The Python environment (PEP 405) whose command the script is.
fn python_environment(asked: Asked<'_>) -> Option<PathBuf> {
    let root = asked.script.parent()?.parent()?;
    let python = ["python", "pypy"]
        .iter()
        .any(|name| asked.called.starts_with(name));
    (python && root.join("pyvenv.cfg").is_file()).then(|| root.to_owned())
}

/// Where an interpreter that is not the system's has its own library: the prefix that it is installed in.
fn base(interpreter: &Path) -> Option<PathBuf> {
    let prefix = interpreter.parent()?.parent()?;
    let own = prefix.join("lib").is_dir() && !is_system(prefix);
    own.then(|| prefix.to_owned())
}

fn is_system(path: &Path) -> bool {
    ["/usr", "/bin", "/sbin", "/lib"]
        .iter()
        .any(|system| path.starts_with(system))
}

/// Whether the file lies in a folder that programs are looked for in: those are lent whole.
fn is_on_path(script: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).filter_map(|folder| folder.canonicalize().ok());
    folders.any(|folder| script.parent() == Some(&folder))
}

/// A name that a session can have: what does not fit is left out.
fn plain(name: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let plain: String = name.chars().filter(fits).take(64).collect();
    match plain.trim_start_matches('.') {
        "" => "package".to_owned(),
        plain => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests;
