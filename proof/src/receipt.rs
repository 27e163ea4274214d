//! Receipts: that a human consented to exactly one call, with proof of presence (DESIGN §10).
//!
//! A receipt is judged by the approval key that was enrolled for the human, never by the key that it names itself. Whether
//! it was consumed before, and whether its policy is still in force, is for the caller.

use data_encoding::HEXLOWER;
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::receipt::{Consent, ConsentProof, Receipt};

use crate::hash::{NotCanonicalizable, canonical_digest, canonical_json};
use crate::tpm::{EccPublicKey, HashAlg, PublicKey};

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptRefused {
    /// Whoever presented it: it answers another question.
    #[error("the receipt is one for another question")]
    OtherQuestion,
    /// Whoever presented it: it names a key other than the one enrolled for the human.
    #[error("the receipt is by another key")]
    OtherKey,
    /// Whoever presented it: key or signature is not hexadecimal, or the answer is older than the question.
    #[error("the `{0}` of the receipt is malformed")]
    Malformed(&'static str),
    /// Whoever presented it: the signature is not one of this consent.
    #[error("the signature of the receipt does not verify")]
    Signature,
    /// Us: the consent has no canonical form.
    #[error("the consent cannot be hashed")]
    Unhashable(#[source] NotCanonicalizable),
}

/// What an approval key signs: SHA-256 over the canonical JSON of the consent.
pub fn consent_digest(consent: &Consent) -> Result<Sha256Digest, NotCanonicalizable> {
    canonical_digest(consent)
}

/// Checks that `receipt` answers the `question`, and that the approval key `enrolled` for the human signed it.
pub fn verify(
    receipt: &Receipt,
    question: &Consent,
    enrolled: &EccPublicKey,
) -> Result<(), ReceiptRefused> {
    if receipt.consent != *question {
        return Err(ReceiptRefused::OtherQuestion);
    }
    if receipt.given < question.asked {
        return Err(ReceiptRefused::Malformed("given"));
    }
    match &receipt.proof {
        ConsentProof::TpmPin {
            public_key,
            signature,
        } => {
            let named = decode(public_key, "public_key")?;
            if PublicKey::from_spki_der(&named) != Some(PublicKey::Ecc(enrolled.clone())) {
                return Err(ReceiptRefused::OtherKey);
            }
            let signature = decode(signature, "signature")?;
            let signed = canonical_json(question).map_err(ReceiptRefused::Unhashable)?;
            enrolled
                .verify_der(&signed, HashAlg::Sha256, &signature)
                .map_err(|_| ReceiptRefused::Signature)
        }
    }
}

fn decode(hex: &str, field: &'static str) -> Result<Vec<u8>, ReceiptRefused> {
    HEXLOWER
        .decode(hex.as_bytes())
        .map_err(|_| ReceiptRefused::Malformed(field))
}

#[cfg(test)]
mod tests;
