//! Promise 3, at its root: a PIN approves one call and no other, three wrong ones lock it and nothing else, and neither the
//! TPM's owner nor a listener on its bus can do without it.

use data_encoding::HEXLOWER;
use holdfast_hardware_tests::harness::{CountingProxy, DelayProfile, Scratch, Swtpm};
use holdfast_proof::hash::sha256;
use holdfast_proof::receipt::{ReceiptRefused, consent_digest, verify};
use holdfast_proof::tpm::{EccPublicKey, NvAttributes, NvPublic, PublicKey};
use holdfast_protocol::Timestamp;
use holdfast_protocol::receipt::{Consent, ConsentProof, Receipt};
use holdfast_tpm::{ApproverSlot, ApproverState, Pin, RecoveryCode, TpmError, TpmState};
use zeroize::Zeroizing;

use crate::support::{Chip, Straight, pin_auth};

const PIN: &str = "correct horse";

/// TPM_RC_POLICY_FAIL for the first session.
const POLICY_FAIL: u32 = 0x99d;
/// TPM_RC_BAD_AUTH for the first session: of something that does not count toward the TPM's lockout, as TPM_RC_AUTH_FAIL
/// would.
const BAD_AUTH: u32 = 0x9a2;
/// TPM_RC_AUTH_UNAVAILABLE: a PIN index whose failures are used up, or that was never written.
const UNAVAILABLE: u32 = 0x12f;
/// TPM_RC_NV_AUTHORIZATION: not by this authorization, whatever its value.
const NOT_AUTHORIZED: u32 = 0x149;

#[tokio::test]
async fn a_pin_given_for_one_call_does_not_sign_another() {
    let (tpm, _, approver) = enrolled().await;
    let (a, b) = (sha256(b"call A"), sha256(b"call B"));
    let key = approver.public().key().unwrap();
    let mut straight = Straight::open(&tpm);

    let pin = pin_auth(PIN);
    let signature = straight.approve(&approver, &pin, a, a).unwrap();
    key.verify(b"call A", &signature).unwrap();
    assert_eq!(
        straight.approve(&approver, &pin, a, b).unwrap_err(),
        POLICY_FAIL
    );
    // Nor does the key sign for somebody who goes around the index that counts.
    assert_eq!(
        straight.sign_without_index(&approver, &pin, a).unwrap_err(),
        POLICY_FAIL
    );
    drop(straight);
    nothing_is_left(&tpm);
}

#[tokio::test]
async fn three_wrong_pins_lock_the_pin_and_nothing_else() {
    let (tpm, _, approver) = enrolled().await;
    let call = sha256(b"call");
    let mut straight = Straight::open(&tpm);
    for typed in ["0001", "0002", "0003"] {
        let refused = straight.approve(&approver, &pin_auth(typed), call, call);
        assert_eq!(refused.unwrap_err(), BAD_AUTH, "{typed}");
    }
    let right = straight.approve(&approver, &pin_auth(PIN), call, call);
    assert_eq!(right.unwrap_err(), UNAVAILABLE);
    drop(straight);

    let properties = tpm.tools().text("getcap", ["properties-variable"]);
    let counter = properties
        .lines()
        .find_map(|line| line.strip_prefix("TPM2_PT_LOCKOUT_COUNTER: "));
    assert_eq!(counter, Some("0x0"), "{properties}");
    assert!(properties.contains("inLockout:                 0"));
    nothing_is_left(&tpm);
}

#[tokio::test]
async fn a_restart_forgives_no_wrong_pin() {
    let (mut tpm, _, approver) = enrolled().await;
    let call = sha256(b"call");
    for typed in ["0001", "0002", "0003"] {
        let mut straight = Straight::open(&tpm);
        let refused = straight.approve(&approver, &pin_auth(typed), call, call);
        assert_eq!(refused.unwrap_err(), BAD_AUTH, "{typed}");
        drop(straight);
        tpm.restart();
    }
    let right = Straight::open(&tpm).approve(&approver, &pin_auth(PIN), call, call);
    assert_eq!(right.unwrap_err(), UNAVAILABLE);
}

