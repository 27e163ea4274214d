//! A vault as it lies on disk: what is in it by name and use, and boxes that only its key opens.
//!
//! Nothing here is secret. Whoever can write the file is not trusted for it: it is bounded and parsed
//! strictly, and what it says of a secret counts only once that secret's box has opened under it. This
//! module must never accept what it would not write.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use holdfast_protocol::Timestamp;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::vault::{MAX_VALUE, SecretName, SecretUse, Sharing};
use serde::{Deserialize, Serialize};

/// The largest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// The most secrets in one vault.
pub const MAX_SECRETS: usize = 256;

/// Bytes of an AES-GCM nonce (NIST SP 800-38D §5.2.1.1).
pub const NONCE: usize = 12;

/// Bytes of an AES-GCM tag.
const TAG: usize = 16;

/// A vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultFile {
    version: Version,
    /// Whose it is.
    pub human: HumanUid,
    /// What else than the TPM opens it.
    pub sharing: Sharing,
    /// The TPM's part of its key, sealed.
    pub root: SealedRoot,
    /// An empty box under the key: it opens if the key is the right one.
    pub check: Boxed,
    /// What it keeps.
    #[serde(with = "listed")]
    pub secrets: BTreeMap<SecretName, Entry>,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub purpose: SecretUse,
    /// When it was put in.
    pub added: Timestamp,
    /// The secret, boxed together with its name, use and human.
    pub sealed: Boxed,
}

/// The TPM's part of a vault's key, sealed by a TPM: what only the sealer reads; base64 in the file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealedRoot(Vec<u8>);

/// Nonce, ciphertext and tag of AES-256-GCM; base64 in the file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Boxed(Vec<u8>);

/// A file is not a vault that this version keeps: environment.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is too large.
    #[error("it has more than {MAX_FILE} bytes")]
    TooLarge,
    /// It is something else, or of another version.
    #[error("it is not a vault of this version")]
    Form(#[source] serde_json::Error),
    /// It was put where another's should be.
    #[error("it is the vault of uid {}", .0.0)]
    Other(HumanUid),
}

impl VaultFile {
    /// A vault without secrets.
    pub fn new(human: HumanUid, sharing: Sharing, root: SealedRoot, check: Boxed) -> Self {
        Self {
            version: Version,
            human,
            sharing,
            root,
            check,
            secrets: BTreeMap::new(),
        }
    }

    /// Reads the vault of `human`.
    ///
    /// # Errors
    /// [`FileError`] if it is not one.
    pub fn read(bytes: &[u8], human: HumanUid) -> Result<Self, FileError> {
        if bytes.len() > MAX_FILE {
            return Err(FileError::TooLarge);
        }
        let file: Self = serde_json::from_slice(bytes).map_err(FileError::Form)?;
        if file.human == human {
            Ok(file)
        } else {
            Err(FileError::Other(file.human))
        }
    }

    /// The bytes to be kept.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] if it could not be read again.
    pub fn write(&self) -> Result<Vec<u8>, FileError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(FileError::Form)?;
        if bytes.len() > MAX_FILE || self.secrets.len() > MAX_SECRETS {
            return Err(FileError::TooLarge);
        }
        Ok(bytes)
    }
}

impl SealedRoot {
    /// The longest, in bytes: a TPM's is under 8 KiB with all its approvals.
    pub const MAX: usize = 32 * 1024;

    /// What a sealer made; `None` if that is longer than [`Self::MAX`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    /// What the sealer made.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SealedRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedRoot({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for SealedRoot {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let bytes = BASE64
            .decode(text.as_bytes())
            .map_err(|_| "a sealed root is base64")?;
        Self::new(bytes).ok_or("no sealed root has this length")
    }
}

impl From<SealedRoot> for String {
    fn from(root: SealedRoot) -> Self {
        BASE64.encode(&root.0)
    }
}

impl Boxed {
    /// From nonce, ciphertext and tag; `None` if that is shorter or longer than any box.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (NONCE + TAG..=NONCE + TAG + MAX_VALUE)
            .contains(&bytes.len())
            .then_some(Self(bytes))
    }

    /// Nonce; ciphertext and tag.
    pub fn parts(&self) -> Option<(&[u8; NONCE], &[u8])> {
        self.0.split_first_chunk()
    }
}

impl std::fmt::Debug for Boxed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Boxed({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for Boxed {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let bytes = BASE64
            .decode(text.as_bytes())
            .map_err(|_| "a box is base64")?;
        Self::new(bytes).ok_or("no box has this length")
    }
}

impl From<Boxed> for String {
    fn from(boxed: Boxed) -> Self {
        BASE64.encode(&boxed.0)
    }
}

/// The one version there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, &'static str> {
        match number {
            1 => Ok(Self),
            _ => Err("the version is not 1"),
        }
    }
}

impl From<Version> for u32 {
    fn from(Version: Version) -> Self {
        1
    }
}

/// Secrets as a list in the file, because a map there could name one twice.
mod listed {
    use super::*;
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        name: SecretName,
        #[serde(rename = "use")]
        purpose: SecretUse,
        added: Timestamp,
        sealed: Boxed,
    }

    pub fn serialize<S: Serializer>(
        secrets: &BTreeMap<SecretName, Entry>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(secrets.iter().map(|(name, entry)| Line {
            name: name.clone(),
            purpose: entry.purpose.clone(),
            added: entry.added,
            sealed: entry.sealed.clone(),
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<SecretName, Entry>, D::Error> {
        deserializer.deserialize_seq(Lines)
    }

    struct Lines;

    impl<'de> Visitor<'de> for Lines {
        type Value = BTreeMap<SecretName, Entry>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MAX_SECRETS} secrets of different names")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Self::Value, A::Error> {
            let mut secrets = BTreeMap::new();
            while let Some(line) = lines.next_element::<Line>()? {
                let entry = Entry {
                    purpose: line.purpose,
                    added: line.added,
                    sealed: line.sealed,
                };
                if secrets.len() == MAX_SECRETS || secrets.insert(line.name, entry).is_some() {
                    return Err(A::Error::custom("too many secrets, or two of one name"));
                }
            }
            Ok(secrets)
        }
    }
}
