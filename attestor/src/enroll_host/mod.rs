//! Whether a host may join (DESIGN §8, "enroll once"): pure, in two moves.
//!
//! [`admit`] judges who asks; [`confirm`] judges what only that TPM can have answered. Neither does
//! I/O, reads a clock, or draws randomness; the secret between them is the shell's.

mod admit;
mod confirm;
mod ek_trust;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use holdfast_proof::ek_certificate::{Certificate, Revocation};
use holdfast_proof::evidence::Nonce;
use holdfast_proof::tpm::Public;
use holdfast_protocol::evidence::Signed;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::registry::{EkFingerprint, EkTrust, HostName, TokenHash, TokenRecord};

pub use admit::admit;
pub use confirm::confirm;
pub use ek_trust::judge_certificate;

/// Whom policy lets in.
#[derive(Clone, Debug)]
pub struct EnrollmentPolicy {
    /// Whether hosts with a simulated TPM may join.
    pub simulated: Simulated,
    /// The vendors' roots: an EK certificate that chains to one is trusted.
    pub roots: Vec<Certificate>,
    /// Vendors' intermediates, beside those that a host sends.
    pub intermediates: Vec<Certificate>,
    /// The vendors' revocation lists.
    pub revocation: Revocation,
    /// EKs that an operator listed.
    pub allowed: BTreeSet<EkFingerprint>,
    /// What becomes of hosts that nothing vouches for.
    pub unknown: UnknownHosts,
}

/// What becomes of hosts that nothing vouches for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownHosts {
    /// They are refused.
    #[default]
    Refuse,
    /// They are refused, and wait for an operator who may approve them.
    Pending,
}

/// What becomes of hosts with a simulated TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// They may join, labelled.
    Accept,
    /// They may not.
    Refuse,
}

/// A host asks to join.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Its EK, TPMT_PUBLIC.
    pub ek: Vec<u8>,
    /// Its EK's certificate, DER; empty where it has none.
    pub ek_certificate: Vec<u8>,
    /// Certificates between that and a root, DER.
    pub ek_intermediates: Vec<Vec<u8>>,
    /// Its AK, TPMT_PUBLIC.
    pub ak: Vec<u8>,
    /// What it calls itself.
    pub name: HostName,
    /// What it says it is.
    pub grade: Grade,
}

impl JoinRequest {
    /// The fingerprint of its EK; `None` where that is no key, which [`admit`] refuses.
    pub fn ek_fingerprint(&self) -> Option<EkFingerprint> {
        let key = Public::parse(&self.ek).ok()?.key()?;
        Some(EkFingerprint::of(&key))
    }
}

/// What the token that came along is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenStanding {
    /// None came.
    Absent,
    /// It may be used.
    Usable(TokenRecord),
    /// It is not ours, has expired, or was used.
    Unusable,
}

/// A host that may prove its TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its EK.
    pub ek: Public,
    /// Its AK, not yet proven to live beside the EK.
    pub ak: Public,
    /// What it calls itself.
    pub name: HostName,
    /// What it says it is.
    pub grade: Grade,
    /// Why its EK is believed.
    pub trust: EkTrust,
    /// The token that enrolling it uses up.
    pub token: Option<TokenHash>,
}

/// An enrollment that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEnrollment {
    /// Its EK.
    pub ek: Public,
    /// Its AK.
    pub ak: Public,
    /// What it calls itself.
    pub name: HostName,
    /// What it says it is.
    pub grade: Grade,
    /// Why its EK is believed.
    pub trust: EkTrust,
    /// The token that enrolling it uses up.
    pub token: Option<TokenHash>,
    /// SHA-256 of the secret that only its TPM can open.
    pub secret: Sha256Digest,
    /// What its certifications have to carry.
    #[serde(with = "nonce_hex")]
    pub nonce: Nonce,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a host answers to the challenge.
#[derive(Clone, Debug)]
pub struct JoinAnswer {
    /// The secret that its TPM opened.
    pub secret: Vec<u8>,
    /// Its checkpoint key, TPMT_PUBLIC.
    pub checkpoint_key: Vec<u8>,
    /// That key's certification by the AK.
    pub checkpoint_key_certified: Signed,
    /// Its audit counter, TPMS_NV_PUBLIC.
    pub audit_counter: Vec<u8>,
    /// The counter's certification by the AK.
    pub audit_counter_certified: Signed,
}

/// Why a host may not join; its spelling is the reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A structure does not parse.
    Structure,
    /// Policy does not accept its grade.
    Grade,
    /// The EK is not a standard endorsement key.
    EkAttributes,
    /// Nothing vouches for the EK.
    EkTrust,
    /// Nothing vouches for the EK, and an operator is asked.
    Pending,
    /// The token is not ours, expired, used, or made for another host.
    Token,
    /// The AK is not an attestation key.
    AkAttributes,
    /// The enrollment is unknown, expired, or was finished before.
    Challenge,
    /// The secret is not the one that only this TPM could open.
    Secret,
    /// What is certified is not signed by the AK below the EK.
    Signature,
    /// What is certified is not of this nonce and connection.
    Binding,
    /// The checkpoint key is not the certified one, or not one that stays in the TPM.
    CheckpointKey,
    /// The audit counter is not the certified one, or not a counter that only increments.
    AuditCounter,
    /// The host was revoked.
    Revoked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Structure => "structure",
            Self::Grade => "grade",
            Self::EkAttributes => "ek-attributes",
            Self::EkTrust => "ek-trust",
            Self::Pending => "pending",
            Self::Token => "token",
            Self::AkAttributes => "ak-attributes",
            Self::Challenge => "challenge",
            Self::Secret => "secret",
            Self::Signature => "signature",
            Self::Binding => "binding",
            Self::CheckpointKey => "checkpoint-key",
            Self::AuditCounter => "audit-counter",
            Self::Revoked => "revoked",
        })
    }
}

/// A host may not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("enrollment refused: {reason}")]
pub struct JoinRefused {
    /// Why.
    pub reason: Reason,
    /// What was expected and seen, for the operator.
    pub detail: String,
}

impl JoinRefused {
    /// A refusal; of `detail`, much of which quotes the host, 400 characters are kept.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string().chars().take(400).collect();
        Self { reason, detail }
    }
}

/// A nonce as hex, for the store.
mod nonce_hex {
    use holdfast_proof::evidence::Nonce;
    use holdfast_protocol::Sha256Digest;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        nonce: &Nonce,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // Both are 32 bytes that read best as hex.
        Sha256Digest::new(*nonce.as_bytes()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Nonce, D::Error> {
        Sha256Digest::deserialize(deserializer).map(|bytes| Nonce::new(*bytes.as_bytes()))
    }
}
