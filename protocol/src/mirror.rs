//! What a host sends of its audit log to the attestor, and what it is answered (after C2SP tlog-mirror).
//!
//! Positions are the only key: an upload says where its records stand, an answer how many are held. Nothing here judges a
//! record or a signature, and what is parsed here is bounded and not yet believed.

use std::fmt;
use std::str::FromStr;

use crate::Sha256Digest;
use crate::wire::attestor::{AuditHeld, AuditUpload};
use crate::wire::{WireError, bounded};

/// The most records of one upload: an entry bundle of C2SP tlog-tiles.
pub const MAX_RECORDS: usize = 256;

/// The longest record, in bytes: what the 16-bit length of a tlog-tiles entry can say.
pub const MAX_RECORD: usize = 65_535;

/// The most bytes that the records of one upload may have together.
pub const MAX_BYTES: usize = 1 << 20;

/// The longest checkpoint, in bytes; one of ours has less than two thousand.
pub const MAX_CHECKPOINT: usize = 16 * 1024;

/// The longest text of an answer, in bytes.
const MAX_TEXT: usize = 4096;

/// The largest message that an upload can be: records and checkpoint, each with its length, and the names.
pub const MAX_MESSAGE: usize = MAX_BYTES + MAX_RECORDS * 8 + MAX_CHECKPOINT + 1024;

/// The largest index that is taken: the largest integer that a record can name itself by (RFC 7493 §2.2).
const MAX_INDEX: u64 = (1 << 53) - 1;

/// The name of the log that a checkpoint key signs, from SHA-256 over its SubjectPublicKeyInfo: no host can name its log as
/// another's.
pub fn log_name(key: &Sha256Digest) -> String {
    let short = key.as_bytes().get(..8).unwrap_or_default();
    format!("holdfast/audit/{}", data_encoding::HEXLOWER.encode(short))
}

/// Records from a position on, and perhaps a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The log's name, as its checkpoints have it.
    pub origin: String,
    /// The index of the first record; where there is none, the one that comes next.
    pub first: u64,
    /// The records, in order.
    pub records: Vec<Vec<u8>>,
    /// A signed note.
    pub checkpoint: Option<String>,
}

impl Upload {
    /// One more than the index of the last record.
    pub fn end(&self) -> u64 {
        let count = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        self.first.saturating_add(count)
    }
}

/// What the attestor answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds so many records.
    Held(Held),
    /// It does not take this.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What was expected and seen, where the attestor tells.
        detail: String,
    },
}

/// How much the attestor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many records, from index 0 without a gap.
    pub size: u64,
    /// The acknowledgement of the checkpoint, if one was sent and taken.
    pub cosigned: Option<Cosignature>,
}

/// A cosignature, and the key that it claims to be by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The line of the signed note, without its line feed.
    pub line: String,
    /// The verifier key (C2SP signed-note).
    pub cosigner: String,
}

/// Why an upload is not taken; its spelling is the reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The log's name is not that of the host's checkpoint key.
    Origin,
    /// The checkpoint is malformed, or not signed by the enrolled checkpoint key.
    Checkpoint,
    /// The checkpoint's evidence is not the enrolled counter's.
    Evidence,
    /// The checkpoint is older than one that was cosigned, and fits.
    Stale,
    /// A record that is held was sent again with other bytes.
    ForkRecord,
    /// A checkpoint's root is not that of the records that are held.
    ForkRoot,
    /// Two checkpoints at one value of the counter, or values that were left out.
    ForkCounter,
    /// The log forked before; nothing more of it is taken.
    Forked,
    /// The host's log is larger than policy allows.
    Full,
}

impl Refusal {
    const ALL: [Self; 9] = [
        Self::Origin,
        Self::Checkpoint,
        Self::Evidence,
        Self::Stale,
        Self::ForkRecord,
        Self::ForkRoot,
        Self::ForkCounter,
        Self::Forked,
        Self::Full,
    ];

    /// The reason code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Checkpoint => "checkpoint",
            Self::Evidence => "evidence",
            Self::Stale => "stale",
            Self::ForkRecord => "fork-record",
            Self::ForkRoot => "fork-root",
            Self::ForkCounter => "fork-counter",
            Self::Forked => "forked",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The text is not a reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason why an upload is refused")]
pub struct InvalidRefusal;

impl FromStr for Refusal {
    type Err = InvalidRefusal;

    fn from_str(text: &str) -> Result<Self, InvalidRefusal> {
        Self::ALL
            .into_iter()
            .find(|refusal| refusal.code() == text)
            .ok_or(InvalidRefusal)
    }
}

impl TryFrom<AuditUpload> for Upload {
    type Error = WireError;

