//! Counter-contiguous checkpoints: what shows, offline and from the enrollment record alone, that a host's history was not
//! rewritten below its last counted checkpoint (DESIGN §11).
//!
//! Each checkpoint was certified by the AK at one value of a TPM counter which then went on; values that follow one upon
//! the other leave no room for a second history. This module never decides what a flaw means for the host.

mod evidence;
mod flaw;

pub use evidence::CounterEvidence;
pub use flaw::{Finding, Findings, Flaw};

use holdfast_protocol::Sha256Digest;

use crate::hash::sha256;
use crate::note::{CheckpointBody, Origin};
use crate::tpm::{
    Attest, Attested, ClockInfo, Name, NvAttributes, NvIndexType, NvPublic, Public, PublicKey,
    Signature,
};

/// What enrollment recorded: the only keys and values that evidence is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterAnchor {
    origin: Origin,
    ak: PublicKey,
    counter: Name,
    first: u64,
}

/// Why an enrollment record cannot anchor a log. Whoever enrolled the host is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnchor {
    /// The AK's attributes are not those of an attestation key.
    #[error("the key is not an attestation key")]
    NotAnAttestationKey,
    /// The index is not a counter that was written, so that its name could still change.
    #[error("the nv index is not a written counter")]
    NotACounter,
}

/// One counted checkpoint as it was stored or sent. Nothing of it is believed.
#[derive(Clone, Copy, Debug)]
pub struct CountedCheckpoint<'a> {
    /// The checkpoint's text.
    pub body: &'a [u8],
    /// TPMS_ATTEST of TPM2_NV_Certify.
    pub attest: &'a [u8],
    /// TPMT_SIGNATURE over it.
    pub signature: &'a [u8],
}

/// A history that the counter has frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The state of the log at each counter value, in order. That each is a prefix of the next is for the log's own entries or
    /// for consistency proofs to show.
    pub heads: Vec<FrozenHead>,
    /// The value that the counter must have at the next checkpoint.
    pub next_value: u64,
}

/// The state of the log at one value of the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenHead {
    /// The counter's value when it was certified.
    pub value: u64,
    /// How many entries the log had.
    pub size: u64,
    /// The root of its tree.
    pub root: Sha256Digest,
    /// The TPM's clock and reset counters then.
    pub clock: ClockInfo,
}

impl CounterAnchor {
    /// Anchors the log `origin` of the host with this AK and audit counter, whose first checkpoint is certified at value `first`.
    pub fn new(
        origin: Origin,
        ak: &Public,
        counter: &NvPublic,
        first: u64,
    ) -> Result<Self, InvalidAnchor> {
        let key = ak
            .key()
            .filter(|_| ak.attributes().is_attestation_key())
            .ok_or(InvalidAnchor::NotAnAttestationKey)?;
        let attributes = counter.attributes;
        if attributes.kind() != NvIndexType::Counter || !attributes.contains(NvAttributes::WRITTEN)
        {
            return Err(InvalidAnchor::NotACounter);
        }
        Ok(Self {
            origin,
            ak: key,
            counter: counter.name(),
            first,
        })
    }

    /// Checks that `checkpoints` are all of them, from the first on, and in order. Every flaw is reported, not only the first.
    pub fn verify(&self, checkpoints: &[CountedCheckpoint<'_>]) -> Result<Frozen, Findings> {
        let mut next_value = self.first;
        let mut heads: Vec<FrozenHead> = Vec::new();
        let mut findings = Vec::new();
        for (position, checkpoint) in checkpoints.iter().enumerate() {
            let mut report = |flaw| findings.push(Finding { position, flaw });
            match self.verify_one(checkpoint) {
                Ok(head) => {
                    if head.value != next_value {
                        report(Flaw::Value {
                            expected: next_value,
                            found: head.value,
                        });
                    }
                    if let Some(flaw) = heads.last().and_then(|last| contradiction(last, &head)) {
                        report(flaw);
                    }
                    // After a gap go on from what was found, so that one missing checkpoint is one finding.
                    next_value = head.value.saturating_add(1);
                    heads.push(head);
                }
                Err(flaw) => {
                    report(flaw);
                    next_value = next_value.saturating_add(1);
                }
            }
        }
        match Findings::new(findings) {
            Some(findings) => Err(findings),
            None => Ok(Frozen { heads, next_value }),
        }
    }

    /// Checks one checkpoint by itself: what it says and that the enrolled AK certified the enrolled counter for it.
    pub fn verify_one(&self, checkpoint: &CountedCheckpoint<'_>) -> Result<FrozenHead, Flaw> {
        let text = std::str::from_utf8(checkpoint.body).map_err(|_| Flaw::NotText)?;
        let body = CheckpointBody::parse(text).map_err(Flaw::Body)?;
        if body.origin != self.origin {
            return Err(Flaw::Origin);
        }
        let attest = Attest::parse(checkpoint.attest).map_err(Flaw::Attest)?;
        let signature = Signature::parse(checkpoint.signature).map_err(Flaw::Signature)?;
        self.ak
            .verify(attest.as_bytes(), &signature)
            .map_err(Flaw::NotByTheAk)?;
        let certified = match attest.attested() {
            Attested::NvCertify(certified) => certified,
            Attested::Quote(_) | Attested::Certify(_) | Attested::SessionAudit(_) => {
                return Err(Flaw::NotACounter);
            }
        };
        if certified.index_name != self.counter {
            return Err(Flaw::OtherIndex);
        }
        let value = certified.counter_value().ok_or(Flaw::NotACounter)?;
        if attest.extra_data() != sha256(checkpoint.body).as_bytes() {
            return Err(Flaw::OtherBody);
        }
        Ok(FrozenHead {
            value,
            size: body.size,
            root: body.root,
            clock: attest.clock(),
        })
    }
}

/// What one log on one TPM cannot have done between two checkpoints.
fn contradiction(last: &FrozenHead, head: &FrozenHead) -> Option<Flaw> {
    if head.size < last.size {
        return Some(Flaw::Shrunk {
            from: last.size,
            to: head.size,
        });
    }
    if head.size == last.size && head.root != last.root {
        return Some(Flaw::Forked { size: head.size });
    }
    let (before, now) = (last.clock, head.clock);
    let went_back = now.reset_count < before.reset_count
        || (now.reset_count == before.reset_count
            && (now.restart_count < before.restart_count || now.clock_ms < before.clock_ms));
    went_back.then_some(Flaw::ClockWentBack)
}

#[cfg(test)]
mod tests;
