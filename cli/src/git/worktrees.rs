//! Work trees that a session added in the project: made the human's own by writing their few files anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::GitError;
use super::beneath::Beneath;
use super::command::{Git, line, output};
use super::foreign::{Foreign, below};
use super::land;
use super::layout::Repository;
use super::names::{self, Oid, RefName, Value};
use super::record::private_folder;
use super::traps::Quarantined;

/// The largest file that belongs to a work tree, in bytes.
const MAX_FILE: u64 = 4096;

/// The most work trees that are taken over.
const MAX_ADDED: usize = 16;

/// What has to be known to take work trees over.
#[derive(Debug)]
pub struct Added<'a> {
    /// The human's git.
    pub git: &'a Git,
    /// The project's own repository.
    pub repository: &'a Repository,
    /// The session's private folder.
    pub private: &'a Beneath,
    /// What the session left.
    pub foreign: &'a Foreign,
    /// The refs as they are now.
    pub now: &'a BTreeMap<RefName, Oid>,
}

impl Added<'_> {
    /// Takes over those whose `.git` was just put aside and says exactly what git wrote; gives where they are. Everything
    /// else stays aside.
    pub fn adopt(&self, aside: &[Quarantined]) -> Result<Vec<PathBuf>, GitError> {
        let folder = self.repository.common_dir.join("worktrees");
        let list = self
            .private
            .list(&below(&self.repository.common, "worktrees"));
        let list = list.map_err(|error| GitError::file(&folder, error))?;
        let mut adopted = Vec::new();
        for (name, kind) in list.into_iter().take(MAX_ADDED) {
            let real = folder.join(&name);
            if kind != FileType::Directory || !tame(&name) || real.exists() {
                continue;
            }
            let Some((quarantined, head)) = self.sound(&name, &real, aside)? else {
                continue;
            };
            let failed = |error| GitError::file(&quarantined.was, error);
            private_folder(&real)?;
            let gitdir = format!("{}\n", quarantined.was.display());
            for (file, content) in [
                ("commondir", "../..\n"),
                ("gitdir", &gitdir),
                ("HEAD", &head),
            ] {
                fs::write(real.join(file), content).map_err(failed)?;
            }
            fs::write(&quarantined.was, format!("gitdir: {}\n", real.display())).map_err(failed)?;
            fs::remove_file(&quarantined.is).map_err(failed)?;
            if let Some(work_tree) = quarantined.was.parent() {
                output(
                    self.git.of(&real, work_tree).args(["read-tree", "HEAD"]),
                    b"",
                )?;
            }
            adopted.push(quarantined.was.clone());
        }
        Ok(adopted)
    }

    /// The `.git` of the work tree `name` and its `HEAD`, if both are what git would have written.
    fn sound<'q>(
        &self,
        name: &str,
        real: &Path,
        aside: &'q [Quarantined],
    ) -> Result<Option<(&'q Quarantined, String)>, GitError> {
        let own = self.repository.common.join("worktrees").join(name);
        let read = |file: &str| {
            let content = self.private.read(&below(&own, file), MAX_FILE);
            content.map_err(|error| GitError::file(real, error))
        };
        let gitdir = read("gitdir")?.unwrap_or_default();
        let gitdir = String::from_utf8_lossy(&gitdir).into_owned();
        let at = Path::new(gitdir.trim_end_matches('\n'));
        // It was found there by a walk that follows no link.
        let Some(quarantined) = aside.iter().find(|quarantined| quarantined.was == at) else {
            return Ok(None);
        };
        let pointer = || {
            let folder = Beneath::open(quarantined.is.parent()?).ok()?;
            let file = quarantined.is.file_name()?.to_str()?;
            folder.read(file, MAX_FILE).ok()?
        };
        let exact = format!("gitdir: {}\n", real.display());
        let head = read("HEAD")?.and_then(|content| names::value(&content));
        let head = match head {
            _ if pointer() != Some(exact.into_bytes()) => None,
            Some(Value::Symbolic(branch)) => {
                let landed = self.now.get(&branch) == self.foreign.refs.get(&branch);
                let fits = branch.as_str().starts_with("refs/heads/") && land::ordinary(&branch);
                (landed && fits && self.now.contains_key(&branch))
                    .then(|| format!("ref: {branch}\n"))
            }
            Some(Value::Object(oid)) => {
                let repository = self.repository;
                let mut check = self.git.of(&repository.git_dir, &repository.work_tree);
                let commit = line(check.args(["cat-file", "-t", oid.as_str()]));
                commit
                    .is_ok_and(|kind| kind == "commit")
                    .then(|| format!("{oid}\n"))
            }
            None => None,
        };
        Ok(head.map(|head| (quarantined, head)))
    }
}

/// A name that git gives a work tree and that is nothing to a shell.
pub fn tame(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.starts_with(['.', '-']) && name.len() <= 255 && name.bytes().all(plain)
}
