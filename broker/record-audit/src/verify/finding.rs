//! What can be wrong with a log, in words for the person who has to act on it.
//!
//! A finding names what was seen and where; it never guesses who did it.

use holdfast_proof::counter::Flaw;
use holdfast_proof::note::{MalformedNote, NoteRefused};

use crate::store::Damage;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The bytes of a record are not those that its hash was made of.
    #[error("record {index} was changed after it was written")]
    RecordChanged {
        /// Its index.
        index: u64,
    },
    /// A record is not there.
    #[error("record {index} is missing")]
    RecordMissing {
        /// Its index.
        index: u64,
    },
    /// Several records in a row are not there.
    #[error("records {first} to {last} are missing")]
    RecordsMissing {
        /// The first index.
        first: u64,
        /// The last index.
        last: u64,
    },
    /// The end of the log is not there.
    #[error("the log ends at {size} but {witness} covers {covered}: its tail was cut off")]
    TailCut {
        /// How many records there are.
        size: u64,
        /// How many there were.
        covered: u64,
        /// What says so.
        witness: Witness,
    },
    /// Records stand behind the end of the tree.
    #[error("records from {size} on were added behind the end of the log")]
    RecordsBeyond {
        /// The tree's size.
        size: u64,
    },
    /// Records were changed together with their hashes.
    #[error(
        "records {from} to {to} are not those that the TPM-signed checkpoint was made over: at least one was changed \
         together with its hash"
    )]
    HistoryChanged {
        /// The first index that can be the changed one.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The stored right edge is not that of the records.
    #[error(
        "the stored tree is not that of the records after {after}: a record or the tree was changed"
    )]
    TreeChanged {
        /// The records below this index are held by a checkpoint.
        after: u64,
    },
    /// The log carries another name.
    #[error("the log calls itself `{found}`")]
    OtherOrigin {
        /// The name.
        found: String,
    },
    /// Something cannot be read.
    #[error("the database is damaged: {0}")]
    Damaged(Damage),
    /// A stored note is malformed.
    #[error("checkpoint {seq} is malformed")]
    CheckpointMalformed {
        /// Its number, from 1.
        seq: i64,
        /// How.
        #[source]
        source: MalformedNote,
    },
    /// A note does not verify.
    #[error("checkpoint {seq} is not signed by this log's key, or was changed: {source}")]
    CheckpointRefused {
        /// Its number, from 1.
        seq: i64,
        /// Why.
        #[source]
        source: NoteRefused,
    },
    /// A row says another thing than its note.
    #[error("the row of checkpoint {seq} was changed: it contradicts the signed note in it")]
    CheckpointRowChanged {
        /// Its number, from 1.
        seq: i64,
    },
    /// The counter's chain has a flaw.
    #[error("the TPM's evidence of checkpoint {seq} has a flaw: {flaw}")]
    Counter {
        /// Its number, from 1.
        seq: i64,
        /// Which.
        flaw: Flaw,
    },
    /// The TPM has counted checkpoints that the log does not have.
    #[error(
        "an older database was put back, or evidence was removed: the TPM's counter stands at {counter}, and {}",
        last_evidence(*evidence)
    )]
    PutBack {
        /// The value in the last evidence.
        evidence: Option<u64>,
        /// The counter's value.
        counter: u64,
    },
    /// The log has evidence of counts that the TPM has not reached.
    #[error(
        "the TPM's counter stands at {counter}, behind the {expected} that the log's evidence leads to: this is another TPM or counter"
    )]
    CounterBehind {
        /// The value that follows from the log.
        expected: u64,
        /// The counter's value.
        counter: u64,
    },
}

/// What says that the log was longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A checkpoint that the TPM signed.
    Checkpoint,
    /// The stored tree.
    Tree,
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "the TPM-signed checkpoint",
            Self::Tree => "its stored tree",
        })
    }
}

fn last_evidence(value: Option<u64>) -> String {
    match value {
        Some(value) => format!("the log's last evidence is for {value}"),
        None => "the log has no evidence at all".to_owned(),
    }
}
