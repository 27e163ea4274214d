//! How `holdfast run` asks for a sealed session, and what passes while it lives.
//!
//! The first frame carries a [`RunRequest`], or a [`ShellRequest`], and the descriptors that it speaks of; then
//! [`RunControl`] frames go to the broker and [`RunEvent`] frames come back. No field is a path that
//! the broker would open: places are names inside the session, things are descriptors.

mod shown;
pub mod toolchains;
mod waiting;

use serde::{Deserialize, Serialize};

pub use self::shown::{RunNeeds, RunVariable, RunWorld, ShownAccess, ShownTree, ShownWhy};
pub use self::waiting::RunWaiting;

use crate::id::{AgentKind, SessionId, SpiffeId};
use crate::management::Failure;
use crate::widening::Widening;

/// The most trees that a session may be lent beside its project.
pub const MAX_TREES: usize = 96;

/// The longest text of a profile of the human's, in bytes.
pub const MAX_PROFILE: usize = 16 * 1024;

/// The most parts of a package that a wish can name.
pub const MAX_PARTS: usize = 4096;

/// A wish for a session.
///
/// Its descriptors come in this order: the program; the project; standard input, output and error
/// where [`RunStdio::Pipes`]; one folder or file for each of [`RunRequest::trees`]; the package's root
/// where there is a [`RunRequest::package`].
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
    /// What its human adds to its network, at most [`MAX_WIDENINGS`](crate::widening::MAX_WIDENINGS), and which guards
    /// of the project they lift. What they lend is among the trees.
    pub widenings: Vec<Widening>,
    /// What is asked.
    #[serde(default)]
    pub aim: RunAim,
    /// What earlier sessions of this project left, and whether it is wanted.
    #[serde(default)]
    pub kept: RunKept,
    /// What the human adds to the agent's profile.
    #[serde(default)]
    pub profile: Option<RunProfile>,
    /// What the program interprets; `None` for a native program.
    #[serde(default)]
    pub package: Option<RunPackage>,
}

/// What is asked of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunAim {
    /// The session.
    #[default]
    Session,
    /// What it would be: [`RunEvent::Shown`], and nothing is made.
    Show,
    /// What a session of this kind wants of the human's: [`RunEvent::Needs`]. No descriptor comes with it.
    Needs,
}

/// Whether the agent's home and the project's caches are those of earlier sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKept {
    /// They are, and later sessions find what this one leaves.
    #[default]
    Kept,
    /// They are new, and go with the session.
    Fresh,
}

/// A profile of the human's own: it adds to one that Holdfast has, or defines a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunProfile {
    /// Which kind: the file's name.
    pub kind: AgentKind,
    /// TOML, [`MAX_PROFILE`] bytes at the most.
    pub text: String,
}

/// A script and the files that it runs from; the program is its interpreter.
///
/// It is measured, kept, and shown to the session as it was measured, below [`PACKAGE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPackage {
    /// What its root is called inside: one component, such as `node_modules`.
    pub name: String,
    /// The script, relative to the root; empty where the root is the script itself.
    pub script: String,
    /// What the script needs, each relative to the root; empty for all that is there.
    pub parts: Vec<String>,
    /// What the interpreter is called, such as `node`.
    pub interpreter: String,
    /// A place in the package that the interpreter finds itself by (a Python environment's own
    /// `bin/python`), relative to the root.
    #[serde(default)]
    pub found_by: Option<String>,
}

/// Where a session sees its package: in a folder that nobody but the launcher changes.
pub const PACKAGE: &str = "/opt/holdfast/package";

/// A folder or file of the human's that a session is lent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunTree {
    /// Where it appears inside.
    pub place: String,
    /// What the session may do there.
    pub access: RunAccess,
    /// Why it is lent.
    #[serde(default)]
    pub why: RunWhy,
}

/// Why a [`RunTree`] is lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunWhy {
    /// A tool on the human's PATH needs it.
    #[default]
    Tool,
    /// It tells the agent how this human wants things done.
    Instruction,
    /// It stands for the project's git folder, or is what that looks into.
    Git,
    /// It is of the project, over itself: what decides what runs outside is not the session's to change.
    Guard,
    /// The human named it: a widening, which policy judges and the record has.
    Named,
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
        if self.aim == RunAim::Needs {
            return 0;
        }
        let stdio = match self.stdio {
            RunStdio::Pipes => 3,
            RunStdio::Terminal { .. } => 0,
        };
        2 + stdio + self.trees.len() + usize::from(self.package.is_some())
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
    /// Ctrl-Z, where the session has no terminal of its own that would make one of the key.
    Stop,
    /// Go on after a stop, and draw anew.
    Continue,
}

/// What becomes of the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// It waits for its human: nothing is made, and nothing runs. Whatever the command line says now takes the question
    /// back.
    Waiting(RunWaiting),
    /// It runs, and is on record.
    Started {
        /// The session.
        session: SessionId,
        /// Its identity.
        spiffe_id: SpiffeId,
        /// What its human should know, such as why it was given no secrets.
        notes: Vec<String>,
    },
    /// Something that its human should know while it lives, such as that it will end soon.
    Note {
        /// What, in words.
        text: String,
    },
    /// Its program has stopped, as a shell's job does at Ctrl-Z; [`RunControl::Continue`] lets it go on. It is told
    /// once for each of those, whatever the program does.
    Stopped {
        /// How many [`RunControl::Continue`] it had heard by then: if there have been more, this is over.
        continued: u32,
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
    /// What a session would be.
    Shown(Box<RunWorld>),
    /// What a session of this kind wants of the human's.
    Needs(RunNeeds),
    /// There is no session.
    Failed(Failure),
}
