//! Good evidence is accepted; with any one thing spoiled, the check that guards it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod freshness;
mod ima;
mod keys;
mod pcrs;

use holdfast_protocol::evidence::{Check, Evidence, Finding, PcrValue};
use proptest::prelude::*;

use crate::software_tpm::{Parts, Scene, supplied};

/// Spoils the scene or the parts, and says which check refused the evidence then.
fn refused(spoil: impl FnOnce(&mut Scene, &mut Parts)) -> Check {
    let mut scene = Scene::new();
    let mut parts = scene.parts();
    spoil(&mut scene, &mut parts);
    let evidence = scene.sign(parts);
    check_of(&scene, &evidence)
}

/// Spoils what is signed already.
fn refused_after(spoil: impl FnOnce(&Scene, &mut Evidence)) -> Check {
    let scene = Scene::new();
    let mut evidence = scene.sign(scene.parts());
    spoil(&scene, &mut evidence);
    check_of(&scene, &evidence)
}

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
            Check::PcrSelection,
            Check::PcrDigest,
            Check::PcrReference,
            Check::Csr,
            Check::NodeKey,
            Check::Clock,
            Check::Firmware,
            Check::AuditCounter,
        ]
    );
}

#[test]
fn structures() {
    let check = refused(|_, parts| parts.quote.magic = 0xff54_4348);
    assert_eq!(check, Check::Structure);
    let check = refused(|_, parts| parts.quote.kind = 0x8019);
    assert_eq!(check, Check::Structure);
    let check = refused(|_, parts| parts.quote.body.push(0));
    assert_eq!(check, Check::Structure);
    let check = refused(|_, parts| _ = parts.node_key_certified.body.pop());
    assert_eq!(check, Check::Structure);
    let check = refused(|_, parts| parts.audit_counter_certified.body.clear());
    assert_eq!(check, Check::Structure);
    assert_eq!(refused(|_, parts| parts.node_key.push(0)), Check::Structure);
    assert_eq!(refused(|_, parts| parts.node_key.clear()), Check::Structure);
    assert_eq!(
        refused_after(|_, evidence| evidence.quote.signature.push(0)),
        Check::Structure
    );
    assert_eq!(
        refused_after(|_, evidence| evidence.quote.attest.clear()),
        Check::Structure
    );
}

#[test]
fn each_structure_has_the_type_of_its_place() {
    let swap = |pick: fn(&mut Evidence)| refused_after(|_, evidence| pick(evidence));
    assert_eq!(
        swap(|evidence| evidence.quote = evidence.node_key_certified.clone()),
        Check::AttestType
    );
    assert_eq!(
        swap(|evidence| evidence.node_key_certified = evidence.quote.clone()),
        Check::AttestType
    );
    assert_eq!(
        swap(|evidence| evidence.audit_counter_certified = evidence.quote.clone()),
        Check::AttestType
    );
    assert_eq!(
        swap(|evidence| {
            std::mem::swap(
                &mut evidence.node_key_certified,
                &mut evidence.audit_counter_certified,
            );
        }),
        Check::AttestType
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

    /// Whatever single byte of signed evidence changes, it is refused, and nothing panics.
    #[test]
    fn any_changed_byte_is_refused(part in 0_usize..10, at: prop::sample::Index, flip in 1_u8..) {
        let scene = Scene::new();
        let mut evidence = scene.sign(scene.parts());
        let bytes = match part {
            0 => &mut evidence.nonce,
            1 => &mut evidence.quote.attest,
            2 => &mut evidence.quote.signature,
            3 => &mut evidence.node_key,
            4 => &mut evidence.node_key_certified.attest,
            5 => &mut evidence.node_key_certified.signature,
            6 => &mut evidence.csr,
            7 => &mut evidence.audit_counter_certified.attest,
            8 => &mut evidence.audit_counter_certified.signature,
            _ => &mut evidence.event_log,
        };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let (_, result) = scene.verify(&evidence);
        prop_assert!(result.is_err());
    }

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
