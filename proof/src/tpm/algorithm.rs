//! The algorithms that Holdfast accepts from a TPM, by their TCG identifiers (TCG Algorithm Registry; Part 2 §6.3, §6.4).
//!
//! An identifier that is not listed here is refused where it is read; it never becomes a value.

use aws_lc_rs::digest;

use super::{Digest, MalformedStructure, Reader};

/// TPM_ALG_NULL.
pub(super) const NULL: u16 = 0x0010;

/// A hash algorithm (TPMI_ALG_HASH).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum HashAlg {
    /// SHA-1: only as a PCR bank, never below a signature.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlg {
    /// The longest digest of any algorithm here, in bytes.
    pub const MAX_DIGEST: usize = 64;

    /// The algorithm of a TCG identifier, if Holdfast knows it.
    pub fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0004 => Some(Self::Sha1),
            0x000b => Some(Self::Sha256),
            0x000c => Some(Self::Sha384),
            0x000d => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The TCG identifier.
    pub fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The length of a digest, in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        Digest::of(self, bytes)
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Self, MalformedStructure> {
        let id = reader.u16(field)?;
        Self::from_id(id).ok_or_else(|| reader.refuse(field, id.into()))
    }

    pub(crate) fn implementation(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// An elliptic curve (TPMI_ECC_CURVE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EccCurve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl EccCurve {
    /// The TCG identifier.
    pub fn id(self) -> u16 {
        match self {
            Self::P256 => 0x0003,
            Self::P384 => 0x0004,
        }
    }

    /// The length of one coordinate, in bytes.
    pub fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        match reader.u16("curveID")? {
            0x0003 => Ok(Self::P256),
            0x0004 => Ok(Self::P384),
            other => Err(reader.refuse("curveID", other.into())),
        }
    }
}
