//! A package's script: what its interpreter is told, and what package it is the command of.
//!
//! Read from the store's copy, so it is as measured as the script. It must never believe what whoever
//! asks says of a package, nor follow a link to read about it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use holdfast_protocol::measured::PackageName;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use serde::Deserialize;

use super::selection::{InvalidPart, components};
use crate::measure::{self, MeasureError};

/// The largest `package.json` that is read, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// The script cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Whoever asks names no plain path.
    #[error(transparent)]
    Part(#[from] InvalidPart),
    /// The package has no such file.
    #[error("the package has no script `{script}`")]
    Missing {
        /// The script.
        script: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Its first line is not one.
    #[error("the script's first line cannot be understood")]
    FirstLine(#[source] MeasureError),
}

/// A script of a measured package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What its first line gives the interpreter before the script.
    pub options: Vec<String>,
    /// The package that it is a command of, by that package's own word.
    pub command_of: Option<PackageName>,
}

/// What of a `package.json` counts.
#[derive(Deserialize)]
struct Manifest {
    name: Option<PackageName>,
    #[serde(default)]
    bin: Option<Bin>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bin {
    One(String),
    Several(std::collections::BTreeMap<String, String>),
}

impl Manifest {
    /// Whether the file at `path`, relative to the manifest's folder, is a command of the package.
    fn has_command(&self, path: &str) -> bool {
        let is = |bin: &String| bin.strip_prefix("./").unwrap_or(bin) == path;
        match &self.bin {
            Some(Bin::One(bin)) => is(bin),
            Some(Bin::Several(bins)) => bins.values().any(is),
            None => false,
        }
    }
}

/// Looks at a script of the package at `root`; an empty path names a root that is the script itself.
///
/// # Errors
/// [`ScriptError`].
pub fn script(root: &OwnedFd, path: &str) -> Result<Script, ScriptError> {
    let missing = |source: io::Error| ScriptError::Missing {
        script: path.chars().take(64).collect(),
        source,
    };
    if path.is_empty() {
        let file = root.try_clone().map_err(missing)?;
        return Ok(Script {
            options: options(&file.into())?,
            command_of: None,
        });
    }
    let components = components(path)?;
    let file = below(root, path).map_err(|errno| missing(errno.into()))?;
    if !file.metadata().map_err(missing)?.is_file() {
        return Err(missing(Errno::ACCESS.into()));
    }
    Ok(Script {
        options: options(&file)?,
        command_of: command_of(root, &components),
    })
}

fn options(file: &File) -> Result<Vec<String>, ScriptError> {
    let line = measure::shebang(file).map_err(ScriptError::FirstLine)?;
    Ok(line.map(|line| line.options()).unwrap_or_default())
}

/// The nearest package that has a name, if it says that this script is a command of its.
fn command_of(root: &OwnedFd, components: &[&str]) -> Option<PackageName> {
    for depth in (0..components.len()).rev() {
        let folder = components.get(..depth)?.join("/");
        let place = match folder.as_str() {
            "" => "package.json".to_owned(),
            folder => format!("{folder}/package.json"),
        };
        let Some(manifest) = manifest(root, &place) else {
            continue;
        };
        if manifest.name.is_some() {
            let path = components.get(depth..)?.join("/");
            return manifest
                .name
                .clone()
                .filter(|_| manifest.has_command(&path));
        }
    }
    None
}

fn manifest(root: &OwnedFd, place: &str) -> Option<Manifest> {
    let mut text = Vec::new();
    let file = below(root, place).ok()?;
    file.take(MAX_MANIFEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn below(root: &OwnedFd, path: &str) -> Result<File, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat2(root.as_fd(), path, flags, Mode::empty(), resolve)?.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::path::Path;

    use super::*;

    fn look(root: &Path, path: &str) -> Result<Script, ScriptError> {
        script(&File::open(root).unwrap().into(), path)
    }

    fn write(root: &Path, path: &str, content: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), content).unwrap();
    }

    #[test]
    fn a_script_is_the_command_of_the_nearest_package_with_a_name_that_says_so() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let manifest = r#"{"name": "@openai/codex", "bin": {"codex": "./bin/codex.js"}}"#;
        write(root, "@openai/codex/package.json", manifest);
        write(
            root,
            "@openai/codex/bin/package.json",
            r#"{"type": "module"}"#,
        );
        write(root, "@openai/codex/bin/codex.js", "#!/usr/bin/env node\n");
        write(root, "@openai/codex/bin/other.js", "#!/usr/bin/env node\n");
        write(
            root,
            "@openai/codex/sub/package.json",
            r#"{"name": "sub", "bin": "x.js"}"#,
        );
        write(root, "@openai/codex/sub/x.js", "");
        write(root, "loose.js", "");
        let of = |path: &str| {
            let script = look(root, path).unwrap();
            script.command_of.map(|name| name.to_string())
        };
        assert_eq!(of("@openai/codex/bin/codex.js").unwrap(), "@openai/codex");
        assert_eq!(of("@openai/codex/bin/other.js"), None);
        assert_eq!(of("@openai/codex/sub/x.js").unwrap(), "sub");
        assert_eq!(of("loose.js"), None);
    }

    #[test]
    fn what_is_no_file_of_the_package_is_no_script() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        write(&root, "dir/x.js", "");
        write(scratch.path(), "outside.js", "");
        std::os::unix::fs::symlink("../outside.js", root.join("link.js")).unwrap();
        for bad in [
            "link.js",
            "../outside.js",
            "dir",
            "nothing",
            "/etc/passwd",
            "dir/",
        ] {
            assert!(look(&root, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn manifests_that_are_none_name_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        for (index, bad) in ["", "[]", "{\"name\": \"../x\"}", "{\"name\": 7}", "{"]
            .iter()
            .enumerate()
        {
            let root = scratch.path().join(index.to_string());
            write(&root, "package.json", bad);
            write(&root, "x.js", "");
            assert_eq!(look(&root, "x.js").unwrap().command_of, None, "{bad}");
        }
    }
}
