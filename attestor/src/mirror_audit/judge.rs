//! Whether what a host sends continues the log that is held: pure.
//!
//! It must never let a record that is held be replaced, or a root stand that is not that of our own records.

use std::fmt;

use holdfast_proof::counter::{CountedCheckpoint, CounterEvidence};
use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_proof::note::{CheckpointBody, EvidenceLine, SignedNote};
use holdfast_protocol::mirror::{Refusal, Upload};

use super::{Growth, LogKeys, MirroredLog};

/// An upload is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}: {detail}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// What was expected and seen.
    pub detail: String,
    /// What shows that the log forked; `None` where it does not.
    pub evidence: Option<Vec<u8>>,
}

impl Refused {
    /// A refusal that says nothing of the log.
    pub fn plain(refusal: Refusal, detail: impl fmt::Display) -> Self {
        Self {
            refusal,
            detail: detail.to_string().chars().take(400).collect(),
            evidence: None,
        }
    }

    /// A refusal because the log has two histories, of which `evidence` is from the second.
    fn fork(refusal: Refusal, detail: impl fmt::Display, evidence: &[u8]) -> Self {
        Self {
            evidence: Some(evidence.to_vec()),
            ..Self::plain(refusal, detail)
        }
    }
}

/// A checkpoint that the host's TPM signed and, where it has evidence, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The note as it came.
    pub note: String,
    /// What it says.
    pub body: CheckpointBody,
    /// The text that is signed.
    pub text: String,
    /// The counter's certified value, if it has evidence.
    pub value: Option<u64>,
}

/// How an upload lies beside what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// It begins behind the end: what lies between was never sent.
    Gap,
    /// It adds these, perhaps none.
    Grows(Growth),
}

/// Compares what an upload and the log have in common, and adds what is new. `held` are the records that the log has from
/// the upload's first index on, as far as the upload reaches.
///
/// # Errors
/// [`Refused`] if a record that is held was sent with other bytes.
pub fn continuation(
    log: &MirroredLog,
    upload: Upload,
    held: &[Vec<u8>],
) -> Result<Continuation, Refused> {
    let size = log.tree.size();
    if upload.first > size {
        return Ok(Continuation::Gap);
    }
    let Upload { first, records, .. } = upload;
    for ((index, sent), held) in (first..).zip(&records).zip(held) {
        if sent != held {
            return Err(Refused::fork(
                Refusal::ForkRecord,
                format!(
                    "record {index} came again with other bytes: {} were held, {} came",
                    held.len(),
                    sent.len()
                ),
                sent,
            ));
        }
    }
    let known = usize::try_from(size - first).unwrap_or(usize::MAX);
    let fresh: Vec<_> = records.into_iter().skip(known).collect();
    let mut tree = log.tree.clone();
    for record in &fresh {
        tree.append(leaf_hash(record));
    }
    Ok(Continuation::Grows(Growth {
        first: size,
        records: fresh,
        tree,
    }))
}

/// Checks by itself that a checkpoint is one of this log, signed by its key, counted by its counter.
///
/// # Errors
/// [`Refused`] if it is not; that is no evidence of a fork, for anybody can make bytes that do not verify.
pub fn proven(keys: &LogKeys, note: String) -> Result<Proven, Refused> {
    let malformed = |error: &dyn fmt::Display| Refused::plain(Refusal::Checkpoint, error);
    let verifier = keys.verifier().map_err(|error| malformed(&error))?;
    let signed = SignedNote::parse(&note).map_err(|error| malformed(&error))?;
    let body = verifier
        .verify_checkpoint(&signed)
        .map_err(|error| malformed(&error))?;
    let value = EvidenceLine::find(&keys.origin, &signed)
        .map(|bytes| counted(keys, signed.text(), bytes))
        .transpose()?;
    let text = signed.text().to_owned();
    Ok(Proven {
        note,
        body,
        text,
        value,
    })
}

fn counted(keys: &LogKeys, text: &str, bytes: &[u8]) -> Result<u64, Refused> {
    let refused = |error: &dyn fmt::Display| Refused::plain(Refusal::Evidence, error);
    let evidence = CounterEvidence::parse(bytes).map_err(|error| refused(&error))?;
    let anchor = keys.anchor(0).map_err(|error| refused(&error))?;
    let head = anchor
        .verify_one(&CountedCheckpoint {
            body: text.as_bytes(),
            attest: evidence.attest(),
            signature: evidence.signature(),
        })
        .map_err(|error| refused(&error))?;
    Ok(head.value)
}

/// Whether a proven checkpoint, which was not seen before, fits the log; `tree` is our own at the checkpoint's size.
///
/// # Errors
/// [`Refused`] if its root is another, its counter value is not the next one, or it is older than what was cosigned.
pub fn fits(log: &MirroredLog, proven: &Proven, tree: &Frontier) -> Result<(), Refused> {
    let Proven { note, body, .. } = proven;
    let root = tree.root();
    if body.root != root {
        return Err(Refused::fork(
            Refusal::ForkRoot,
            format!(
                "the checkpoint over {} records has root {}, the records that are held have {root}",
                body.size, body.root
            ),
            note.as_bytes(),
        ));
    }
    if let Some(value) = proven.value {
        contiguous(log, value)
            .map_err(|detail| Refused::fork(Refusal::ForkCounter, detail, note.as_bytes()))?;
    }
    if body.size < log.cosigned {
        // A v1 cosignature says that nothing larger was seen (C2SP tlog-cosignature).
        return Err(Refused::plain(
            Refusal::Stale,
            format!(
                "the checkpoint is over {} records, {} are cosigned",
                body.size, log.cosigned
            ),
        ));
    }
    Ok(())
}

fn contiguous(log: &MirroredLog, value: u64) -> Result<(), String> {
    match log.last_value {
        Some(last) if value == last.saturating_add(1) => Ok(()),
        Some(last) if value <= last => Err(format!(
            "another checkpoint was counted at {value}, and evidence up to {last} is held"
        )),
        Some(last) => Err(format!(
            "the counter is at {value} and the newest evidence held is for {last}: checkpoints \
             between them were left out"
        )),
        // The log was begun before the host was enrolled, at the latest with its enrollment.
        None if value <= log.keys.enrolled_value => Ok(()),
        None => Err(format!(
            "the first evidence is for {value}, and at enrollment the counter stood at {}: \
             checkpoints were left out",
            log.keys.enrolled_value
        )),
    }
}
