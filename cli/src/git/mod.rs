//! A session's git: its own folder over the project's `.git`, and what it did there brought back.
//!
//! Whoever writes `.git` runs code as the human at the human's next `git status`. So the session gets a private folder
//! that was written for it, and the human's own never has anything that the session wrote but objects that were checked
//! and refs that were compared. Git is never run in the private folder.

mod back;
mod beneath;
mod clean;
mod command;
mod config;
mod doors;
mod foreign;
mod guard;
mod import;
mod land;
mod layout;
mod lfs;
mod names;
mod private;
mod record;
mod report;
mod rest;
mod staged;
mod traps;
mod worktrees;

use std::io;
use std::path::{Path, PathBuf};

pub use self::guard::{Guard, recover, recover_open};
pub use self::report::Report;

use crate::outcome::Problem;

/// Git cannot be guarded, or what a session did cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The human has no git.
    #[error("git is not on the PATH (the project's own folders do not count)")]
    Missing,
    /// Git did not run.
    #[error("git did not run")]
    Run(#[source] io::Error),
    /// Git failed.
    #[error("`git {what}` failed: {said}")]
    Git {
        /// What it was asked.
        what: String,
        /// What it said.
        said: String,
    },
    /// A file or folder fails us.
    #[error("`{}`", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: io::Error,
    },
    /// `.git` is a symbolic link.
    #[error("`{}` is a symbolic link, which cannot be mounted over", .0.display())]
    Link(PathBuf),
    /// The repository is not where its folder is.
    #[error("git has the repository of `{}` somewhere else", .0.display())]
    Elsewhere(PathBuf),
    /// More than is taken.
    #[error("the project has more than {1} {0}")]
    Many(&'static str, usize),
    /// Somebody else has it.
    #[error("`{}` is in use", .0.display())]
    Busy(PathBuf),
    /// What is kept of sessions would be theirs to write.
    #[error("`{}`, where sessions' git folders are kept, lies in the project", .0.display())]
    Within(PathBuf),
    /// No home, no state folder.
    #[error("there is no home folder to keep the session's git folder in")]
    NoHome,
    /// Objects are not what they should be.
    #[error("{0}")]
    Refused(String),
}

impl GitError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// What it is, with its cause.
    pub fn words(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<GitError> for Problem {
    fn from(error: GitError) -> Self {
        let next = match &error {
            GitError::Missing => "install git, or name a project without `.git`",
            GitError::Link(_) => {
                "move the repository with `git init --separate-git-dir`, which writes a file instead of a link"
            }
            GitError::Within(_) => {
                "name a project below it with --project, or set XDG_STATE_HOME to a folder outside"
            }
            GitError::Many(..) => "name a smaller project with --project",
            GitError::Run(_)
            | GitError::Git { .. }
            | GitError::File { .. }
            | GitError::Elsewhere(_)
            | GitError::Busy(_)
            | GitError::NoHome
            | GitError::Refused(_) => "see whether `git status` works in the project",
        };
        let words = format!("the project's git cannot be guarded: {}", error.words());
        match error {
            GitError::Missing | GitError::Link(_) | GitError::Within(_) | GitError::Many(..) => {
                Problem::usage(words, next)
            }
            GitError::Run(_)
            | GitError::Git { .. }
            | GitError::File { .. }
            | GitError::Elsewhere(_)
            | GitError::Busy(_)
            | GitError::NoHome
            | GitError::Refused(_) => Problem::failed(words, next),
        }
    }
}
