//! The records of a log against their hashes, the tree, and the roots that the TPM signed.
//!
//! One finding per cause: what follows from a record that is known to be changed or missing is not reported again.

use holdfast_proof::merkle::Frontier;

use super::{Finding, LogAnchor, Witness};
use crate::state::Tip;
use crate::store::{Reader, RecordRow, StoreError, Tree};

/// How many records are held in memory at a time.
const PAGE: u64 = 512;

/// Verifies the records against `heads`, which are in the order of their sizes. Returns size and root of what is there.
pub(super) async fn verify(
    reader: &mut Reader,
    anchor: &LogAnchor,
    heads: &[Tip],
    findings: &mut Vec<Finding>,
) -> Result<Tip, StoreError> {
    let stored = match reader.tree().await {
        Ok(tree) => Some(tree),
        Err(StoreError::Damaged(damage)) => {
            findings.push(Finding::Damaged(damage));
            None
        }
        Err(error) => return Err(error),
    };
    let mut scan = Scan {
        heads,
        findings,
        edge: Frontier::empty(),
        next: 0,
        held: 0,
        doubt: Doubt::None,
    };
    loop {
        let page = match reader.records(scan.next, PAGE).await {
            Ok(page) => page,
            Err(StoreError::Damaged(damage)) => {
                scan.findings.push(Finding::Damaged(damage));
                scan.doubt = Doubt::Explained;
                break;
            }
            Err(error) => return Err(error),
        };
        if page.is_empty() {
            break;
        }
        for row in page {
            scan.record(&row);
        }
    }
    let tip = Tip {
        size: scan.next,
        root: scan.edge.root(),
    };
    scan.end(stored, anchor);
    Ok(tip)
}

struct Scan<'a> {
    /// The signed states that were not reached yet.
    heads: &'a [Tip],
    findings: &'a mut Vec<Finding>,
    edge: Frontier,
    /// The index that comes next.
    next: u64,
    /// The records below this index are held by a signed root.
    held: u64,
    doubt: Doubt,
}

/// Whether the tree so far can be that of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Nothing speaks against it.
    None,
    /// A finding says why it may not be.
    Explained,
}

impl Scan<'_> {
    fn record(&mut self, row: &RecordRow) {
        if row.index > self.next {
            self.gap(row.index);
        }
        self.next = row.index.saturating_add(1);
        if !row.is_whole() {
            self.findings
                .push(Finding::RecordChanged { index: row.index });
            self.doubt = Doubt::Explained;
        }
        // The hash that is stored is the better guess at what was written: where it is right, roots go on to match.
        if let Some(leaf) = row.leaf {
            self.edge.append(leaf);
        }
        self.compare_roots();
    }

    fn gap(&mut self, found: u64) {
        let (first, last) = (self.next, found - 1);
        self.findings.push(if first == last {
            Finding::RecordMissing { index: first }
        } else {
            Finding::RecordsMissing { first, last }
        });
        self.doubt = Doubt::Explained;
    }

    fn compare_roots(&mut self) {
        while let Some((head, later)) = self.heads.split_first() {
            if head.size > self.next {
                break;
            }
            self.heads = later;
            if head.size != self.next {
                continue;
            }
            if self.edge.size() == head.size && self.edge.root() == head.root {
                self.held = head.size;
                self.doubt = Doubt::None;
            } else if self.doubt == Doubt::None {
                self.findings.push(Finding::HistoryChanged {
                    from: self.held,
                    to: head.size - 1,
                });
                self.doubt = Doubt::Explained;
            }
        }
    }

    fn end(mut self, stored: Option<Tree>, anchor: &LogAnchor) {
        let size = self.next;
        if let Some(last) = self.heads.last() {
            self.findings.push(Finding::TailCut {
                size,
                covered: last.size,
                witness: Witness::Checkpoint,
            });
            self.doubt = Doubt::Explained;
        }
        let Some(Tree { origin, edge }) = stored else {
            return;
        };
        if origin != anchor.key.name().as_str() {
            self.findings.push(Finding::OtherOrigin { found: origin });
        }
        if edge.size() < size {
            self.findings
                .push(Finding::RecordsBeyond { size: edge.size() });
        } else if self.doubt == Doubt::None && edge.size() > size {
            self.findings.push(Finding::TailCut {
                size,
                covered: edge.size(),
                witness: Witness::Tree,
            });
        } else if self.doubt == Doubt::None && edge != self.edge {
            self.findings
                .push(Finding::TreeChanged { after: self.held });
        }
    }
}
