//! The bytes that carry a counted checkpoint's evidence, in a note's evidence line or in a store.
//!
//! Splits bytes and joins them; `CounterAnchor` judges.

use crate::tpm::{Attest, Buffer, MalformedStructure, Reader, Writer};

/// What TPM2_NV_Certify returned: TPMS_ATTEST and TPMT_SIGNATURE, each behind its 16-bit length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterEvidence {
    attest: Buffer<{ Attest::MAX }>,
    signature: Buffer<{ CounterEvidence::MAX_SIGNATURE }>,
}

impl CounterEvidence {
    /// The longest TPMT_SIGNATURE that is taken, in bytes.
    pub const MAX_SIGNATURE: usize = 512;

    /// The evidence of TPMS_ATTEST and TPMT_SIGNATURE bytes; `None` if one is too long.
    pub fn new(attest: &[u8], signature: &[u8]) -> Option<Self> {
        Some(Self {
            attest: Buffer::new(attest)?,
            signature: Buffer::new(signature)?,
        })
    }

    /// Splits stored evidence.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new("counter evidence", bytes);
        let evidence = Self {
            attest: reader.sized("attest")?,
            signature: reader.sized("signature")?,
        };
        reader.finish()?;
        Ok(evidence)
    }

    /// Both behind their 16-bit lengths.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new()
            .sized(&self.attest)
            .sized(&self.signature)
            .finish()
    }

    /// TPMS_ATTEST.
    pub fn attest(&self) -> &[u8] {
        self.attest.as_bytes()
    }

    /// TPMT_SIGNATURE.
    pub fn signature(&self) -> &[u8] {
        self.signature.as_bytes()
    }
}
