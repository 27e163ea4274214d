//! One tool call, whatever channel it came by, and what it would do.
//!
//! Every adapter at the edge makes this one type; one function decides it. It must never carry a
//! secret's value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::grade::{Level, SessionUid};
use crate::id::{AgentKind, CallId, SessionId, SpiffeId};
use crate::widening::Widening;

/// What an agent wants to do, as the broker understood it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// This call, on this host.
    pub id: CallId,
    /// Who asks.
    pub caller: Caller,
    /// The way it came.
    pub channel: Channel,
    /// The tool, as the agent names it (`Bash`, `Edit`, `git-credential`, …).
    pub tool: ToolName,
    /// The tool's arguments, as the agent gave them.
    pub arguments: serde_json::Value,
    /// The directory that relative paths start from.
    pub cwd: PathBuf,
    /// What it would do, most serious first; empty means that nothing outside the agent changes.
    pub effects: Vec<Effect>,
    /// When the broker received it.
    pub received: Timestamp,
}

/// The session behind a call, known from launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The session.
    pub session: SessionId,
    /// The identity that the session bears.
    pub spiffe_id: SpiffeId,
    /// The agent's kind.
    pub kind: AgentKind,
    /// How well we know it.
    pub level: Level,
    /// The human who started the session.
    pub human: HumanUid,
    /// Under whose uid it runs.
    #[serde(default, skip_serializing_if = "SessionUid::is_own")]
    pub runs_as: SessionUid,
}

/// The Unix uid of a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HumanUid(pub u32);

/// A tool's name as an agent gave it: 1 to 128 printable characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(String);

/// A tool's name is empty, too long, or has control characters.
#[derive(Debug, thiserror::Error)]
#[error("a tool name is 1 to 128 printable characters")]
pub struct InvalidToolName;

impl ToolName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ToolName {
    type Error = InvalidToolName;

    fn try_from(name: String) -> Result<Self, InvalidToolName> {
        let valid = !name.is_empty() && name.len() <= 128 && !name.chars().any(char::is_control);
        if valid {
            Ok(Self(name))
        } else {
            Err(InvalidToolName)
        }
    }
}

impl From<ToolName> for String {
    fn from(name: ToolName) -> Self {
        name.0
    }
}

/// The way a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// The agent's own hook.
    Hook,
    /// The MCP gateway.
    Mcp,
    /// The egress bridge.
    Egress,
    /// A credential helper.
    Credential,
    /// The command line of the human who starts the session.
    Launch,
}

/// Something that a call would do outside the agent's own head.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// Reads a file or folder.
    Reads {
        /// The path, absolute or relative to the call's `cwd`.
        path: PathBuf,
    },
    /// Creates or changes a file.
    Writes {
        /// The path, absolute or relative to the call's `cwd`.
        path: PathBuf,
    },
    /// Deletes a file or folder.
    Deletes {
        /// The path, absolute or relative to the call's `cwd`.
        path: PathBuf,
    },
    /// Runs a program.
    Runs {
        /// The program's name as written.
        program: String,
    },
    /// Pushes to a git remote.
    Pushes {
        /// The remote, by name or URL, as written; absent means git's default.
        remote: Option<String>,
        /// The branch or ref, where it can be told.
        refspec: Option<String>,
        /// Whether history may be overwritten.
        history: History,
    },
    /// Publishes a package or release.
    Publishes {
        /// What publishes it (`npm`, `cargo`, …).
        registry: String,
    },
    /// Reaches a host on the network.
    Reaches {
        /// Host name or address, with a port where one is given.
        host: String,
        /// What it does there.
        #[serde(default)]
        manner: Manner,
    },
    /// Uses a secret that the vault holds.
    UsesSecret {
        /// The secret's name in the vault.
        name: String,
    },
    /// Widens the session's world, before it begins.
    Widens {
        /// What is added.
        widening: Widening,
    },
    /// Spends money.
    Spends {
        /// What is paid for.
        what: String,
    },
    /// Cannot be understood; never harmless.
    Uninspectable {
        /// Why not, in words for the human who is asked.
        why: String,
        /// How far it could reach, as far as that can be told.
        #[serde(default)]
        reach: Reach,
    },
}

/// What reaching a host is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Only to fetch: nothing but the request itself leaves.
    Fetch,
    /// To send something, or it cannot be told.
    #[default]
    Send,
}

/// How far something that cannot be understood could reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Nothing in it leads out of the session.
    Local,
    /// It leads out, or it cannot be told.
    #[default]
    Outward,
}

/// What a push does to the history that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum History {
    /// Only adds to it.
    Kept,
    /// May overwrite it (`--force`, `+ref`, `--mirror`, `--delete`).
    Overwritten,
}