#[tokio::test]
async fn an_index_recreated_by_the_owner_approves_nothing() {
    let (tpm, kept, approver) = enrolled().await;
    let call = sha256(b"call");
    let area = approver.pin_index();
    let known = pin_auth("9999");

    // The owner's authorization is empty, and the index is as it was but for its PIN.
    let as_it_was = area.attributes.bits() & !NvAttributes::WRITTEN.bits();
    recreate(&tpm, area, as_it_was, &known);
    let mut straight = Straight::open(&tpm);
    let refused = straight.approve(&approver, &known, call, call);
    assert_eq!(refused.unwrap_err(), UNAVAILABLE);
    // It cannot be made whole either: only the recovery code writes it.
    assert_eq!(straight.write_as_owner(area), Err(NOT_AUTHORIZED));
    assert_eq!(straight.write_by_pin(area, &known), Err(UNAVAILABLE));
    let refused = straight.approve(&approver, &pin_auth(PIN), call, call);
    assert!(refused.is_err());
    drop(straight);

    let chip = Chip::open(tpm.ports().command(), Some(kept)).await;
    for typed in ["9999", PIN] {
        let refused = chip.tpm.approve(&approver, pin(typed), call).await;
        assert!(matches!(refused, Err(TpmError::Changed { .. })));
    }
    chip.nothing_is_left().await;
}

#[tokio::test]
async fn an_index_that_the_owner_may_write_is_not_the_one_of_the_key() {
    let (tpm, _, approver) = enrolled().await;
    let call = sha256(b"call");
    let area = approver.pin_index();
    let known = pin_auth("9999");
    let as_it_was = area.attributes.bits() & !NvAttributes::WRITTEN.bits();
    recreate(
        &tpm,
        area,
        as_it_was | NvAttributes::OWNER_WRITE.bits(),
        &known,
    );

    let mut straight = Straight::open(&tpm);
    straight.write_as_owner(area).unwrap();
    // The owner's PIN is right now, for an index of another name: the key's policy does not know it.
    let refused = straight.approve(&approver, &known, call, call);
    assert_eq!(refused.unwrap_err(), POLICY_FAIL);
    drop(straight);
    nothing_is_left(&tpm);
}

#[tokio::test]
async fn a_receipt_verifies_for_its_question_by_its_human_and_for_no_other() {
    let tpm = Swtpm::bare();
    let chip = Chip::open(tpm.ports().command(), None).await;
    let (approver, other) = (enroll(&chip, 0, PIN).await, enroll(&chip, 1, "4711").await);
    let (question, another) = (consent(b"push to main"), consent(b"delete the tag"));
    let receipt = approve(&chip, &approver, &question).await;

    verify(&receipt, &question, &enrolled_key(&approver)).unwrap();
    // As it is read back by somebody with nothing but the file and the enrolled key.
    let stored = serde_json::to_string(&receipt).unwrap();
    let stored: Receipt = serde_json::from_str(&stored).unwrap();
    verify(&stored, &question, &enrolled_key(&approver)).unwrap();

    let key = enrolled_key(&approver);
    let refused = verify(&receipt, &another, &key);
    assert!(matches!(refused, Err(ReceiptRefused::OtherQuestion)));
    let relabeled = Receipt {
        consent: another.clone(),
        ..receipt.clone()
    };
    let refused = verify(&relabeled, &another, &key);
    assert!(matches!(refused, Err(ReceiptRefused::Signature)));
    let refused = verify(&receipt, &question, &enrolled_key(&other));
    assert!(matches!(refused, Err(ReceiptRefused::OtherKey)));
    chip.nothing_is_left().await;
}

