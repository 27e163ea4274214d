//! What can be wrong with counted checkpoints, and with which.

use std::fmt;

use crate::note::MalformedCheckpoint;
use crate::tpm::{MalformedStructure, SignatureRefused};

/// What is wrong with a checkpoint or its evidence. The host, or whoever kept the evidence, is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The body is not UTF-8.
    #[error("the checkpoint is not text")]
    NotText,
    /// The body is not a checkpoint.
    #[error("the checkpoint is malformed")]
    Body(#[source] MalformedCheckpoint),
    /// The checkpoint is one of another log.
    #[error("the checkpoint is one of another log")]
    Origin,
    /// The attestation does not parse.
    #[error("the attestation is malformed")]
    Attest(#[source] MalformedStructure),
    /// The signature does not parse.
    #[error("the signature is malformed")]
    Signature(#[source] MalformedStructure),
    /// The enrolled AK did not sign the attestation.
    #[error("the attestation is not signed by the enrolled key")]
    NotByTheAk(#[source] SignatureRefused),
    /// The attestation is not one of a whole counter.
    #[error("the attestation does not certify a counter")]
    NotACounter,
    /// The attestation certifies an index other than the enrolled counter.
    #[error("the attestation certifies another nv index")]
    OtherIndex,
    /// The attestation was made for another body.
    #[error("the attestation was made for another checkpoint")]
    OtherBody,
    /// Checkpoints are missing, repeated or out of order.
    #[error("the counter is at {found} instead of {expected}")]
    Value {
        /// The value that contiguity wants.
        expected: u64,
        /// The value that is certified.
        found: u64,
    },
    /// The log lost entries.
    #[error("the log shrank from {from} to {to} entries")]
    Shrunk {
        /// The size before.
        from: u64,
        /// The size here.
        to: u64,
    },
    /// The log has the same size and another root.
    #[error("the log of {size} entries has two roots")]
    Forked {
        /// The size.
        size: u64,
    },
    /// The TPM's clock or reset counters went back although its counter went on.
    #[error("the clock of the tpm went back")]
    ClockWentBack,
}

/// A flaw and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place of the checkpoint in the list, from 0.
    pub position: usize,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// At least one finding, in the order of the checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn new(findings: Vec<Finding>) -> Option<Self> {
        (!findings.is_empty()).then_some(Self(findings))
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        match self.0.first() {
            Some(Finding { position, flaw }) => {
                write!(
                    f,
                    "{count} flaws, the first at checkpoint {position}: {flaw}"
                )
            }
            None => f.write_str("no flaws"),
        }
    }
}

impl std::error::Error for Findings {}
