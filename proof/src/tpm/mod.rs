//! TPM 2.0 structures: bounded parsers and encoders for what crosses from a TPM to a verifier (TCG TPM 2.0 Library, Part 2).
//!
//! Every `parse` takes untrusted bytes, reads exactly one structure, and refuses what follows it. Nothing here talks to
//! a TPM, trusts a length before checking it, or accepts an algorithm that Holdfast does not verify.

mod algorithm;
mod attest;
mod attributes;
mod banks;
mod clock;
mod digest;
mod hex_serde;
mod key;
mod name;
mod nv;
mod pcr;
mod public;
mod scheme;
mod signature;
mod spki;
mod wire;

pub use algorithm::{EccCurve, HashAlg};
pub use attest::{Attest, Attested, Certified, Exclusive, NvCertified, Quoted, SessionAudited};
pub use attributes::ObjectAttributes;
pub use banks::ActiveBanks;
pub use clock::{ClockInfo, Safe, TimeField, TimeInfo};
pub use digest::Digest;
pub use key::{EccPublicKey, PublicKey, RsaPublicKey, SignatureRefused};
pub use name::Name;
pub use nv::{NvAttributes, NvIndex, NvIndexType, NvPublic};
pub use pcr::{PcrIndex, PcrMismatch, PcrSelection, PcrValues, pcr_digest};
pub use public::{KeyKind, Public, PublicParts};
pub use scheme::{AsymmetricScheme, KdfScheme, KeyedHashScheme, StorageCipher};
pub use signature::{EcdsaSignature, RsaPadding, RsaSignature, Signature};
pub use wire::{Buffer, Reader, Writer};

/// Why bytes are not the TPM structure that they should be. The peer that sent them is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedStructure {
    /// The bytes end too early.
    #[error("`{structure}` ends inside its `{field}`")]
    Truncated {
        /// The TCG name of the structure.
        structure: &'static str,
        /// The field that was being read.
        field: &'static str,
    },
    /// Bytes follow the structure.
    #[error("`{structure}` is followed by {excess} bytes that do not belong to it")]
    Trailing {
        /// The TCG name of the structure.
        structure: &'static str,
        /// How many.
        excess: usize,
    },
    /// A length is above its limit.
    #[error("the `{field}` of `{structure}` has {length} bytes, more than its limit of {limit}")]
    TooLong {
        /// The TCG name of the structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// The length in bytes, or the number of entries.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// A value is reserved, unknown, or one that Holdfast does not accept.
    #[error("the `{field}` of `{structure}` has the unsupported value {value:#x}")]
    Unsupported {
        /// The TCG name of the structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Fields contradict each other.
    #[error("the `{field}` of `{structure}` contradicts the rest of it")]
    Inconsistent {
        /// The TCG name of the structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
    },
}

#[cfg(test)]
mod tests;
