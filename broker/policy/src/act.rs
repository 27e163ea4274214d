//! The facts that a policy judges: who asks, and one effect with its standing in the session's world.
//!
//! Values only; this module must never find a fact out by itself.

use holdfast_protocol::call::{Caller, Channel, History, Manner, Reach, ToolName};
use holdfast_protocol::widening::Widening;

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The session behind the call.
    pub caller: Caller,
    /// What the session has read.
    pub taint: Taint,
    /// The way the call came.
    pub channel: Channel,
    /// The tool, as the agent names it.
    pub tool: ToolName,
}

/// Whether a session has read untrusted content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taint {
    /// Not that we know.
    Clean,
    /// It has: what it sends out may be somebody else's wish.
    Tainted,
}

/// One effect of a call, with everything that a rule may ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing outside the agent changes.
    Nothing,
    /// Reads a file or folder.
    Reads {
        /// The path, absolute.
        path: String,
        /// Where it lies.
        place: Place,
    },
    /// Creates or changes a file.
    Writes {
        /// The path, absolute.
        path: String,
        /// Where it lies.
        place: Place,
    },
    /// Deletes a file or folder.
    Deletes {
        /// The path, absolute.
        path: String,
        /// Where it lies.
        place: Place,
    },
    /// Runs a program.
    Runs {
        /// The program's name as written.
        program: String,
    },
    /// Pushes to a git remote.
    Pushes {
        /// Remote and ref in words, for rules that name them: `origin main`.
        target: String,
        /// Whether the project has that remote.
        remote: RemoteStanding,
        /// What kind of ref it lands on.
        branch: BranchStanding,
        /// What it does to the history there.
        history: History,
    },
    /// Publishes or deploys.
    Publishes {
        /// What publishes it.
        registry: String,
    },
    /// Reaches a host.
    Reaches {
        /// The host's name in lowercase, without a port.
        host: String,
        /// Whether this session may know it.
        acquaintance: Acquaintance,
        /// What for.
        manner: Manner,
    },
    /// Uses a secret of the vault.
    UsesSecret {
        /// Its name in the vault.
        name: String,
        /// Whether this session was given it.
        grant: Grant,
    },
    /// Widens a session's world, before it begins.
    Widens {
        /// What is added.
        widening: Widening,
    },
    /// Spends money.
    Spends {
        /// On what.
        what: String,
    },
    /// Cannot be understood.
    Uninspectable {
        /// Why not.
        why: String,
        /// How far it could reach.
        reach: Reach,
    },
}

/// Where a path lies, the most guarded reading first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Holdfast's own policy, state, sockets.
    Holdfast,
    /// A file that holds secrets.
    Secret,
    /// Git's or an agent's hooks and the configuration that names them.
    Hooks,
    /// Another project of the human's.
    OtherProject,
    /// The session's project.
    Project,
    /// The session's private temporary space.
    Scratch,
    /// Anywhere else.
    Elsewhere,
}

/// Whether the project has a git remote configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteStanding {
    /// It has, by that name.
    Configured,
    /// It has not, or it cannot be told.
    Unknown,
}

/// What kind of ref a push lands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BranchStanding {
    /// A branch that this session made.
    SessionMade,
    /// The default branch.
    Default,
    /// A protected branch.
    Protected,
    /// A tag.
    Tag,
    /// Several refs at once.
    Many,
    /// It cannot be told.
    Unknown,
}

/// Whether a session may know a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acquaintance {
    /// Its human gave it to the session, for whatever it does there.
    Given,
    /// It was named for the session, or approved in it.
    Known,
    /// It was not.
    New,
}

/// Whether a session was given a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// It was.
    Granted,
    /// It was not.
    Withheld,
}
