//! Files of the project that the human's own settings make git read as settings, or run as hooks.
//!
//! The human opened these doors, and an agent can write what lies behind them. Settings that changed are renamed, as a
//! repository is that a session made; hooks that changed are said, for the human may have asked for just that.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::GitError;
use super::command::{Git, output};
use super::layout::Repository;
use super::traps;

/// The most such files.
const MAX_DOORS: usize = 64;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// What git does with it.
    pub kind: Kind,
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What was there.
    was: String,
}

/// What git does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Reads it as settings (`include.path`).
    Settings,
    /// Runs what is in it (`core.hooksPath`).
    Hooks,
}

impl Door {
    fn new(kind: Kind, path: PathBuf) -> Self {
        let was = look(kind, &path);
        Self { kind, path, was }
    }

    /// Whether something else is there now.
    pub fn is_changed(&self) -> bool {
        look(self.kind, &self.path) != self.was
    }
}

fn look(kind: Kind, path: &Path) -> String {
    match kind {
        Kind::Settings => traps::fingerprint(path),
        Kind::Hooks => traps::hooks(path),
    }
}

/// Those of a repository that lie in `project`.
pub fn find(git: &Git, repository: &Repository, project: &Path) -> Result<Vec<Door>, GitError> {
    let mut list = git.of(&repository.git_dir, &repository.work_tree);
    let printed = output(list.args(["config", "--list", "--show-origin", "-z"]), b"")?;
    let mut found = Vec::new();
    for (origin, name, value) in entries(&printed) {
        let key = name.to_ascii_lowercase();
        let (kind, base) = if key == "core.hookspath" {
            (Kind::Hooks, repository.work_tree.clone())
        } else if key.starts_with("include") && key.ends_with(".path") {
            let file = repository.work_tree.join(origin);
            (Kind::Settings, file.parent().unwrap_or(project).to_owned())
        } else {
            continue;
        };
        let path = match (value.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => base.join(value),
        };
        let path = plain(&path);
        let within = path.starts_with(project) && !path.starts_with(&repository.common_dir);
        if within && found.len() < MAX_DOORS {
            found.push(Door::new(kind, path));
        }
    }
    Ok(found)
}

/// Origin, name and value of each entry of `git config --list --show-origin -z`; files alone.
fn entries(printed: &[u8]) -> Vec<(&str, &str, &str)> {
    let parts: Vec<&str> = printed
        .split(|byte| *byte == 0)
        .map(|part| std::str::from_utf8(part).unwrap_or_default())
        .collect();
    parts
        .chunks_exact(2)
        .filter_map(|pair| {
            let [origin, entry] = pair else { return None };
            let (name, value) = entry.split_once('\n')?;
            Some((origin.strip_prefix("file:")?, name, value))
        })
        .collect()
}

/// Without `.` and `..`, whether it is there or not.
fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components()
        .fold(PathBuf::new(), |mut plain, component| {
            match component {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) | Component::Normal(_) => {
                    plain.push(component);
                }
            }
            plain
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use super::*;

    #[test]
    fn doors_that_the_human_opened_are_found_also_where_nothing_is_behind_them_yet() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().canonicalize().unwrap();
        let run = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(&project).args(arguments);
            assert!(git.status().unwrap().success());
        };
        run(&["init", "-q"]);
        run(&["config", "include.path", "../.gitconfig"]);
        run(&["config", "core.hooksPath", ".husky/_"]);
        let git = Git::find(Path::new("/nowhere")).unwrap();
        let repository = Repository {
            work_tree: project.clone(),
            git_dir: project.join(".git"),
            common_dir: project.join(".git"),
            own: PathBuf::new(),
            common: PathBuf::new(),
            format: "sha1".to_owned(),
        };
        let doors = find(&git, &repository, &project).unwrap();
        let places: Vec<_> = doors.iter().map(|door| (door.kind, &*door.path)).collect();
        let (settings, hooks) = (project.join(".gitconfig"), project.join(".husky/_"));
        assert_eq!(
            places,
            [(Kind::Hooks, &*hooks), (Kind::Settings, &*settings)]
        );
        std::fs::write(&settings, "[core]\n\tfsmonitor = x\n").unwrap();
        std::fs::create_dir_all(&hooks).unwrap();
        assert!(doors.iter().all(Door::is_changed));
    }
}
