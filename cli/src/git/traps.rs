//! What git takes for a repository within a project: `.git` in any folder, and folders that are git folders themselves.
//!
//! Whoever enters one, or whose prompt does, runs what its settings say. What a session made or changed is put under
//! another name, under which git does not see it; nothing is deleted, and nothing of it is read as git would.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use holdfast_proof::hash::sha256;
use serde::{Deserialize, Serialize};

/// The most entries of a project that are looked at, outermost first.
const MAX_ENTRIES: usize = 3_000_000;

/// The most that is read of one file of settings or one hook.
const MAX_FILE: u64 = 4 << 20;

/// The most hooks that are looked at in one folder.
const MAX_HOOKS: usize = 256;

/// What decides, in a git folder, which code git runs and where it looks further.
const DECIDING: [&str; 4] = ["config", "config.worktree", "commondir", "gitdir"];

/// What lay in a project at one time that git takes for a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// A fingerprint for each, by one of its path.
    found: BTreeMap<String, String>,
    /// The project's files that are data to git and yet say where things come from.
    data: BTreeMap<String, String>,
    /// Whether everything was looked at.
    whole: bool,
}

/// Data that git goes by: addresses of submodules, and which of the human's own filters apply.
const DATA: [&str; 2] = [".gitmodules", ".gitattributes"];

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// Each, where it is.
    places: Vec<PathBuf>,
    data: BTreeMap<String, String>,
    whole: bool,
}

/// What was put under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What it was called.
    pub was: PathBuf,
    /// What it is called.
    pub is: PathBuf,
    /// Whether its `HEAD` was renamed as well, so that it is no git folder even by its new name.
    pub defused: bool,
}

/// Looks through `project`, but for what lies in `except`; links are not followed.
pub fn look(project: &Path, except: &[PathBuf]) -> Look {
    let mut look = Look {
        places: Vec::new(),
        data: DATA
            .iter()
            .map(|name| ((*name).to_owned(), deciding(&project.join(name))))
            .collect(),
        whole: true,
    };
    let mut folders = VecDeque::from([project.to_owned()]);
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop_front() {
        let Ok(entries) = entries(&folder) else {
            continue;
        };
        let (mut head, mut objects, mut refs, mut common) = (false, false, false, false);
        for entry in entries.flatten() {
            seen += 1;
            let name = entry.file_name();
            let is = |other: &str| name.as_bytes().eq_ignore_ascii_case(other.as_bytes());
            head |= is("HEAD");
            objects |= is("objects");
            refs |= is("refs");
            common |= is("commondir");
            let path = entry.path();
            if except.contains(&path) {
                continue;
            }
            if is(".git") {
                look.places.push(path.clone());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push_back(path);
            }
        }
        let named = folder
            .file_name()
            .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b".git"));
        if head && (common || objects && refs) && !named {
            look.places.push(folder);
        }
        if seen > MAX_ENTRIES {
            look.whole = false;
            break;
        }
    }
    look
}

/// The entries of a folder, also where it may be entered and not read: a place to hide in.
fn entries(folder: &Path) -> std::io::Result<fs::ReadDir> {
    let read = fs::read_dir(folder);
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    if !read.as_ref().is_err_and(denied) {
        return read;
    }
    let permissions = folder.symlink_metadata()?.permissions();
    if permissions.mode() & 0o100 == 0 {
        return read;
    }
    let opened = fs::Permissions::from_mode(permissions.mode() | 0o400);
    fs::set_permissions(folder, opened)?;
    let read = fs::read_dir(folder);
    fs::set_permissions(folder, permissions)?;
    read
}

impl Look {
    /// What is there, to compare with later.
    pub fn standing(&self) -> Standing {
        Standing {
            found: self
                .places
                .iter()
                .map(|place| (key(place), fingerprint(place)))
                .collect(),
            data: self.data.clone(),
            whole: self.whole,
        }
    }

