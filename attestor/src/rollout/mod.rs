//! Rollouts: an update that is accepted ahead for a whole group, by its canaries first, and that stops by itself where hosts
//! fail after it.
//!
//! Pure. What is decided follows from the facts that are kept and from `now`, so that replicas agree; nothing here knows
//! which replica asks, and nothing takes an update from a host that runs it.

mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use serde::{Deserialize, Serialize};

use crate::group::GroupName;
use crate::registry::{ReferencePcrs, SILENCE_MARGIN};

pub use state::{Condition, Phase, leave};

/// Names a rollout: they are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub NonZeroU32);

/// The text does not name a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rollout is named by its number, from 1 on")]
pub struct InvalidRolloutId;

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RolloutId {
    type Err = InvalidRolloutId;

    fn from_str(text: &str) -> Result<Self, InvalidRolloutId> {
        text.parse().map(Self).map_err(|_| InvalidRolloutId)
    }
}

/// The part that a host plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It takes the update first.
    Canary,
    /// It takes the update once the canaries have run it.
    General,
}

/// What a rollout goes by; it is as it was configured when the rollout began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many canaries have to run the update first.
    pub needed: NonZeroU32,
    /// For how long.
    pub hold: Duration,
    /// How many failed canaries stop it.
    pub canary_limit: NonZeroU32,
    /// How many failed hosts of the group itself stop it.
    pub general_limit: NonZeroU32,
}

/// How far a rollout is, as far as that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The canaries may take it.
    Canary,
    /// All may.
    General {
        /// Since when.
        since: Timestamp,
    },
    /// Nobody may any more who has not, until an operator resumes it.
    Braked {
        /// Since when.
        at: Timestamp,
        /// Since when all might before.
        general: Option<Timestamp>,
    },
    /// All have it.
    Done {
        /// Since when.
        at: Timestamp,
    },
    /// An operator ended it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// That a host runs the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Since when, without a failure.
    pub since: Timestamp,
    /// When it was verified so last.
    pub last: Timestamp,
}

/// That a host's evidence was refused, though it might run the update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// The check that refused it, and what that found.
    pub why: String,
}

/// Whether a rollout still minds a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Here,
    /// It was banned, revoked, or put into another group since.
    Gone,
}

/// Whether a failure counts for the brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It does.
    Yes,
    /// It was there before the rollout began, or an operator knew of it when they resumed that.
    Pardoned,
}

/// A host of a rollout, and what is known of it since the rollout began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub host: HostId,
    /// Its part.
    pub part: Part,
    /// Whether it still counts.
    pub presence: Presence,
    /// That it runs the update, if it does.
    pub shown: Option<Shown>,
    /// That it was refused since, if it was.
    pub refused: Option<Refused>,
    /// From when on it is silent, unless it is verified before: its last SVID has ended, with some time to spare.
    pub heard_until: Timestamp,
    /// Whether its failure counts.
    pub counted: Counted,
}

/// A rollout, with all that is decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Its name.
    pub id: RolloutId,
    /// The group that is updated.
    pub group: GroupName,
    /// The group of its canaries.
    pub canary: GroupName,
    /// When it began.
    pub started_at: Timestamp,
    /// What it goes by.
    pub rules: Rules,
    /// How far it is.
    pub stage: Stage,
    /// Its hosts, by id.
    pub members: Vec<Member>,
}

impl Rollout {
    /// The group that a part's hosts are in.
    pub fn group_of(&self, part: Part) -> &GroupName {
        match part {
            Part::Canary => &self.canary,
            Part::General => &self.group,
        }
    }
}

/// A rollout that is still to begin.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The group that is updated.
    pub group: GroupName,
    /// The group of its canaries.
    pub canary: GroupName,
    /// What it goes by.
    pub rules: Rules,
    /// Its hosts.
    pub members: Vec<Planned>,
}

/// A host of a rollout that is still to begin.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Which.
    pub host: HostId,
    /// Its part.
    pub part: Part,
    /// What it will show, all together.
    pub values: PcrValues,
    /// From when on it is silent, unless it is verified before.
    pub heard_until: Timestamp,
    /// Whether a failure counts: not of a host that is refused already, until it is verified.
    pub counted: Counted,
}

/// Whether a host may show an update that it has not shown yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Given,
    /// It is not its turn.
    NotYet,
    /// The rollout was braked.
    Braked,
}

/// What a rollout that is under way means for one of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which rollout.
    pub rollout: RolloutId,
    /// The host's part.
    pub part: Part,
    /// What the host may change to, all of it together.
    pub values: ReferencePcrs,
    /// Whether it may.
    pub leave: Leave,
    /// Whether it has.
    pub shown: Option<Shown>,
    /// Whether it was refused since.
    pub refused: Option<Refused>,
}

/// How evidence stands to the rollout that its host is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// It does not have the update's values, or its host is in no rollout.
    Other,
    /// It has them, and its host is held to them already.
    Kept,
    /// It has them, and is accepted because the host may take the update.
    Taken,
}

/// From when on a host is silent whose last SVID ends then.
pub fn heard_until(svid_end: Timestamp) -> Timestamp {
    svid_end + SILENCE_MARGIN
}
