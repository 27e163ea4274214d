//! The text of a checkpoint: origin, size, root (C2SP tlog-checkpoint).
//!
//! Extension lines are refused: the specification discourages them, and ours ride as signature lines.

use data_encoding::BASE64;
use holdfast_protocol::Sha256Digest;

use super::{InvalidOrigin, Origin};

/// The state of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointBody {
    /// Which log.
    pub origin: Origin,
    /// How many entries it has.
    pub size: u64,
    /// The root of its tree.
    pub root: Sha256Digest,
}

/// The text is not a checkpoint. Whoever wrote it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCheckpoint {
    /// Not three lines that each end with a line feed.
    #[error("a checkpoint has exactly three lines")]
    Lines,
    /// The first line.
    #[error("the origin line is malformed")]
    Origin(#[source] InvalidOrigin),
    /// The second line.
    #[error("the size line is not a decimal number without leading zeros")]
    Size,
    /// The third line.
    #[error("the root line is not 32 bytes in base64")]
    Root,
}

impl CheckpointBody {
    /// The text that is signed.
    pub fn encode(&self) -> String {
        let root = BASE64.encode(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Parses the text of a checkpoint; the one spelling that `encode` makes.
    pub fn parse(text: &str) -> Result<Self, MalformedCheckpoint> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(MalformedCheckpoint::Lines)?
            .split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(MalformedCheckpoint::Lines);
        };
        Ok(Self {
            origin: Origin::new(origin).map_err(MalformedCheckpoint::Origin)?,
            size: parse_size(size).ok_or(MalformedCheckpoint::Size)?,
            root: parse_root(root).ok_or(MalformedCheckpoint::Root)?,
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    // `parse` also takes a sign and leading zeros, which would give one size several spellings.
    (size.to_string() == text).then_some(size)
}

fn parse_root(text: &str) -> Option<Sha256Digest> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    // `decode` also takes padding within the text, which would give one root several spellings.
    if BASE64.encode(&bytes) != text {
        return None;
    }
    Sha256Digest::try_from(bytes.as_slice()).ok()
}