    fn try_from(message: AuditUpload) -> Result<Self, WireError> {
        let AuditUpload {
            origin,
            first,
            records,
            checkpoint,
        } = message;
        limit("origin", origin.len(), 255)?;
        limit("records", records.len(), MAX_RECORDS)?;
        limit("checkpoint", checkpoint.len(), MAX_CHECKPOINT)?;
        let bytes = records.iter().map(Vec::len).sum();
        limit("records", bytes, MAX_BYTES)?;
        let records: Vec<_> = records
            .into_iter()
            .map(|record| bounded("records", record, MAX_RECORD))
            .collect::<Result<_, _>>()?;
        if records.iter().any(Vec::is_empty) {
            return Err(WireError::Range("records"));
        }
        if first > MAX_INDEX {
            return Err(WireError::Range("first"));
        }
        Ok(Self {
            origin,
            first,
            records,
            checkpoint: (!checkpoint.is_empty()).then_some(checkpoint),
        })
    }
}

impl From<Upload> for AuditUpload {
    fn from(upload: Upload) -> Self {
        let Upload {
            origin,
            first,
            records,
            checkpoint,
        } = upload;
        Self {
            origin,
            first,
            records,
            checkpoint: checkpoint.unwrap_or_default(),
        }
    }
}

impl TryFrom<AuditHeld> for Answer {
    type Error = WireError;

    fn try_from(message: AuditHeld) -> Result<Self, WireError> {
        let AuditHeld {
            size,
            cosignature,
            cosigner,
            refused,
            detail,
        } = message;
        limit("cosignature", cosignature.len(), MAX_TEXT)?;
        limit("cosigner", cosigner.len(), MAX_TEXT)?;
        limit("detail", detail.len(), MAX_TEXT)?;
        if !refused.is_empty() {
            let refusal = refused.parse().map_err(|_| WireError::Range("refused"))?;
            return Ok(Self::Refused { refusal, detail });
        }
        Ok(Self::Held(Held {
            size,
            cosigned: (!cosignature.is_empty()).then_some(Cosignature {
                line: cosignature,
                cosigner,
            }),
        }))
    }
}

impl From<Answer> for AuditHeld {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Held(Held { size, cosigned }) => {
                let (cosignature, cosigner) = cosigned
                    .map(|Cosignature { line, cosigner }| (line, cosigner))
                    .unwrap_or_default();
                Self {
                    size,
                    cosignature,
                    cosigner,
                    ..Self::default()
                }
            }
            Answer::Refused { refusal, detail } => Self {
                refused: refusal.to_string(),
                detail,
                ..Self::default()
            },
        }
    }
}

fn limit(field: &'static str, size: usize, limit: usize) -> Result<(), WireError> {
    if size > limit {
        return Err(WireError::TooLarge { field, size, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn message() -> AuditUpload {
        AuditUpload {
            origin: "holdfast/audit/00".to_owned(),
            first: 7,
            records: vec![b"{}".to_vec(); 3],
            checkpoint: String::new(),
        }
    }

    #[test]
    fn an_upload_is_bounded_in_every_direction() {
        let upload = Upload::try_from(message()).unwrap();
        assert_eq!((upload.end(), upload.checkpoint.clone()), (10, None));
        assert_eq!(AuditUpload::from(upload), message());
        let spoiled: [fn(&mut AuditUpload); 6] = [
            |message| message.origin = "o".repeat(256),
            |message| message.records = vec![b"{}".to_vec(); MAX_RECORDS + 1],
            |message| message.records = vec![vec![b' '; MAX_RECORD + 1]],
            |message| message.records = vec![vec![b' '; MAX_RECORD]; 17],
            |message| message.records = vec![Vec::new()],
            |message| message.first = 1 << 53,
        ];
        for spoil in spoiled {
            let mut message = message();
            spoil(&mut message);
            assert!(Upload::try_from(message).is_err());
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was_given() {
        let cosigned = Cosignature {
            line: "line".to_owned(),
            cosigner: "key".to_owned(),
        };
        let mut answers = vec![
            Answer::Held(Held {
                size: 3,
                cosigned: None,
            }),
            Answer::Held(Held {
                size: 4,
                cosigned: Some(cosigned),
            }),
        ];
        answers.extend(Refusal::ALL.map(|refusal| Answer::Refused {
            refusal,
            detail: "why".to_owned(),
        }));
        for answer in answers {
            assert_eq!(
                Answer::try_from(AuditHeld::from(answer.clone())).unwrap(),
                answer
            );
        }
        let unknown = AuditHeld {
            refused: "whim".to_owned(),
            ..AuditHeld::default()
        };
        assert!(Answer::try_from(unknown).is_err());
    }

    #[test]
    fn a_log_is_named_for_its_key() {
        let name = log_name(&Sha256Digest::new([0xab; 32]));
        assert_eq!(name, "holdfast/audit/abababababababab");
    }
}