#[tokio::test]
async fn the_pin_never_crosses_the_bus_in_the_clear() {
    let tpm = Swtpm::bare();
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    proxy.record();
    let chip = Chip::open(proxy.ports().command(), None).await;
    let approver = enroll(&chip, 0, PIN).await;
    let question = consent(b"push to main");
    approve(&chip, &approver, &question).await;
    let wrong = chip.tpm.approve(&approver, pin("0815"), sha256(b"call"));
    assert!(matches!(wrong.await, Err(TpmError::PinWrong { .. })));

    let trace = proxy.trace();
    let heard = |secret: &[u8]| trace.iter().any(|exchange| exchange.shows(secret));
    // A listener does hear what is public: the digest that is signed.
    assert!(heard(consent_digest(&question).unwrap().as_bytes()));
    for typed in [PIN, "0815"] {
        assert!(!heard(typed.as_bytes()), "{typed}");
        assert!(!heard(&pin_auth(typed)), "the value of {typed}");
    }
    chip.nothing_is_left().await;
}

/// A TPM with one approver, let go of, so that others can speak to it.
async fn enrolled() -> (Swtpm, TpmState, ApproverState) {
    let tpm = Swtpm::bare();
    let chip = Chip::open(tpm.ports().command(), None).await;
    let approver = enroll(&chip, 0, PIN).await;
    (tpm, chip.close(), approver)
}

/// Deletes a PIN index and defines it again, with stock tools and the owner's empty authorization.
fn recreate(tpm: &Swtpm, area: &NvPublic, attributes: u32, auth: &[u8]) {
    let (scratch, tools) = (Scratch::new(), tpm.tools());
    let index = format!("{:#x}", area.index.handle());
    let policy = scratch.write("policy", area.auth_policy.as_ref().unwrap().as_bytes());
    let (policy, attributes) = (policy.display().to_string(), format!("{attributes:#x}"));
    let auth = format!("hex:{}", HEXLOWER.encode(auth));
    tools.run("nvundefine", ["-C", "o", &index]);
    let definition = ["-C", "o", "-s", "8", "-a", &attributes, "-L", &policy];
    tools.run(
        "nvdefine",
        definition.into_iter().chain(["-p", &auth, &index]),
    );
}

async fn enroll(chip: &Chip, slot: u8, typed: &str) -> ApproverState {
    let slot = ApproverSlot::new(slot).unwrap();
    let recovery = RecoveryCode::generate().unwrap();
    let approver = chip.tpm.enroll_approver(slot, pin(typed), recovery);
    approver.await.unwrap()
}

async fn approve(chip: &Chip, approver: &ApproverState, question: &Consent) -> Receipt {
    let digest = consent_digest(question).unwrap();
    let signature = chip.tpm.approve(approver, pin(PIN), digest).await.unwrap();
    let key = approver.public().key().unwrap().to_spki_der();
    Receipt {
        consent: question.clone(),
        proof: ConsentProof::TpmPin {
            public_key: HEXLOWER.encode(&key),
            signature: HEXLOWER.encode(&signature.to_x509()),
        },
        given: Timestamp::from_secs(1_001),
    }
}

fn consent(call: &[u8]) -> Consent {
    serde_json::from_value(serde_json::json!({
        "format": "holdfast-consent-v1",
        "call": "aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "call_digest": sha256(call),
        "policy_digest": sha256(b"policy"),
        "human": 1000,
        "nonce": sha256(b"nonce"),
        "asked": 1_000_000,
    }))
    .unwrap()
}

fn enrolled_key(approver: &ApproverState) -> EccPublicKey {
    match approver.public().key() {
        Some(PublicKey::Ecc(key)) => key,
        other => panic!("{other:?}"),
    }
}

fn pin(typed: &str) -> Pin {
    Pin::new(Zeroizing::new(typed.to_owned())).unwrap()
}

/// Asked with stock tools.
fn nothing_is_left(tpm: &Swtpm) {
    for kind in ["handles-transient", "handles-loaded-session"] {
        assert_eq!(tpm.tools().text("getcap", [kind]), "", "{kind}");
    }
}
