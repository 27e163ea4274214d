//! The checkpoints of a log: each signed by its key, their counter values without a gap.
//!
//! What a row says beside its signed note is compared with the note and never used.

use holdfast_proof::counter::{CountedCheckpoint, CounterEvidence};
use holdfast_proof::note::{CheckpointBody, EvidenceLine, SignedNote};
use holdfast_proof::tpm::MalformedStructure;

use super::{Finding, LogAnchor};
use crate::state::Tip;
use crate::store::{CheckpointRow, Reader, StoreError};

/// How many checkpoints are read at a time.
const PAGE: u64 = 256;

/// What the checkpoints prove.
pub(super) struct Checkpoints {
    /// The signed states, smallest first.
    pub(super) heads: Vec<Tip>,
    /// The counter's value in the last evidence.
    pub(super) last_value: Option<u64>,
    /// The value that the counter should have now; `None` if the log has no counter.
    pub(super) next_value: Option<u64>,
}

/// Text and evidence of a checkpoint that claims a counter value.
struct Counted {
    seq: i64,
    body: String,
    evidence: Result<CounterEvidence, MalformedStructure>,
}

pub(super) async fn verify(
    reader: &mut Reader,
    anchor: &LogAnchor,
    findings: &mut Vec<Finding>,
) -> Result<Checkpoints, StoreError> {
    let mut heads = Vec::new();
    let mut counted = Vec::new();
    let mut seq = 0;
    loop {
        let page = match reader.checkpoints(seq, PAGE).await {
            Ok(page) => page,
            Err(StoreError::Damaged(damage)) => {
                findings.push(Finding::Damaged(damage));
                break;
            }
            Err(error) => return Err(error),
        };
        let Some(last) = page.last() else { break };
        seq = last.seq;
        for row in &page {
            match verify_row(row, anchor) {
                Ok((body, evidence)) => {
                    heads.push(Tip {
                        size: body.size,
                        root: body.root,
                    });
                    counted.extend(evidence);
                }
                Err(finding) => findings.push(finding),
            }
        }
    }
    heads.sort_by_key(|head| head.size);
    let (last_value, next_value) = verify_counter(anchor, &counted, findings);
    Ok(Checkpoints {
        heads,
        last_value,
        next_value,
    })
}

fn verify_row(
    row: &CheckpointRow,
    anchor: &LogAnchor,
) -> Result<(CheckpointBody, Option<Counted>), Finding> {
    let seq = row.seq;
    let note = SignedNote::parse(&row.note)
        .map_err(|source| Finding::CheckpointMalformed { seq, source })?;
    let body = anchor
        .key
        .verify_checkpoint(&note)
        .map_err(|source| Finding::CheckpointRefused { seq, source })?;
    let evidence = EvidenceLine::find(anchor.key.name(), &note);
    let agrees = row.tip.size == body.size
        && row.tip.root == body.root
        && row.counter.is_some() == evidence.is_some();
    if !agrees {
        return Err(Finding::CheckpointRowChanged { seq });
    }
    let counted = evidence.map(|bytes| Counted {
        seq,
        body: note.text().to_owned(),
        evidence: CounterEvidence::parse(bytes),
    });
    Ok((body, counted))
}

/// The last value and the next one.
fn verify_counter(
    anchor: &LogAnchor,
    counted: &[Counted],
    findings: &mut Vec<Finding>,
) -> (Option<u64>, Option<u64>) {
    let Some(anchor) = &anchor.counter else {
        return (None, None);
    };
    let checkpoints: Vec<_> = counted.iter().map(Counted::as_stored).collect();
    let first = anchor.verify(&[]).map_or(0, |nothing| nothing.next_value);
    match anchor.verify(&checkpoints) {
        Ok(frozen) => {
            let last = frozen.heads.last().map(|head| head.value);
            (last, Some(frozen.next_value))
        }
        Err(flaws) => {
            for finding in flaws.as_slice() {
                findings.push(Finding::Counter {
                    seq: counted
                        .get(finding.position)
                        .map_or(0, |counted| counted.seq),
                    flaw: finding.flaw,
                });
            }
            // The newest evidence that is good by itself still says where the counter was.
            let last = checkpoints
                .iter()
                .rev()
                .find_map(|checkpoint| anchor.verify_one(checkpoint).ok())
                .map(|head| head.value);
            (
                last,
                Some(last.map_or(first, |last| last.saturating_add(1))),
            )
        }
    }
}

impl Counted {
    fn as_stored(&self) -> CountedCheckpoint<'_> {
        let (attest, signature): (&[u8], &[u8]) = match &self.evidence {
            Ok(evidence) => (evidence.attest(), evidence.signature()),
            // Empty bytes are refused as malformed, which is what they are.
            Err(_) => (&[], &[]),
        };
        CountedCheckpoint {
            body: self.body.as_bytes(),
            attest,
            signature,
        }
    }
}
