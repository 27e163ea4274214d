//! What hosts' boots are held to: the sets of PCR values that are kept, and what one differs by from another.
//!
//! Pure. The values were quoted and the digests of the events replay to them, or it is said that they do not; the words
//! beside the digests are the host's, and nothing is decided by them.

mod diff;
mod predict;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::str::FromStr;

use holdfast_proof::event_log::BootEvents;
use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde::Serialize;

pub use diff::{Change, Explained, PcrDiff, diff};
pub use predict::{Unpredictable, predict};
pub(crate) use words::{change_words, event_words, hex, told};

/// What a boot measured: the quoted values, and the events of a log that gives the firmware's among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The values.
    pub values: PcrValues,
    /// The events, where the host showed a log.
    pub events: Option<BootEvents>,
}

impl Boot {
    /// Names it: values and events, so that what an operator approves is what was seen.
    pub fn name(&self) -> ProposalId {
        let mut text = String::new();
        for (index, value) in self.values.iter() {
            text.push_str(&format!("{value:?} {}\n", index.get()));
        }
        // What has no JSON has no events that anybody was shown.
        text.push_str(&serde_json::to_string(&self.events).unwrap_or_default());
        ProposalId(sha256(text.as_bytes()))
    }
}

/// Names a boot that waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ProposalId(Sha256Digest);

impl fmt::Display for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ProposalId {
    type Err = holdfast_protocol::digest::InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A boot that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBoot {
    /// Since when it is what it is.
    pub at: Timestamp,
    /// What was measured.
    pub boot: Boot,
}

/// All that is kept of a host's boots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// What it is held to; absent before its first attestation.
    pub current: Option<KeptBoot>,
    /// What it was held to before.
    pub previous: Option<KeptBoot>,
    /// What it showed and is refused for, until an operator approves it.
    pub proposed: Option<KeptBoot>,
    /// What it may change to: these values together.
    pub ahead: Option<KeptBoot>,
}
