//! A receipt held against the audit records around it: did this human consent to this very call?
//!
//! Pure, and sure of nothing but bytes: the signature is checked here, the digests are computed again here. Whether the
//! records themselves are the log's is `audit verify`'s question, and must never be taken for answered here.

mod evidence;

use data_encoding::HEXLOWER;
use holdfast_proof::hash::{NotCanonicalizable, canonical_digest, sha256};
use holdfast_proof::receipt::{ReceiptRefused, consent_digest, verify};
use holdfast_proof::tpm::{EccPublicKey, PublicKey};
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::receipt::{ConsentProof, Receipt};
use serde::Serialize;

pub use evidence::{Approval, DecidedCall, Evidence, NotARecord};

/// Why a receipt is not proven. Whoever presents the records is to blame, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// The record around the receipt speaks of something else.
    #[error("record: it names another call or another human than the receipt in it")]
    OtherRecord,
    /// The receipt's key is none that approvals are signed with.
    #[error("signature: the receipt's key is not a P-256 key")]
    NotAKey,
    /// The receipt does not hold by itself.
    #[error("signature: the receipt proves nothing")]
    Receipt(#[source] ReceiptRefused),
    /// Nobody vouches for the key.
    #[error("key: no earlier record enrolls this key, and no --key names it")]
    NotEnrolled,
    /// It is somebody else's.
    #[error(
        "key: this key was enrolled for uid {owner}, and not for the uid that the receipt names"
    )]
    OtherHuman {
        /// Whose key it is.
        owner: u32,
    },
    /// The question is not on record.
    #[error("decision: no earlier record asks for consent to this call")]
    NotAsked,
    /// The call is another one.
    #[error(
        "decision: record {index} gives the call the digest {recorded}, and the consent names another"
    )]
    OtherDigest {
        /// The decision's record.
        index: u64,
        /// The digest there.
        recorded: Sha256Digest,
    },
    /// What the record says of the call is not what was hashed.
    #[error(
        "call: what record {index} says of the call has the digest {computed}, and not the one that it names"
    )]
    Altered {
        /// The decision's record.
        index: u64,
        /// The digest of what it says.
        computed: Sha256Digest,
    },
    /// It is used again.
    #[error("once: record {index} holds the same consent, too")]
    Twice {
        /// The other record.
        index: u64,
    },
    /// Us.
    #[error("a digest cannot be computed")]
    Unhashable(#[from] NotCanonicalizable),
}

/// What was proven.
#[derive(Debug, Serialize)]
pub struct Proven {
    /// The record that holds the receipt.
    pub record: u64,
    /// The receipt.
    pub receipt: Receipt,
    /// What was signed: SHA-256 over the consent's canonical JSON.
    pub consent_digest: Sha256Digest,
    /// SHA-256 over the key's SubjectPublicKeyInfo.
    pub key: Sha256Digest,
    /// Who says that the key is the human's.
    pub vouched: Vouched,
    /// The record that asked.
    pub asked: u64,
    /// The call, as that record says it.
    pub call: DecidedCall,
}

/// Who says that an approval key is the human's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vouched {
    /// A record of its enrollment.
    Record(u64),
    /// Whoever asks, with --key, and no record.
    Caller,
    /// Both.
    CallerAndRecord(u64),
}

/// Checks one approval, step by step.
///
/// # Errors
/// The first step that does not hold.
pub fn judge(
    evidence: &Evidence,
    approval: &Approval,
    known: Option<&EccPublicKey>,
) -> Result<Proven, Unproven> {
    let receipt = &approval.receipt;
    let consent = &receipt.consent;
    if approval.call != consent.call || approval.human != consent.human {
        return Err(Unproven::OtherRecord);
    }
    let (named, key) = named_key(receipt)?;
    verify(receipt, consent, known.unwrap_or(&named)).map_err(Unproven::Receipt)?;
    let vouched = vouched(evidence, approval, key, known)?;
    let (asked, call) = asked(evidence, approval)?;
    if let Some(other) = evidence
        .approvals()
        .find(|other| other.index != approval.index && other.receipt.consent == *consent)
    {
        return Err(Unproven::Twice { index: other.index });
    }
    Ok(Proven {
        record: approval.index,
        receipt: receipt.clone(),
        consent_digest: consent_digest(consent)?,
        key,
        vouched,
        asked,
        call,
    })
}

/// The key that the receipt names, and its SHA-256.
fn named_key(receipt: &Receipt) -> Result<(EccPublicKey, Sha256Digest), Unproven> {
    let ConsentProof::TpmPin { public_key, .. } = &receipt.proof;
    let spki = HEXLOWER
        .decode(public_key.as_bytes())
        .map_err(|_| Unproven::NotAKey)?;
    match PublicKey::from_spki_der(&spki) {
        Some(PublicKey::Ecc(key)) => Ok((key, sha256(&spki))),
        Some(PublicKey::Rsa(_)) | None => Err(Unproven::NotAKey),
    }
}

fn vouched(
    evidence: &Evidence,
    approval: &Approval,
    key: Sha256Digest,
    known: Option<&EccPublicKey>,
) -> Result<Vouched, Unproven> {
    let mut owner = None;
    for enrollment in evidence.enrollments(key) {
        if enrollment.index >= approval.index {
            continue;
        }
        if enrollment.human == approval.human {
            return Ok(match known {
                Some(_) => Vouched::CallerAndRecord(enrollment.index),
                None => Vouched::Record(enrollment.index),
            });
        }
        owner = Some(enrollment.human);
    }
    match (owner, known) {
        (Some(owner), _) => Err(Unproven::OtherHuman { owner: owner.0 }),
        (None, Some(_)) => Ok(Vouched::Caller),
        (None, None) => Err(Unproven::NotEnrolled),
    }
}

/// The record that asked for this consent; every decision about the call has to be about the same.
fn asked(evidence: &Evidence, approval: &Approval) -> Result<(u64, DecidedCall), Unproven> {
    let consent = &approval.receipt.consent;
    let mut asked = None;
    for decision in evidence.decisions(consent.call) {
        if decision.digest != consent.call_digest {
            return Err(Unproven::OtherDigest {
                index: decision.index,
                recorded: decision.digest,
            });
        }
        if let DecidedCall::Whole(call) = &decision.call {
            let computed = canonical_digest(call)?;
            let same = call.id == consent.call
                && call.caller.human == consent.human
                && computed == decision.digest;
            if !same {
                return Err(Unproven::Altered {
                    index: decision.index,
                    computed,
                });
            }
        }
        if decision.asks && decision.index < approval.index && asked.is_none() {
            asked = Some((decision.index, decision.call.clone()));
        }
    }
    asked.ok_or(Unproven::NotAsked)
}

#[cfg(test)]
mod tests;
