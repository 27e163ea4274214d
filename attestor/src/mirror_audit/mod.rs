//! The audit logs of hosts, mirrored: every record once, every checkpoint held against our own tree (DESIGN §11).
//!
//! [`judge`] is pure; [`take`] puts it between network and store; [`Cosigner`] acknowledges. It must never acknowledge what
//! is not durable here, cosign two histories of one log, or let one host write into another's.

mod cosigner;
pub mod judge;
mod rate;
mod take;
#[cfg(test)]
mod tests;
mod verify;

use holdfast_proof::counter::{CounterAnchor, InvalidAnchor};
use holdfast_proof::hash::sha256;
use holdfast_proof::merkle::Frontier;
use holdfast_proof::note::{EcdsaVerifier, InvalidOrigin, Origin};
use holdfast_proof::tpm::{NvPublic, Public};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use holdfast_protocol::mirror::{Refusal, log_name};

use crate::registry::{EnrolledHost, Revision};

pub use cosigner::Cosigner;
pub(crate) use rate::Rates;
pub use take::{Limits, take};
pub use verify::{Verification, verify};

/// How many records are held in memory at a time where many are read.
const PAGE: u64 = 512;

/// Names one mirrored log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub i64);

/// What a host's log is judged by: what enrollment established, kept with the log from its first upload on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKeys {
    /// The log's name.
    pub origin: Origin,
    /// The key that signs its checkpoints.
    pub checkpoint_key: Public,
    /// The key that certifies its counter.
    pub ak: Public,
    /// The counter that freezes it.
    pub counter: NvPublic,
    /// The counter's value when the host was enrolled.
    pub enrolled_value: u64,
}

/// What was enrolled cannot anchor a log. Whoever enrolled the host is to blame.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The checkpoint key is not one that signs notes.
    #[error("the checkpoint key is not on p-256")]
    Key,
    /// The log's name is none.
    #[error("the log has no name")]
    Name(#[from] InvalidOrigin),
    /// AK or counter are not.
    #[error("the log's counter cannot be verified")]
    Anchor(#[from] InvalidAnchor),
}

impl LogKeys {
    /// The keys of an enrolled host's log.
    ///
    /// # Errors
    /// [`Unusable`] if its checkpoint key is none.
    pub fn of(host: &EnrolledHost) -> Result<Self, Unusable> {
        let key = host.checkpoint_key.key().ok_or(Unusable::Key)?;
        Ok(Self {
            origin: Origin::new(log_name(&sha256(&key.to_spki_der())))?,
            checkpoint_key: host.checkpoint_key.clone(),
            ak: host.ak.clone(),
            counter: host.audit_counter.clone(),
            enrolled_value: host.anchor.audit_counter,
        })
    }

    /// Whether both are of the same keys and counter; when the host was enrolled is another matter.
    pub fn are_those_of(&self, other: &Self) -> bool {
        self.origin == other.origin
            && self.checkpoint_key == other.checkpoint_key
            && self.ak == other.ak
            && self.counter == other.counter
    }

    /// What verifies its checkpoints.
    ///
    /// # Errors
    /// [`Unusable::Key`] if its key signs no notes.
    pub fn verifier(&self) -> Result<EcdsaVerifier, Unusable> {
        let key = self.checkpoint_key.key().ok_or(Unusable::Key)?;
        EcdsaVerifier::new(self.origin.clone(), &key).ok_or(Unusable::Key)
    }

    /// What verifies its counter, from value `first` on.
    ///
    /// # Errors
    /// [`Unusable::Anchor`] if AK or counter are not what enrollment lets in.
    pub fn anchor(&self, first: u64) -> Result<CounterAnchor, Unusable> {
        Ok(CounterAnchor::new(
            self.origin.clone(),
            &self.ak,
            &self.counter,
            first,
        )?)
    }
}

/// A host's log, as far as it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredLog {
    /// Its number here.
    pub id: LogId,
    /// Whose it is.
    pub host: HostId,
    /// Of this reading.
    pub revision: Revision,
    /// What it is judged by.
    pub keys: LogKeys,
    /// The tree over the records that are held.
    pub tree: Frontier,
    /// How many bytes they have.
    pub bytes: u64,
    /// When it last grew.
    pub grown_at: Option<Timestamp>,
    /// The largest size that was cosigned; 0 before the first.
    pub cosigned: u64,
    /// The counter's value in the newest evidence.
    pub last_value: Option<u64>,
    /// What contradicted it, if anything did.
    pub fork: Option<Fork>,
}

/// Records that are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The index of the first.
    pub first: u64,
    /// They, in order.
    pub records: Vec<Vec<u8>>,
    /// The tree after the last of them.
    pub tree: Frontier,
}

impl Growth {
    /// How many bytes the records have.
    pub fn bytes(&self) -> u64 {
        let sum: usize = self.records.iter().map(Vec::len).sum();
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

/// A checkpoint that fits, with its acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignedCheckpoint {
    /// The tree at its size.
    pub tree: Frontier,
    /// The signed note, as the host sent it.
    pub note: String,
    /// The counter's certified value, if it has evidence.
    pub value: Option<u64>,
    /// The cosignature's line.
    pub cosignature: String,
    /// When it was cosigned.
    pub at: Timestamp,
}

/// What contradicted a log first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// When it came.
    pub at: Timestamp,
    /// In which way.
    pub refusal: Refusal,
    /// What was expected and seen.
    pub detail: String,
    /// The record or the signed note that does not fit, as the host sent it.
    pub evidence: Vec<u8>,
}
