//! A session described before there is one: what it would see, and why each thing is there.

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;
use crate::grade::SessionUid;
use crate::id::AgentKind;

/// What a session of some kind wants of the human's, beyond what PATH says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunNeeds {
    /// The kind that it would be.
    pub kind: AgentKind,
    /// What tells the agent how this human wants things done: places below home, where they exist.
    pub instructions: Vec<String>,
    /// What the kind's tools need: places below home, where they exist.
    pub tools: Vec<String>,
}

/// The world of a session that is not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunWorld {
    /// The agent's kind.
    pub kind: AgentKind,
    /// Whether the human's own profile adds to it.
    pub extended: bool,
    /// SHA-256 of the program that would run.
    pub program: Sha256Digest,
    /// What would run, the program's name first.
    pub argv: Vec<String>,
    /// The environment.
    pub environment: Vec<RunVariable>,
    /// The project's place.
    pub project: String,
    /// Where it would start.
    pub directory: String,
    /// Under whose uid it would run on the host.
    pub runs_as: SessionUid,
    /// Everything that it would see besides the system, outermost first.
    pub trees: Vec<ShownTree>,
    /// What the network is.
    pub network: String,
    /// Hosts that it may fetch from without a question.
    pub hosts: Vec<String>,
    /// The most processes and threads.
    pub processes: Option<u32>,
    /// The most memory, in bytes.
    pub memory: Option<u64>,
    /// The names of the secrets whose use it would be given.
    pub secrets: Vec<String>,
    /// What a human would be asked about.
    pub asked: Vec<String>,
    /// What the human should know.
    pub notes: Vec<String>,
}

/// A variable of a session's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunVariable {
    /// Its name.
    pub name: String,
    /// Its value, unless only the session itself decides it.
    pub value: Option<String>,
}

/// Something that a session would see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownTree {
    /// Where.
    pub place: String,
    /// What the session could do there.
    pub access: ShownAccess,
    /// Why it is there.
    pub why: ShownWhy,
}

/// What a session could do with a [`ShownTree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownAccess {
    /// Read it and run what is in it.
    Read,
    /// Change it; it is the human's.
    Write,
    /// Change it; it is the broker's, and stays for the next session.
    Keep,
    /// Change it; it goes with the session.
    Private,
}

/// Why a [`ShownTree`] would be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownWhy {
    /// It is the project.
    Project,
    /// It is the agent's home.
    Home,
    /// It holds what can be fetched again.
    Cache,
    /// A tool on the human's PATH needs it.
    Tool,
    /// It tells the agent how this human wants things done.
    Instruction,
    /// It stands for the project's git folder.
    Git,
    /// It is of the project, and guarded.
    Guard,
    /// The human named it.
    Named,
    /// It is Holdfast's own.
    Holdfast,
    /// It is the session's alone.
    Scratch,
}
