//! Good evidence is accepted; with any one thing spoiled, the check that guards it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod banks;
mod event_log;
mod freshness;
mod ima;
mod pcrs;
mod rate;
mod systemd_log;
mod tampered;

use holdfast_protocol::evidence::{Check, Evidence, Finding, PcrValue};
use proptest::prelude::*;

use crate::software_tpm::{Parts, Scene, supplied};
use crate::verify_host::Update;

/// The check that refused the evidence.
fn check_of(scene: &Scene, evidence: &Evidence) -> Check {
    let (appraisal, result) = scene.verify(evidence);
    let refusal = result.unwrap_err();
    let last = appraisal.checks.last().unwrap();
    assert_eq!(last.finding, Finding::Refused);
    assert_eq!((last.check, &last.detail), (refusal.check, &refusal.detail));
    assert!(!refusal.detail.is_empty());
    assert_eq!(
        appraisal
            .checks
            .iter()
            .filter(|checked| checked.finding == Finding::Refused)
            .count(),
        1
    );
    refusal.check
}

/// What a check of accepted evidence noted.
fn noted(scene: &Scene, parts: Parts, check: Check) -> String {
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    result.unwrap();
    let notes: Vec<_> = appraisal
        .checks
        .into_iter()
        .filter(|checked| checked.finding == Finding::Noted)
        .collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].check, check);
    notes[0].detail.clone()
}

#[test]
fn good_evidence_passes_every_check_once() {
    let scene = Scene::new();
    let parts = scene.parts();
    let csr = parts.csr.clone();
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    let verified = result.unwrap();
    assert_eq!(verified.csr, crate::csr::Csr::parse(&csr).unwrap());
    assert_eq!(verified.observed.clock, scene.tpm.clock);
    assert_eq!(verified.observed.firmware, scene.tpm.firmware);
    assert_eq!(verified.observed.audit_counter, 5);
    assert_eq!(verified.observed.at, scene.now);
    assert!(verified.learned.is_empty());
    assert_eq!(verified.update, Update::Unseen);
    // Its reference boot had no events yet: these are they.
    assert!(verified.events.is_some());
    assert!(appraisal.refusal().is_none());
    let checks: Vec<_> = appraisal
        .checks
        .iter()
        .map(|checked| {
            assert_eq!(checked.finding, Finding::Passed, "{checked:?}");
            checked.check
        })
        .collect();
    assert_eq!(
        checks,
        [
            Check::Registration,
            Check::Nonce,
            Check::Structure,
            Check::AttestationKey,
            Check::Signature,
            Check::AttestType,
            Check::Binding,
            Check::PcrBanks,
            Check::PcrSelection,
            Check::PcrDigest,
            Check::BlankBank,
            Check::EventLog,
            Check::SecureBoot,
            Check::SystemdLog,
            Check::Csr,
            Check::NodeKey,
            Check::Clock,
            Check::Firmware,
            Check::AuditCounter,
            Check::PcrReference,
        ]
    );
}

#[test]
fn details_do_not_grow_with_what_the_host_sends() {
    let scene = Scene::new();
    let mut parts = scene.parts();
    for index in 12..24 {
        parts.pcrs.push(PcrValue {
            bank: 0x000d,
            index,
            value: vec![0; 64],
        });
    }
    let (appraisal, _) = scene.verify(&scene.sign(parts));
    for checked in appraisal.checks {
        assert!(checked.detail.chars().count() <= 400);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// PCR values in any order are the same evidence.
    #[test]
    fn the_order_of_values_does_not_matter(values in Just(supplied(&Scene::new().tpm.pcrs)).prop_shuffle()) {
        let scene = Scene::new();
        let mut parts = scene.parts();
        parts.pcrs = values;
        let (_, result) = scene.verify(&scene.sign(parts));
        prop_assert!(result.is_ok());
    }
}
