//! Grades (what kind of installation this is) and tiers (how much proof an act wants).
//!
//! A grade caps tiers (DESIGN §3, §10); nothing here decides a call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How strong the ground is that this installation stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// System install, real TPM.
    Hardware,
    /// System install, swtpm: the same code, no hardware claim.
    Simulated,
    /// No root: namespaces that the user made, no session identity beyond L1.
    Contained,
}

impl Grade {
    /// The highest tier that this grade may carry.
    pub const fn cap(self) -> Tier {
        match self {
            Self::Hardware => Tier::R3,
            Self::Simulated => Tier::R2,
            Self::Contained => Tier::R1,
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware => "hardware",
            Self::Simulated => "simulated",
            Self::Contained => "contained",
        })
    }
}

/// How much proof of a human an act wants (DESIGN §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Deny, inspect, revoke: a click.
    R0,
    /// Low risk: a click, logged as presence unproven.
    R1,
    /// High impact: a receipt.
    R2,
    /// Policy, enrollment, wildcard: two factors or a second device.
    R3,
}

/// Under whose uid a session's processes run on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionUid {
    /// One that nothing but this session runs under: none of the human's other processes touches it.
    #[default]
    Own,
    /// The human's, which is less: their other processes can signal it, and slow it down.
    Humans,
}

impl SessionUid {
    /// Whether it is the usual one, which is not said.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

impl fmt::Display for SessionUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Humans => "humans",
        })
    }
}

/// How well we know who is calling (DESIGN §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Unknown: gets nothing.
    L0,
    /// A found process: advisory.
    L1,
    /// A systemd unit or container that we can name.
    L2,
    /// Launched by us.
    L3,
}
