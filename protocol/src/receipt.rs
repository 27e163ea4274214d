//! A human's proof of consent to one call: what was signed and with what.
//!
//! `holdfast-proof` verifies a receipt; this module must never judge one.

use serde::{Deserialize, Serialize};

use crate::call::HumanUid;
use crate::id::CallId;
use crate::{Sha256Digest, Timestamp};

/// The statement that a receipt signs: SHA-256 over the canonical JSON (RFC 8785) of this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Always `holdfast-consent-v1`.
    pub format: ConsentFormat,
    /// The call.
    pub call: CallId,
    /// SHA-256 over the call's canonical JSON.
    pub call_digest: Sha256Digest,
    /// SHA-256 over the policy that was in force.
    pub policy_digest: Sha256Digest,
    /// Who consents.
    pub human: HumanUid,
    /// 256 random bits that the broker drew for this question, in hex.
    pub nonce: Sha256Digest,
    /// When the question was put.
    pub asked: Timestamp,
}

/// The format of a [`Consent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentFormat {
    /// The first and only one.
    #[serde(rename = "holdfast-consent-v1")]
    V1,
}

/// A consent and the proof of it; consumed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was consented to.
    pub consent: Consent,
    /// How.
    pub proof: ConsentProof,
    /// When the proof was made.
    pub given: Timestamp,
}

/// The proof of a consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "factor", rename_all = "kebab-case")]
pub enum ConsentProof {
    /// The TPM signed under the human's PIN.
    TpmPin {
        /// The approval key: SubjectPublicKeyInfo, DER, hex.
        public_key: String,
        /// ECDSA P-256 over the consent's digest, ASN.1 DER, hex.
        signature: String,
    },
}
