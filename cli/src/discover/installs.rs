//! Agents that are installed: programs, packages, editors' extensions.
//!
//! It looks at names and at packages' own manifests; it must never run what it found.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::catalog::{Agent, Places};
use super::folder::Folder;
use super::words;
use crate::connect::shim;

/// The longest beginning of a program that is looked at for a shim's mark, in bytes.
const MARK: u64 = 512;

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Install {
    /// What it is.
    pub what: InstallKind,
    /// Where it is.
    #[serde(serialize_with = "super::lossy::path")]
    pub place: PathBuf,
    /// Its version, where the place says it.
    pub version: Option<String>,
}

/// What is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallKind {
    /// A program; by its name alone.
    Program,
    /// The shim of `holdfast connect`: what it starts is sealed.
    Shim,
    /// An npm package.
    NpmPackage,
    /// A Python tool.
    PythonTool,
    /// An editor's extension.
    Extension,
}

/// Where to look.
pub struct Around<'a> {
    /// The home.
    pub home: &'a Folder,
    /// The machine's own folders.
    pub system: &'a Folder,
    /// The folders of PATH.
    pub path: &'a [PathBuf],
    /// The usual places.
    pub places: &'a Places,
}

/// A package's manifest, as far as it matters.
#[derive(Deserialize)]
struct Manifest {
    version: Option<String>,
}

impl Around<'_> {
    /// All installations of one agent.
    pub fn installs(&self, agent: &Agent) -> Vec<Install> {
        let mut found = BTreeSet::new();
        let programs = self.folders(&self.places.programs);
        let on_path = self.path.iter().map(|folder| (self.home, folder.clone()));
        for (root, folder) in programs.into_iter().chain(on_path) {
            for name in &agent.programs {
                found.extend(program(root, &folder.join(name)));
            }
        }
        for (root, folder) in self.folders(&self.places.npm) {
            for name in &agent.npm {
                found.extend(package(root, &folder.join(name)));
            }
        }
        for (root, folder) in self.folders(&self.places.python) {
            for name in &agent.python {
                let place = folder.join(name);
                if root.has(&place) {
                    found.insert(at(InstallKind::PythonTool, root, &place, None));
                }
            }
        }
        for (root, folder) in self.folders(&self.places.extensions) {
            found.extend(extensions(root, &folder, &agent.extensions));
        }
        found.into_iter().collect()
    }

    fn folders(&self, patterns: &[String]) -> Vec<(&Folder, PathBuf)> {
        let matching = |pattern: &String| match pattern.strip_prefix('/') {
            Some(pattern) => (self.system, self.system.matching(pattern)),
            None => (self.home, self.home.matching(pattern)),
        };
        patterns
            .iter()
            .map(matching)
            .flat_map(|(root, paths)| paths.into_iter().map(move |path| (root, path)))
            .collect()
    }
}

fn program(root: &Folder, path: &Path) -> Option<Install> {
    if !root.is_program(path) {
        return None;
    }
    let beginning = root.beginning(path, MARK).unwrap_or_default();
    let what = if shim::is_marked(&beginning) {
        InstallKind::Shim
    } else {
        InstallKind::Program
    };
    Some(at(what, root, path, None))
}

fn package(root: &Folder, path: &Path) -> Option<Install> {
    let text = root.text(&path.join("package.json")).ok()??;
    let manifest: Manifest = serde_json::from_str(&text).ok()?;
    Some(at(InstallKind::NpmPackage, root, path, manifest.version))
}

/// `publisher.name-1.2.3` or a plugin's own name.
fn extensions(root: &Folder, folder: &Path, known: &[String]) -> Vec<Install> {
    if known.is_empty() {
        return Vec::new();
    }
    let found = |name: &OsStr| {
        let text = name.to_str()?.to_ascii_lowercase();
        let version = known.iter().find_map(|known| {
            let rest = text.strip_prefix(known.as_str())?;
            match rest.strip_prefix('-') {
                Some(version) => version
                    .starts_with(|c: char| c.is_ascii_digit())
                    .then(|| Some(version.to_owned())),
                None => rest.is_empty().then_some(None),
            }
        })?;
        let place = folder.join(name);
        Some(at(InstallKind::Extension, root, &place, version))
    };
    let names = root.names(folder);
    names.iter().filter_map(|name| found(name)).collect()
}

fn at(what: InstallKind, root: &Folder, path: &Path, version: Option<String>) -> Install {
    Install {
        what,
        place: root.place(path),
        version: version.map(|version| words::shown(&version)),
    }
}
