//! The pure core of the log: which index a record gets, what the tree becomes, when and how a checkpoint is made.
//!
//! No I/O, no clock, no randomness, no async: inputs carry `now`, and what is to be done is answered as an [`Effect`]. The
//! tree must never run ahead of the disk: [`Core::committed`] is called only after the batch is durable.

mod checkpoints;
mod due;

use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_protocol::{Sha256Digest, Timestamp};

pub use checkpoints::{Checkpoint, CheckpointError, Checkpoints, Effect, Evidence, Input, Past};
pub use due::DuePolicy;

use crate::ocsf::Draft;

/// A size of the log and the root of its tree at that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// How many records.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Sha256Digest,
}

/// How soon a record wants to be frozen by the TPM's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// On the tick.
    Routine,
    /// At once, within the daily budget: an approval of a high-impact call.
    Freeze,
}

/// One record with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its index, from 0.
    pub index: u64,
    /// The hash of its bytes as a leaf.
    pub leaf: Sha256Digest,
    /// Its bytes.
    pub json: Vec<u8>,
}

/// Records that become durable together, and the tree's right edge after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records, in order and without a gap.
    pub rows: Vec<Row>,
    /// The right edge after the last of them.
    pub tree: Frontier,
    /// What the most urgent of them wants.
    pub urgency: Urgency,
}

/// The state of an open log.
#[derive(Debug)]
pub struct Core {
    tree: Frontier,
    checkpoints: Checkpoints,
}

impl Core {
    /// Takes up a log whose durable tree is `tree`.
    pub fn new(tree: Frontier, checkpoints: Checkpoints) -> Self {
        Self { tree, checkpoints }
    }

    /// The durable size and root.
    pub fn tip(&self) -> Tip {
        Tip {
            size: self.tree.size(),
            root: self.tree.root(),
        }
    }

    /// Gives `drafts` their indices, in order. Nothing is part of the log before [`Core::committed`].
    pub fn stage<'a>(&self, drafts: impl Iterator<Item = (&'a Draft, Urgency)>) -> Batch {
        let mut tree = self.tree.clone();
        let mut urgency = Urgency::Routine;
        let rows = drafts
            .map(|(draft, wanted)| {
                let index = tree.size();
                let json = draft.at(index);
                let leaf = leaf_hash(&json);
                tree.append(leaf);
                urgency = urgency.max(wanted);
                Row { index, leaf, json }
            })
            .collect();
        Batch {
            rows,
            tree,
            urgency,
        }
    }

    /// The batch is durable.
    pub fn committed(&mut self, tree: Frontier, urgency: Urgency, now: Timestamp) {
        self.tree = tree;
        self.checkpoints.grown(self.tree.size(), urgency, now);
    }

    /// A checkpoint with counter over all that is durable is wanted now.
    pub fn checkpoint_wanted(&mut self) {
        self.checkpoints.wanted();
    }

    /// No more records will come: whatever has no checkpoint is due now.
    pub fn stopping(&mut self) {
        self.checkpoints.stopping();
    }

    /// What is to be done about checkpoints now, if anything; its result comes back through [`Core::done`].
    pub fn poll(&mut self, now: Timestamp) -> Option<Effect> {
        let tip = self.tip();
        self.checkpoints.poll(tip, now)
    }

    /// When [`Core::poll`] is worth calling again, if nothing happens before.
    pub fn poll_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.checkpoints.poll_at(now)
    }

    /// The result of the last effect. An error means that log and TPM contradict each other: nothing may be appended.
    pub fn done(
        &mut self,
        input: Input,
        now: Timestamp,
    ) -> Result<Option<Effect>, CheckpointError> {
        self.checkpoints.done(input, now)
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }
}

#[cfg(test)]
mod tests;
