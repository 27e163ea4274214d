//! What the session's git folder says, read without ever leaving it: the one that it was lent, else the project's own.
//!
//! The agent can write all of it. So it is bounded, links are not followed, and nothing here decides:
//! a push is judged again where it leaves the host, by what is really sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use holdfast_authorize_calls::world::repository::{branch, head, packed, remotes};
use holdfast_authorize_calls::world::{Branches, Remote};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};

/// The most that is read of one file.
const MAX_FILE: u64 = 1024 * 1024;

/// The most branches that are looked at, and how deep their folders may lie.
const MAX_BRANCHES: usize = 4096;
const MAX_DEPTH: usize = 16;

/// Branches that others rely on by custom, where nothing says otherwise.
const PROTECTED: [&str; 8] = [
    "main",
    "master",
    "trunk",
    "develop",
    "production",
    "release",
    "release/*",
    "release-*",
];

/// The git folder of a session's project.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: Arc<OwnedFd>,
    /// Where the git folder is in `folder`.
    inside: &'static str,
    /// Where a linked work tree's own part is in the git folder.
    own: String,
    /// The branches that were there when the session began, here or at a remote.
    before: Arc<BTreeSet<String>>,
}

impl Repository {
    /// The repository in `project`, as it is before a session begins.
    pub fn open(project: OwnedFd) -> Self {
        Self::of(project, ".git/", String::new())
    }

    /// The repository whose git folder the session was lent, as it is before a session begins; a linked work tree's
    /// own part lies at `own` in it.
    pub fn lent(git_folder: OwnedFd, own: &str) -> Self {
        let own = if own.is_empty() {
            String::new()
        } else {
            format!("{own}/")
        };
        Self::of(git_folder, "", own)
    }

    fn of(folder: OwnedFd, inside: &'static str, own: String) -> Self {
        let mut repository = Self {
            folder: Arc::new(folder),
            inside,
            own,
            before: Arc::default(),
        };
        repository.before = Arc::new(repository.all_branches());
        repository
    }

    /// The remotes, as they are now.
    pub fn remotes(&self) -> BTreeMap<String, Remote> {
        let config = self.read("config");
        config.map(|text| remotes(&text)).unwrap_or_default()
    }

    /// The branches, as they are now; `pushed` are those that the session has made at a remote.
    pub fn branches(&self, pushed: &BTreeSet<String>) -> Branches {
        let named = |file: &str, before| {
            let text = self.read(file)?;
            head(&text, before).map(str::to_owned)
        };
        let mut made = self.all_branches();
        made.retain(|name| !self.before.contains(name));
        made.extend(pushed.iter().cloned());
        Branches {
            current: named(&format!("{}HEAD", self.own), "refs/heads/"),
            default: named("refs/remotes/origin/HEAD", "refs/remotes/origin/"),
            protected: PROTECTED.map(str::to_owned).into(),
            made,
        }
    }

    /// Every branch by name, of this repository and of its remotes.
    fn all_branches(&self) -> BTreeSet<String> {
        let mut found = self
            .read("packed-refs")
            .map(|text| packed(&text))
            .unwrap_or_default();
        for folder in ["refs/heads", "refs/remotes"] {
            self.walk(folder, MAX_DEPTH, &mut found);
        }
        found
    }

