//! Packages as npm, pnpm, yarn and bun lay them out: `node_modules` folders, nested or flat, with links.
//!
//! What a script needs is its own package and what that one depends on, found as Node.js finds it
//! (Node.js, "Loading from `node_modules` folders"). What no `package.json` names does not come along.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use holdfast_protocol::run::MAX_PARTS;
use serde::Deserialize;

/// The folder of packages.
const FOLDER: &str = "node_modules";
/// The largest `package.json` that is read, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// What of a `package.json` counts.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Manifest {
    name: Option<String>,
    dependencies: BTreeMap<String, serde_json::Value>,
    optional_dependencies: BTreeMap<String, serde_json::Value>,
    peer_dependencies: BTreeMap<String, serde_json::Value>,
}

/// The outermost folder of packages that the script lies in.
pub(super) fn packages(script: &Path) -> Option<PathBuf> {
    let folders = script.ancestors().filter(|folder| is_packages(folder));
    folders.last().map(Path::to_owned)
}

/// The package outside any such folder that the script lies in: a checkout, for instance.
pub(super) fn package(script: &Path) -> Option<PathBuf> {
    let mut folders = script.ancestors().skip(1);
    let named = |folder: &&Path| manifest(folder).is_some_and(|it| it.name.is_some());
    folders.find(named).map(Path::to_owned)
}

/// All that is in such a package but its history.
pub(super) fn files(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != ".git")
        .collect();
    names.sort();
    names.truncate(MAX_PARTS);
    names
}

/// What of the folder of packages `root` the script needs, and the link that it is called by.
pub(super) fn needed(root: &Path, script: &Path, name: &str) -> Vec<String> {
    let mut parts = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = own(script).into_iter().collect();
    let mut seen: BTreeSet<PathBuf> = waiting.iter().cloned().collect();
    while let Some(package) = waiting.pop() {
        parts.insert(package.clone());
        for found in dependencies(&package, root) {
            // pnpm's links lead to where a package really is, from where its own are found.
            let Ok(real) = found.canonicalize() else {
                continue;
            };
            if real != found {
                parts.insert(found);
            }
            if real.starts_with(root) && seen.len() < MAX_PARTS && seen.insert(real.clone()) {
                waiting.push(real);
            }
        }
    }
    let link = root.join(".bin").join(name);
    if link.canonicalize().is_ok_and(|real| real == script) {
        parts.insert(link);
    }
    let within = |part: PathBuf| Some(part.strip_prefix(root).ok()?.to_str()?.to_owned());
    parts
        .into_iter()
        .filter_map(within)
        .take(MAX_PARTS)
        .collect()
}

/// The package that the script is of: what lies directly in the innermost folder of packages.
fn own(script: &Path) -> Option<PathBuf> {
    let folder = script.ancestors().find(|folder| is_packages(folder))?;
    let mut within = script.strip_prefix(folder).ok()?.components();
    let first = within.next()?;
    let package = folder.join(first);
    if first.as_os_str().as_encoded_bytes().starts_with(b"@") {
        return Some(package.join(within.next()?));
    }
    Some(package)
}

/// Where a package's dependencies are, as far as they are installed below `root`.
fn dependencies(package: &Path, root: &Path) -> Vec<PathBuf> {
    let Some(manifest) = manifest(package) else {
        return Vec::new();
    };
    let all = manifest.dependencies.keys();
    let all = all.chain(manifest.optional_dependencies.keys());
    all.chain(manifest.peer_dependencies.keys())
        .filter(|name| is_name(name))
        .filter_map(|name| {
            let mut folders = package
                .ancestors()
                .filter(|folder| !is_packages(folder))
                .map(|folder| folder.join(FOLDER))
                .take_while(|folder| folder.starts_with(root));
            folders
                .find(|folder| folder.join(name).join("package.json").is_file())
                .map(|folder| folder.join(name))
        })
        .collect()
}

/// A dependency's name never leads elsewhere.
fn is_name(name: &str) -> bool {
    name.split('/').count() <= 2
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn is_packages(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == FOLDER)
}

fn manifest(folder: &Path) -> Option<Manifest> {
    let mut text = Vec::new();
    let file = std::fs::File::open(folder.join("package.json")).ok()?;
    file.take(MAX_MANIFEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
