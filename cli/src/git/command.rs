//! Git, run as the human with nothing of an agent's: no hook, no monitor, no variable, no program from the project.
//!
//! It must never be pointed at a git folder that a session could write.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::GitError;

/// What holds for every run: nothing that git would start by itself.
const QUIET: [&str; 14] = [
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "submodule.recurse=false",
    "-c",
    "protocol.allow=never",
    "-c",
    "core.pager=cat",
];

/// The human's git.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    path: OsString,
}

impl Git {
    /// Finds it on PATH, but for what lies in the project: an agent can write there.
    pub fn find(project: &Path) -> Result<Self, GitError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path)
            .filter_map(|folder| folder.canonicalize().ok())
            .filter(|folder| !folder.starts_with(project))
            .collect();
        let program = folders
            .iter()
            .map(|folder| folder.join("git"))
            .find(|program| program.is_file())
            .ok_or(GitError::Missing)?;
        let path = std::env::join_paths(folders).map_err(|_| GitError::Missing)?;
        Ok(Self { program, path })
    }

    fn bare(&self) -> Command {
        let mut git = Command::new(&self.program);
        git.env_clear().env("PATH", &self.path).env("LC_ALL", "C");
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_ADVICE", "0"),
        ] {
            git.env(name, value);
        }
        git.arg("--no-pager").args(QUIET);
        git
    }

    /// In a folder of the human's, before a session: git itself finds the repository.
    pub fn at(&self, folder: &Path) -> Command {
        let mut git = self.bare();
        human(&mut git);
        git.current_dir(folder);
        git
    }

    /// In the human's own repository, which no session has written.
    pub fn of(&self, git_dir: &Path, work_tree: &Path) -> Command {
        // A session may have removed the work tree of a submodule.
        let here = if work_tree.is_dir() {
            work_tree
        } else {
            git_dir
        };
        let mut git = self.at(here);
        git.env("GIT_DIR", git_dir).env("GIT_WORK_TREE", work_tree);
        git
    }

    /// In a git folder of our own making, which reads the objects of `alternates` as well.
    pub fn clean(&self, git_dir: &Path, alternates: &[&Path]) -> Command {
        let mut git = self.bare();
        let list: Vec<OsString> = alternates.iter().map(|path| quoted(path)).collect();
        git.current_dir(git_dir)
            .env("GIT_DIR", git_dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", git_dir)
            .env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                list.join(OsStr::new(":")),
            );
        git
    }
}

/// What the human's own settings need: ownership rules lie in the global configuration.
fn human(git: &mut Command) {
    for name in ["HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME"] {
        if let Some(value) = std::env::var_os(name) {
            git.env(name, value);
        }
    }
}

/// A path as `GIT_ALTERNATE_OBJECT_DIRECTORIES` takes it: in C's quotes, so that a colon is no end.
fn quoted(path: &Path) -> OsString {
    let mut text = OsString::from("\"");
    let escaped = path
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    text.push(escaped);
    text.push("\"");
    text
}

/// Runs it to its end; what it printed, or what it said instead.
pub fn output(git: &mut Command, input: &[u8]) -> Result<Vec<u8>, GitError> {
    let (printed, _) = outcome(git, input)?;
    Ok(printed)
}

/// As [`output`], with what it said on standard error.
pub fn outcome(git: &mut Command, input: &[u8]) -> Result<(Vec<u8>, String), GitError> {
    let what = git
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned())
        .skip(QUIET.len() + 1)
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    let started = git
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(GitError::Run)?;
    let stdin = child.stdin.take();
    let ended = thread::scope(|scope| {
        // Beside the reading: it may answer before it has read all.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    })
    .map_err(GitError::Run)?;
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    if ended.status.success() {
        Ok((ended.stdout, said))
    } else {
        Err(GitError::Git { what, said })
    }
}

/// One line of output.
pub fn line(git: &mut Command) -> Result<String, GitError> {
    let printed = output(git, b"")?;
    Ok(String::from_utf8_lossy(&printed)
        .trim_end_matches('\n')
        .to_owned())
}