    fn walk(&self, folder: &str, depth: usize, found: &mut BTreeSet<String>) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let entries = self
            .below(folder, flags)
            .and_then(|opened| Dir::read_from(opened).ok());
        for entry in entries.into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if matches!(name, "." | "..") || found.len() >= MAX_BRANCHES {
                continue;
            }
            let path = format!("{folder}/{name}");
            let kind = entry.file_type();
            if kind == FileType::RegularFile {
                found.extend(branch(&path));
            } else if kind == FileType::Directory && depth > 0 {
                self.walk(&path, depth - 1, found);
            }
        }
    }

    fn read(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        let file = File::from(self.below(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        // A pipe or a device that lies there must not hold the broker up.
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        file.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn below(&self, path: &str, flags: OFlags) -> Option<OwnedFd> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        let path = format!("{}{path}", self.inside);
        openat2(self.folder.as_fd(), path, flags, Mode::empty(), resolve).ok()
    }
}

/// Where a `.git` that is a file leads (gitrepository-layout(5)).
pub fn pointer(file: &OwnedFd) -> Option<String> {
    // What is lent is open without a right to its content.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(name, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    text.trim_end().strip_prefix("gitdir: ").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args([
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@localhost",
            "-c",
            "init.defaultBranch=main",
        ]);
        assert!(git.args(arguments).status().unwrap().success());
    }

    fn opened(folder: &Path) -> Repository {
        Repository::open(File::open(folder).unwrap().into())
    }

    #[test]
    fn a_branch_that_is_new_is_the_sessions_own() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        git(project, &["init", "-q"]);
        git(project, &["commit", "-q", "--allow-empty", "-m", "one"]);
        git(project, &["branch", "old/topic"]);
        git(project, &["pack-refs", "--all"]);
        git(
            project,
            &["remote", "add", "origin", "https://git.example/a.git"],
        );
        let repository = opened(project);
        git(project, &["checkout", "-q", "-b", "new/topic"]);

        let branches = repository.branches(&BTreeSet::from(["pushed".to_owned()]));
        assert_eq!(branches.current.as_deref(), Some("new/topic"));
        let made: Vec<_> = branches.made.iter().map(String::as_str).collect();
        assert_eq!(made, ["new/topic", "pushed"]);
        let remotes = repository.remotes();
        assert_eq!(
            remotes.get("origin").unwrap().url,
            "https://git.example/a.git"
        );
    }

    #[test]
    fn a_git_folder_that_is_lent_is_read_in_place_of_the_projects() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q"]);
        let private = File::open(folder.path().join(".git")).unwrap();
        let repository = Repository::lent(private.into(), "");
        git(
            folder.path(),
            &["commit", "-q", "--allow-empty", "-m", "one"],
        );
        let branches = repository.branches(&BTreeSet::new());
        assert_eq!(branches.current.as_deref(), Some("main"));
        assert_eq!(branches.made, BTreeSet::from(["main".to_owned()]));
    }

    #[test]
    fn a_linked_work_tree_has_its_head_apart_from_its_branches() {
        let folder = tempfile::tempdir().unwrap();
        let (main, linked) = (folder.path().join("main"), folder.path().join("linked"));
        std::fs::create_dir(&main).unwrap();
        git(&main, &["init", "-q"]);
        git(&main, &["commit", "-q", "--allow-empty", "-m", "one"]);
        git(
            &main,
            &["worktree", "add", "-q", "-b", "topic", "../linked"],
        );
        let place = pointer(&File::open(linked.join(".git")).unwrap().into()).unwrap();
        let own = place.split_once("/.git/").unwrap().1;
        let private = File::open(main.join(".git")).unwrap();
        let repository = Repository::lent(private.into(), own);
        let branches = repository.branches(&BTreeSet::new());
        assert_eq!(branches.current.as_deref(), Some("topic"));
        assert_eq!(branches.made, BTreeSet::new());
    }

    #[test]
    fn nothing_outside_the_project_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (project, outside) = (folder.path().join("project"), folder.path().join("outside"));
        std::fs::create_dir_all(&project).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        git(&outside, &["init", "-q"]);
        git(
            &outside,
            &["remote", "add", "origin", "https://git.example/a.git"],
        );
        std::os::unix::fs::symlink(outside.join(".git"), project.join(".git")).unwrap();
        let repository = opened(&project);
        assert!(repository.remotes().is_empty());
        assert_eq!(repository.branches(&BTreeSet::new()).current, None);
    }

    #[test]
    fn a_pipe_in_place_of_a_file_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        let pipe = folder.path().join(".git/config");
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        assert!(opened(folder.path()).remotes().is_empty());
    }
}
