//! Verifying a whole log: every record, every checkpoint, the counter's chain, and the counter itself where it can be read.
//!
//! Works on the running log and on a folder that was carried elsewhere, and trusts nothing in it: only the [`LogAnchor`] that
//! enrollment recorded. Records after the last checkpoint are held together by nothing but hashes that lie beside them; that
//! they are the ones that were written is for the next checkpoint and the mirror to show.

mod checkpoints;
mod finding;
mod scan;

use std::path::Path;

use holdfast_proof::counter::CounterAnchor;
use holdfast_proof::note::EcdsaVerifier;
use holdfast_protocol::management::{AuditHead, AuditReport};

pub use finding::{Finding, Witness};

use crate::store::{Reader, StoreError};

/// What a log is judged by.
#[derive(Clone, Debug)]
pub struct LogAnchor {
    /// The key that signs its checkpoints; its name is the log's origin.
    pub key: EcdsaVerifier,
    /// The counter that freezes them; `None` for an installation that has none.
    pub counter: Option<CounterAnchor>,
}

/// What is known of the counter's value while a log is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterNow {
    /// The TPM cannot be asked: that an older log was put back cannot be seen.
    Unknown,
    /// Its values before and after the log was read; a running log may have gone on between the two.
    Between {
        /// Read first.
        before: u64,
        /// Read last.
        after: u64,
    },
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The head that was verified.
    pub head: AuditHead,
    /// What is wrong; empty means that all is well.
    pub findings: Vec<Finding>,
    next_value: Option<u64>,
}

/// Verifies the log in `folder`, which may be in use; `counter` is the TPM's value, if this is its host.
pub async fn verify_folder(
    folder: &Path,
    anchor: &LogAnchor,
    counter: Option<u64>,
) -> Result<Verification, StoreError> {
    let mut reader = Reader::open(folder).await?;
    let mut verification = verify(&mut reader, anchor).await?;
    if let Some(value) = counter {
        verification.compare(CounterNow::Between {
            before: value,
            after: value,
        });
    }
    reader.close().await?;
    Ok(verification)
}

/// Verifies one state of the log that `reader` reads. An error means that it could not be read at all.
pub async fn verify(reader: &mut Reader, anchor: &LogAnchor) -> Result<Verification, StoreError> {
    reader.freeze().await?;
    let verification = verify_frozen(reader, anchor).await;
    reader.thaw().await?;
    verification
}

async fn verify_frozen(
    reader: &mut Reader,
    anchor: &LogAnchor,
) -> Result<Verification, StoreError> {
    let mut findings = Vec::new();
    let checkpoints = checkpoints::verify(reader, anchor, &mut findings).await?;
    let tip = scan::verify(reader, anchor, &checkpoints.heads, &mut findings).await?;
    let covered = checkpoints.heads.last().map_or(0, |head| head.size);
    Ok(Verification {
        head: AuditHead {
            origin: anchor.key.name().to_string(),
            size: tip.size,
            root: tip.root,
            checkpointed: covered,
            counter: checkpoints.last_value,
        },
        findings,
        next_value: checkpoints.next_value,
    })
}

impl Verification {
    /// Compares the evidence with the counter itself: an older log that was put back lacks the newest evidence.
    pub fn compare(&mut self, now: CounterNow) {
        let (CounterNow::Between { before, after }, Some(next)) = (now, self.next_value) else {
            return;
        };
        // Evidence comes before its increment: what was counted when the reading began must be in what was read.
        if before > next {
            self.findings.push(Finding::PutBack {
                evidence: self.head.counter,
                counter: before,
            });
        }
        // One less is the moment between evidence and increment.
        if after.saturating_add(1) < next {
            self.findings.push(Finding::CounterBehind {
                expected: next,
                counter: after,
            });
        }
    }

    /// The report for people.
    pub fn report(&self) -> AuditReport {
        AuditReport {
            head: self.head.clone(),
            findings: self.findings.iter().map(ToString::to_string).collect(),
        }
    }
}
