//! A digest together with its algorithm.
//!
//! A digest whose length does not fit its algorithm cannot be made.

use super::{Buffer, HashAlg, MalformedStructure, Reader};

/// A digest of one of the accepted algorithms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    alg: HashAlg,
    bytes: Buffer<{ HashAlg::MAX_DIGEST }>,
}

impl Digest {
    /// Takes `bytes` as a digest of `alg`; `None` if their length is another.
    pub fn new(alg: HashAlg, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != alg.digest_len() {
            return None;
        }
        Some(Self {
            alg,
            bytes: Buffer::new(bytes)?,
        })
    }

    /// Hashes `bytes`.
    pub fn of(alg: HashAlg, bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(alg.implementation(), bytes);
        // No algorithm of HashAlg is longer than the buffer, so this never falls back to the empty digest.
        let bytes = Buffer::new(digest.as_ref()).unwrap_or_default();
        Self { alg, bytes }
    }

    /// The value of a PCR that had this one and measures another digest (TPM2_PCR_Extend, Part 1 §17.3; Part 3 §22.2).
    #[must_use]
    pub fn extended_by(&self, measured: &Self) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(self.alg.implementation());
        context.update(self.as_bytes());
        context.update(measured.as_bytes());
        let bytes = Buffer::new(context.finish().as_ref()).unwrap_or_default();
        Self {
            alg: self.alg,
            bytes,
        }
    }

    /// The algorithm.
    pub fn alg(&self) -> HashAlg {
        self.alg
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    pub(super) fn buffer(&self) -> &Buffer<{ HashAlg::MAX_DIGEST }> {
        &self.bytes
    }

    /// Reads a TPM2B_DIGEST that is either empty or a digest of `alg`.
    pub(super) fn read_optional(
        reader: &mut Reader<'_>,
        structure: &'static str,
        field: &'static str,
        alg: HashAlg,
    ) -> Result<Option<Self>, MalformedStructure> {
        let bytes: Buffer<{ HashAlg::MAX_DIGEST }> = reader.sized(field)?;
        match bytes.as_bytes().len() {
            0 => Ok(None),
            length if length == alg.digest_len() => Ok(Some(Self { alg, bytes })),
            _ => Err(MalformedStructure::Inconsistent { structure, field }),
        }
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = data_encoding::HEXLOWER.encode(self.as_bytes());
        write!(f, "{:?}:{hex}", self.alg)
    }
}
