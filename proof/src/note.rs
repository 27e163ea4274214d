//! C2SP signed notes and tlog checkpoints (signed-note v1, tlog-checkpoint v1), signed by a TPM with ECDSA P-256.
//!
//! Parsing is strict and bounded, and what is parsed is not yet believed: only `EcdsaVerifier` turns a note into a
//! verified checkpoint. Nothing here signs; the key is in a TPM.

mod checkpoint;
mod signed;
mod verifier;

pub use checkpoint::{CheckpointBody, MalformedCheckpoint};
pub use signed::{KeyId, MalformedNote, SignatureLine, SignedNote};
pub use verifier::{EcdsaVerifier, EvidenceLine, InvalidVkey, NoteRefused};

use std::fmt;

/// The name of a log and of the key that signs its checkpoints: not empty, no white space, control character or `+`, and at
/// most 255 bytes. A schema-less URL by convention, such as `example.org/audit/host`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// The text is not an origin. Whoever wrote it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin has 1 to {} bytes without white space, control characters or `+`",
    Origin::MAX
)]
pub struct InvalidOrigin;

impl Origin {
    /// The longest origin, in bytes.
    pub const MAX: usize = 255;

    /// Takes `text` as an origin.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidOrigin> {
        let text = text.into();
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if text.is_empty() || text.len() > Self::MAX || !text.chars().all(plain) {
            return Err(InvalidOrigin);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        Self::new(text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

#[cfg(test)]
mod tests;
