#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use holdfast_protocol::Timestamp;

use super::*;
use crate::hash::sha256;
use crate::tpm::EccCurve;

struct Human {
    pair: EcdsaKeyPair,
    key: EccPublicKey,
}

impl Human {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let key = EccPublicKey::from_sec1(EccCurve::P256, pair.public_key().as_ref()).unwrap();
        Self { pair, key }
    }

    fn consents(&self, consent: &Consent) -> Receipt {
        let signed = canonical_json(consent).unwrap();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        let spki = PublicKey::Ecc(self.key.clone()).to_spki_der();
        Receipt {
            consent: consent.clone(),
            proof: ConsentProof::TpmPin {
                public_key: HEXLOWER.encode(&spki),
                signature: HEXLOWER.encode(signature.as_ref()),
            },
            given: Timestamp::from_secs(2_000),
        }
    }
}

fn question() -> Consent {
    serde_json::from_value(serde_json::json!({
        "format": "holdfast-consent-v1",
        "call": "aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "call_digest": sha256(b"call"),
        "policy_digest": sha256(b"policy"),
        "human": 1000,
        "nonce": sha256(b"nonce"),
        "asked": 1_000_000,
    }))
    .unwrap()
}

#[test]
fn a_receipt_by_the_enrolled_key_is_accepted() {
    let human = Human::new();
    let receipt = human.consents(&question());
    assert!(verify(&receipt, &question(), &human.key).is_ok());
    let stored = serde_json::to_string(&receipt).unwrap();
    let again: Receipt = serde_json::from_str(&stored).unwrap();
    assert!(verify(&again, &question(), &human.key).is_ok());
}

#[test]
fn the_digest_to_sign_is_that_of_the_canonical_json() {
    let json = String::from_utf8(canonical_json(&question()).unwrap()).unwrap();
    assert!(json.starts_with(r#"{"asked":1000000,"call":"aaaaaaaaaa"#));
    assert_eq!(
        consent_digest(&question()).unwrap(),
        sha256(json.as_bytes())
    );
}

#[test]
fn a_receipt_for_another_question_is_refused() {
    let human = Human::new();
    let receipt = human.consents(&question());
    let mut other = question();
    other.call_digest = sha256(b"another call");
    assert!(matches!(
        verify(&receipt, &other, &human.key),
        Err(ReceiptRefused::OtherQuestion)
    ));
    // The same signature under a question that was exchanged.
    let mut moved = receipt;
    moved.consent = other.clone();
    assert!(matches!(
        verify(&moved, &other, &human.key),
        Err(ReceiptRefused::Signature)
    ));
}

#[test]
fn a_receipt_by_another_key_is_refused_even_if_it_names_the_enrolled_one() {
    let (human, other) = (Human::new(), Human::new());
    let by_other = other.consents(&question());
    assert!(matches!(
        verify(&by_other, &question(), &human.key),
        Err(ReceiptRefused::OtherKey)
    ));
    let ConsentProof::TpmPin { signature, .. } = by_other.proof;
    let mut forged = human.consents(&question());
    let ConsentProof::TpmPin { public_key, .. } = forged.proof;
    forged.proof = ConsentProof::TpmPin {
        public_key,
        signature,
    };
    assert!(matches!(
        verify(&forged, &question(), &human.key),
        Err(ReceiptRefused::Signature)
    ));
}

#[test]
fn malformed_receipts_are_refused() {
    let human = Human::new();
    let mut early = human.consents(&question());
    early.given = Timestamp::from_secs(999);
    let mut not_hex = human.consents(&question());
    not_hex.proof = ConsentProof::TpmPin {
        public_key: "XY".to_owned(),
        signature: String::new(),
    };
    for (receipt, field) in [(early, "given"), (not_hex, "public_key")] {
        assert!(matches!(
            verify(&receipt, &question(), &human.key),
            Err(ReceiptRefused::Malformed(found)) if found == field
        ));
    }
}