    /// Which of the project's files that are data to git are otherwise.
    pub fn data_since(&self, before: &Standing) -> Vec<&str> {
        let changed = self
            .data
            .iter()
            .filter(|(name, is)| before.data.get(*name) != Some(is));
        changed.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether everything was looked at.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Those that were not there, or were otherwise; inner ones first, so that their paths hold.
    pub fn new_since(&self, before: &Standing) -> Vec<PathBuf> {
        let mut new: Vec<PathBuf> = self
            .places
            .iter()
            .filter(|place| before.found.get(&key(place)) != Some(&fingerprint(place)))
            .cloned()
            .collect();
        new.sort_by_key(|place| std::cmp::Reverse(place.components().count()));
        new
    }
}

fn key(place: &Path) -> String {
    hash(place.as_os_str().as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(sha256(bytes).as_bytes())
}

/// What decides what git would run there.
pub fn fingerprint(place: &Path) -> String {
    let mut text = vec![deciding(place)];
    if place.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
        text.extend(DECIDING.iter().map(|name| deciding(&place.join(name))));
        text.push(hooks(&place.join("hooks")));
    }
    hash(text.join("\n").as_bytes())
}

/// What lies in a folder of hooks.
pub fn hooks(folder: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort();
    let mut text = vec![deciding(folder), names.len().to_string()];
    text.extend(names.iter().take(MAX_HOOKS).map(|hook| deciding(hook)));
    hash(text.join("\n").as_bytes())
}

/// One thing in a few words: where a link leads, what a file holds, and whether it runs.
fn deciding(path: &Path) -> String {
    let Ok(facts) = path.symlink_metadata() else {
        return "none".to_owned();
    };
    let link = fs::read_link(path).map(|to| hash(to.as_os_str().as_bytes()));
    let mut content = Vec::new();
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix_nonblock())
        .open(path);
    if let Ok(file) = opened
        && file.metadata().is_ok_and(|facts| facts.is_file())
    {
        file.take(MAX_FILE).read_to_end(&mut content).ok();
    }
    format!(
        "{:o} {} {} {}",
        facts.mode(),
        if facts.is_file() { facts.len() } else { 0 },
        link.unwrap_or_default(),
        hash(&content)
    )
}

/// A pipe that lies there must not hold us up.
fn rustix_nonblock() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Puts `place` under another name beside it.
pub fn quarantine(place: &Path) -> std::io::Result<Quarantined> {
    for number in 1..1000 {
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".holdfast-quarantine-{number}"));
        let is = PathBuf::from(name);
        let renamed = rustix::fs::renameat_with(
            rustix::fs::CWD,
            place,
            rustix::fs::CWD,
            &is,
            rustix::fs::RenameFlags::NOREPLACE,
        );
        match renamed {
            Ok(()) => {
                let defused = defuse(&is);
                return Ok(Quarantined {
                    was: place.to_owned(),
                    is,
                    defused,
                });
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(std::io::Error::other("a thousand such names are taken"))
}

/// A git folder is one by whatever name: without `HEAD` it is none.
fn defuse(folder: &Path) -> bool {
    let is_folder = folder.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    is_folder && fs::rename(folder.join("HEAD"), folder.join("HEAD.holdfast-quarantine")).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        assert!(
            git.arg("-C")
                .arg(folder)
                .args(arguments)
                .status()
                .unwrap()
                .success()
        );
    }

    #[test]
    fn what_is_new_or_otherwise_is_found_in_every_shape() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        for name in ["a", "vendor/old", "vendor/same"] {
            fs::create_dir_all(project.join(name)).unwrap();
        }
        git(project, &["init", "-q"]);
        git(&project.join("vendor/old"), &["init", "-q"]);
        git(&project.join("vendor/same"), &["init", "-q"]);
        let except = [project.join(".git")];
        let before = look(project, &except).standing();
        assert_eq!(before.found.len(), 2);
        assert!(look(project, &except).new_since(&before).is_empty());

        git(&project.join("a"), &["init", "-q"]);
        git(project, &["init", "-q", "--bare", "bare"]);
        fs::create_dir_all(project.join("common")).unwrap();
        fs::write(project.join("common/HEAD"), "ref: refs/heads/x").unwrap();
        fs::write(project.join("common/commondir"), "/elsewhere").unwrap();
        fs::create_dir_all(project.join("linked")).unwrap();
        std::os::unix::fs::symlink("../bare", project.join("linked/.git")).unwrap();
        git(
            &project.join("vendor/old"),
            &["config", "core.fsmonitor", "x"],
        );
        fs::write(project.join("vendor/same/.git/description"), "x").unwrap();
        let mut new = look(project, &except).new_since(&before);
        new.sort();
        let names = ["a/.git", "bare", "common", "linked/.git", "vendor/old/.git"];
        assert_eq!(new, names.map(|name| project.join(name)));

        for place in &new {
            quarantine(place).unwrap();
        }
        assert!(look(project, &except).new_since(&before).is_empty());
        for name in ["a", "linked", "bare.holdfast-quarantine-1"] {
            let mut git = Command::new("git");
            let found = git
                .arg("-C")
                .arg(project.join(name))
                .args(["rev-parse", "--git-dir"])
                .output();
            let found = String::from_utf8(found.unwrap().stdout).unwrap();
            assert_eq!(Path::new(found.trim()), project.join(".git"), "{name}");
        }
    }
}
