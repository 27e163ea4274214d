//! A held log, checked from its bytes: tree, checkpoints, counter, cosignatures.
//!
//! It believes nothing that the store says beside the records and the notes, and changes nothing.

use holdfast_proof::counter::{CountedCheckpoint, CounterEvidence};
use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_proof::note::{EvidenceLine, SignedNote};
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::words::with_causes;

use super::judge::proven;
use super::{CosignedCheckpoint, Cosigner, MirroredLog, PAGE};
use crate::rfc3339;
use crate::store::{Store, StoreError};

/// What a check of a held log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// How many records were read.
    pub size: u64,
    /// The root of their tree.
    pub root: Sha256Digest,
    /// The largest size that is cosigned.
    pub cosigned: u64,
    /// The counter's value in the newest evidence.
    pub counter: Option<u64>,
    /// What is wrong, in words; empty means that all is well.
    pub findings: Vec<String>,
}

/// Checks a log.
///
/// # Errors
/// [`StoreError`] if it cannot be read.
pub async fn verify<S: Store>(
    store: &S,
    cosigner: &Cosigner,
    log: &MirroredLog,
) -> Result<Verification, StoreError> {
    let checkpoints = store.mirrored_checkpoints(log.id).await?;
    let mut findings = Vec::new();
    if let Some(fork) = &log.fork {
        findings.push(format!(
            "the log forked {}: {}: {}",
            rfc3339(fork.at),
            fork.refusal,
            fork.detail
        ));
    }
    let mut tree = Frontier::empty();
    let mut due = checkpoints.iter().peekable();
    loop {
        let page = store.mirrored_records(log.id, tree.size(), PAGE).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            tree.append(leaf_hash(&record));
            while let Some(checkpoint) = due.next_if(|due| due.tree.size() <= tree.size()) {
                compare(&tree, checkpoint, &mut findings);
            }
        }
    }
    for checkpoint in due {
        findings.push(format!(
            "{} records are held, and {} were cosigned: some were lost here",
            tree.size(),
            checkpoint.tree.size()
        ));
    }
    if log.tree != tree {
        findings.push("the stored tree is not that of the records that are held".to_owned());
    }
    for checkpoint in &checkpoints {
        check(log, cosigner, checkpoint, &mut findings);
    }
    let counter = count(log, &checkpoints, &mut findings);
    Ok(Verification {
        size: tree.size(),
        root: tree.root(),
        cosigned: checkpoints.last().map_or(0, |last| last.tree.size()),
        counter,
        findings,
    })
}

fn compare(tree: &Frontier, checkpoint: &CosignedCheckpoint, findings: &mut Vec<String>) {
    // Sizes are passed one by one, so this is the tree at the checkpoint's size.
    if checkpoint.tree != *tree {
        findings.push(format!(
            "the records below {} are not those that were cosigned",
            checkpoint.tree.size()
        ));
    }
}

/// The note by itself, and that it and our line are of the tree that was compared.
fn check(
    log: &MirroredLog,
    cosigner: &Cosigner,
    checkpoint: &CosignedCheckpoint,
    findings: &mut Vec<String>,
) {
    let size = checkpoint.tree.size();
    match proven(&log.keys, checkpoint.note.clone()) {
        Err(refused) => findings.push(format!("the checkpoint over {size} records: {refused}")),
        Ok(proven) => {
            let same = proven.body.size == size && proven.body.root == checkpoint.tree.root();
            if !same || proven.value != checkpoint.value {
                findings.push(format!(
                    "the checkpoint over {size} records says another thing than what is stored \
                     beside it"
                ));
            }
            // Ed25519 is deterministic: the same key makes the same line of the same text and time.
            if cosigner.cosign(&proven.text, checkpoint.at) != checkpoint.cosignature {
                findings.push(format!(
                    "the cosignature over {size} records is not by this attestor's key"
                ));
            }
        }
    }
}

/// The counter's chain; its last value.
fn count(
    log: &MirroredLog,
    checkpoints: &[CosignedCheckpoint],
    findings: &mut Vec<String>,
) -> Option<u64> {
    let mut counted = Vec::new();
    for checkpoint in checkpoints {
        let Ok(note) = SignedNote::parse(&checkpoint.note) else {
            continue;
        };
        let evidence = EvidenceLine::find(&log.keys.origin, &note).map(CounterEvidence::parse);
        if let Some(Ok(evidence)) = evidence {
            counted.push((note, evidence));
        }
    }
    let chain: Vec<_> = counted
        .iter()
        .map(|(note, evidence)| CountedCheckpoint {
            body: note.text().as_bytes(),
            attest: evidence.attest(),
            signature: evidence.signature(),
        })
        .collect();
    let first = checkpoints.iter().find_map(|checkpoint| checkpoint.value)?;
    let anchor = match log.keys.anchor(first) {
        Ok(anchor) => anchor,
        Err(error) => {
            findings.push(with_causes(&error));
            return None;
        }
    };
    match anchor.verify(&chain) {
        Ok(frozen) => frozen.heads.last().map(|head| head.value),
        Err(flaws) => {
            findings.push(format!("the counter's evidence: {flaws}"));
            None
        }
    }
}
