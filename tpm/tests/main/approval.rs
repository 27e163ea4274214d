//! Approval: the PIN signs one digest, counts its failures, and cannot be replaced.

use holdfast_proof::hash::sha256;
use holdfast_tpm::{ApproverSlot, ApproverState, Pin, PinFailures, RecoveryCode, TpmError};
use zeroize::Zeroizing;

use crate::straight::{self, Straight};
use crate::swtpm::Host;

fn pin(typed: &str) -> Pin {
    Pin::new(Zeroizing::new(typed.to_owned())).unwrap()
}

fn slot() -> ApproverSlot {
    ApproverSlot::new(0).unwrap()
}

async fn enroll(host: &Host, typed: &str) -> (ApproverState, RecoveryCode) {
    let recovery = RecoveryCode::generate().unwrap();
    let approver = host
        .provisioned
        .enroll_approver(slot(), pin(typed), recovery.clone())
        .await
        .unwrap();
    (approver, recovery)
}

#[tokio::test]
async fn the_right_pin_signs_the_digest_also_after_a_restart() {
    let host = Host::new().await;
    let (approver, _) = enroll(&host, "correct horse").await;
    host.nothing_is_left().await;
    let call = b"push to main";
    let signature = host
        .provisioned
        .approve(&approver, pin("correct horse"), sha256(call))
        .await
        .unwrap();
    let key = approver.public().key().unwrap();
    key.verify(call, &signature).unwrap();
    assert!(key.verify(b"push to another", &signature).is_err());
    let policy = ApproverState::policy(approver.pin_index());
    let actual = approver.public().auth_policy().unwrap();
    assert_eq!(actual.as_bytes(), policy.as_bytes());

    let kept = serde_json::to_string(&approver).unwrap();
    let host = host.reboot().await;
    let approver: ApproverState = serde_json::from_str(&kept).unwrap();
    host.provisioned
        .approve(&approver, pin("correct horse"), sha256(call))
        .await
        .unwrap();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn three_wrong_pins_lock_the_right_one_and_nothing_else() {
    let host = Host::new().await;
    let (approver, recovery) = enroll(&host, "0815").await;
    let digest = sha256(b"call");
    let limit = PinFailures::LIMIT;
    for count in 1..=limit {
        let wrong = host
            .provisioned
            .approve(&approver, pin("4711"), digest)
            .await;
        let error = wrong.unwrap_err();
        assert!(matches!(error, TpmError::PinWrong { .. }), "{error}");
        // TPM_RC_BAD_AUTH for session 1: no failure of the dictionary-attack kind, but counted in the index.
        assert_eq!(error.response_code().unwrap().value(), 0x9a2);
        let failures = host.provisioned.pin_failures(&approver).await.unwrap();
        assert_eq!(failures, PinFailures { count, limit });
        host.nothing_is_left().await;
    }
    let locked = host
        .provisioned
        .approve(&approver, pin("0815"), digest)
        .await;
    let error = locked.unwrap_err();
    assert!(matches!(error, TpmError::PinLocked { .. }), "{error}");
    assert_eq!(error.response_code().unwrap().value(), 0x12f);
    assert_eq!(host.tpm().lockout_counter().await.unwrap(), 0);

    let other = RecoveryCode::generate().unwrap();
    let refused = host.provisioned.reset_pin_failures(&approver, other).await;
    assert!(matches!(refused, Err(TpmError::RecoveryWrong { .. })));
    host.provisioned
        .reset_pin_failures(&approver, recovery)
        .await
        .unwrap();
    host.provisioned
        .approve(&approver, pin("0815"), digest)
        .await
        .unwrap();
    let failures = host.provisioned.pin_failures(&approver).await.unwrap();
    assert_eq!(failures, PinFailures { count: 0, limit });
    assert_eq!(host.tpm().lockout_counter().await.unwrap(), 0);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_success_forgives_earlier_failures() {
    let host = Host::new().await;
    let (approver, _) = enroll(&host, "0815").await;
    for typed in ["4711", "4711", "0815", "4711", "4711", "0815"] {
        let result = host
            .provisioned
            .approve(&approver, pin(typed), sha256(b"call"))
            .await;
        assert_eq!(result.is_ok(), typed == "0815");
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_pin_given_for_one_call_does_not_sign_another() {
    let host = Host::new().await;
    let (approver, _) = enroll(&host, "0815").await;
    let kept = serde_json::to_string(host.provisioned.state()).unwrap();
    let swtpm = host.close();
    let (a, b) = (sha256(b"call A"), sha256(b"call B"));

    let mut straight = Straight::open(&swtpm);
    let pin = straight::pin_auth("0815");
    straight.approve(&approver, &pin, a, a).unwrap();
    assert_eq!(straight.approve(&approver, &pin, a, b), Err(0x99d));
    drop(straight);

    let host = swtpm.resume(&kept).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_index_recreated_by_the_owner_approves_nothing() {
    let host = Host::new().await;
    let (approver, _) = enroll(&host, "0815").await;
    let kept = serde_json::to_string(host.provisioned.state()).unwrap();
    let swtpm = host.close();
    let call = sha256(b"call");

    // The owner deletes the index and defines it again, the same but for a PIN that the owner knows.
    let mut straight = Straight::open(&swtpm);
    let known = straight::pin_auth("9999");
    straight.recreate(approver.pin_index(), &known);
    // TPM_RC_NV_UNINITIALIZED or a refused authorization: it was never written, and only the recovery code can.
    let refused = straight.approve(&approver, &known, call, call).unwrap_err();
    assert!(matches!(refused, 0x14a | 0x12f | 0x98e), "{refused:#x}");
    // TPM_RC_NV_AUTHORIZATION: neither owner nor PIN may write it.
    assert_eq!(straight.write_as_owner(approver.pin_index()), Err(0x149));
    assert_eq!(
        straight.write_by_pin(approver.pin_index(), &known),
        Err(0x12f)
    );
    drop(straight);

    let host = swtpm.resume(&kept).await;
    for typed in ["9999", "0815"] {
        let refused = host.provisioned.approve(&approver, pin(typed), call).await;
        assert!(matches!(refused, Err(TpmError::Changed { .. })));
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_index_of_another_recovery_code_approves_nothing() {
    let host = Host::new().await;
    let (victim, _) = enroll(&host, "0815").await;
    host.provisioned
        .remove_approver(victim.clone())
        .await
        .unwrap();
    let (attacker, _) = enroll(&host, "9999").await;
    assert_ne!(attacker.pin_index().name(), victim.pin_index().name());

    // Even with the state edited so that the check of the name is passed, the TPM itself refuses.
    let mut forged = serde_json::to_value(&victim).unwrap();
    forged["pin_index"] = serde_json::to_value(attacker.pin_index()).unwrap();
    let forged: ApproverState = serde_json::from_value(forged).unwrap();
    for typed in ["9999", "0815"] {
        let refused = host
            .provisioned
            .approve(&forged, pin(typed), sha256(b"call"))
            .await
            .unwrap_err();
        assert!(refused.response_code().is_some(), "{refused}");
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_taken_slot_is_refused_and_keeps_its_approver() {
    let host = Host::new().await;
    let (approver, _) = enroll(&host, "0815").await;
    let recovery = RecoveryCode::generate().unwrap();
    let refused = host
        .provisioned
        .enroll_approver(slot(), pin("9999"), recovery)
        .await;
    assert!(matches!(refused, Err(TpmError::Caller(_))));
    host.provisioned
        .approve(&approver, pin("0815"), sha256(b"call"))
        .await
        .unwrap();
    host.nothing_is_left().await;
}
