//! How `holdfast run` asks for a sealed session, and what passes while it lives.
//!
//! The first frame carries a [`RunRequest`], or a [`ShellRequest`], and the descriptors that it speaks of; then
//! [`RunControl`] frames go to the broker and [`RunEvent`] frames come back. No field is a path that
//! the broker would open: places are names inside the session, things are descriptors.

use serde::{Deserialize, Serialize};

use crate::id::{AgentKind, SessionId, SpiffeId};
use crate::management::Failure;

/// The most trees that a session may be lent beside its project.
pub const MAX_TREES: usize = 96;

/// A wish for a session.
///
/// Its descriptors come in this order: the program; the project; standard input, output and error
/// where [`RunStdio::Pipes`]; one folder or file for each of [`RunRequest::trees`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The agent's kind, where the program's name does not say it.
    pub agent: Option<AgentKind>,
    /// What the human says it is for.
    pub purpose: Option<String>,
    /// The program's name.
    pub program: String,
    /// What was typed after it.
    pub arguments: Vec<String>,
    /// The human's environment; most of it does not pass.
    pub environment: Vec<(String, String)>,
    /// The human's name.
    pub user: String,
    /// The human's home, as a place inside.
    pub home: String,
    /// The project's place inside.
    pub project: String,
    /// Where to start, inside.
    pub directory: String,
    /// What else of the human's the session is lent.
    pub trees: Vec<RunTree>,
    /// Where programs are looked for, as places inside, before the system's own folders.
    pub path: Vec<String>,
    /// Input and output.
    pub stdio: RunStdio,
}

/// A folder or file of the human's that a session is lent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunTree {
    /// Where it appears inside.
    pub place: String,
    /// What the session may do there.
    pub access: RunAccess,
}

/// What a session may do with a [`RunTree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunAccess {
    /// Read it and run what is in it.
    Read,
    /// Change it, too; it has to be the human's own.
    Write,
}

/// A session's input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stdio", rename_all = "kebab-case")]
pub enum RunStdio {
    /// The descriptors that come with the request.
    Pipes,
    /// A terminal of the session's own; its other end comes back with [`RunEvent::Started`].
    Terminal {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

impl RunRequest {
    /// How many descriptors come with it.
    pub fn descriptors(&self) -> usize {
        let stdio = match self.stdio {
            RunStdio::Pipes => 3,
            RunStdio::Terminal { .. } => 0,
        };
        2 + stdio + self.trees.len()
    }
}

/// A wish for a shell in a session that runs: as the first frame, instead of a [`RunRequest`].
///
/// Its descriptors are standard input, output and error where [`RunStdio::Pipes`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShellRequest {
    /// The session; the human's only one if it is not named.
    pub shell_in: Option<SessionId>,
    /// The kind of the human's terminal, as `TERM` names it.
    pub term: Option<String>,
    /// Input and output.
    pub stdio: RunStdio,
}

impl ShellRequest {
    /// How many descriptors come with it.
    pub fn descriptors(&self) -> usize {
        match self.stdio {
            RunStdio::Pipes => 3,
            RunStdio::Terminal { .. } => 0,
        }
    }
}

/// What the human does to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunControl {
    /// Ctrl-C.
    Interrupt,
    /// Please end.
    Terminate,
    /// The terminal is gone.
    Hangup,
}

/// What becomes of the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// It runs, and is on record.
    Started {
        /// The session.
        session: SessionId,
        /// Its identity.
        spiffe_id: SpiffeId,
        /// What its human should know, such as why it was given no secrets.
        notes: Vec<String>,
    },
    /// The shell that was asked for runs, and is on record; its terminal's other end comes with this.
    ShellOpened {
        /// The session that it is in.
        session: SessionId,
    },
    /// It is over, every process of it; of a shell, the shell itself.
    Ended {
        /// What a shell would say: the exit code, or 128 and the signal's number.
        code: u8,
        /// In words, where it did not end by itself.
        how: Option<String>,
    },
    /// There is no session.
    Failed(Failure),
}
