//! The firmware's log against the quote: what it has to give, and what it has to say.

use holdfast_proof::evidence::evidence_binding;
use holdfast_proof::tpm::HashAlg;
use holdfast_protocol::evidence::Check;

use super::{check_of, noted};
use crate::software_tpm::firmware::{event, event_log};
use crate::software_tpm::{Parts, Scene, pcr};
use crate::verify_host::{EventLogPolicy, Required, SecureBootPolicy};

/// Good evidence of a host that shows `log`, bound as a host would bind it.
pub(super) fn showing(scene: &Scene, log: Vec<u8>) -> Parts {
    let mut parts = scene.parts();
    let extra = evidence_binding(&scene.nonce, &scene.channel, &parts.csr, &log);
    for statement in [
        &mut parts.quote,
        &mut parts.node_key_certified,
        &mut parts.audit_counter_certified,
        &mut parts.banks.as_mut().unwrap().1,
    ] {
        statement.extra_data = extra.as_bytes().to_vec();
    }
    parts.event_log = log;
    parts
}

fn refused(scene: &Scene, log: Vec<u8>) -> (Check, String) {
    let evidence = scene.sign(showing(scene, log));
    let check = check_of(scene, &evidence);
    (check, scene.verify(&evidence).1.unwrap_err().detail)
}

#[test]
fn a_log_that_does_not_give_the_quoted_pcrs_is_refused() {
    let scene = Scene::new();
    let good = event_log();
    let separator = event(0, 4, &[0; 4]);
    let end = good.len();
    for (name, log) in [
        ("one event more", [good.as_slice(), &separator].concat()),
        ("the last event left out", {
            let before = good.len() - event(7, 8, &[0; 53]).len();
            good[..before].to_vec()
        }),
        ("a digest changed", {
            let mut log = good.clone();
            log[end - 60] ^= 1;
            log
        }),
        ("bytes behind it", [good.as_slice(), &[0]].concat()),
        ("cut", good[..end - 1].to_vec()),
        ("no log", b"an event log".to_vec()),
        ("its first record alone", good[..32 + 33].to_vec()),
    ] {
        let (check, detail) = refused(&scene, log);
        assert_eq!(check, Check::EventLog, "{name}: {detail}");
    }
    assert!(scene.verify(&scene.sign(showing(&scene, good))).1.is_ok());
}

#[test]
fn a_log_that_gives_other_values_names_the_pcr() {
    let scene = Scene::new();
    let log = [event_log(), event(2, 8, b"an option rom")].concat();
    let (_, detail) = refused(&scene, log);
    assert_eq!(
        detail,
        "its 5 events do not give the quoted pcr 2 of Sha256"
    );
}

#[test]
fn a_log_without_digests_of_the_quoted_bank_is_refused() {
    let scene = Scene::new();
    let mut log = event_log();
    // The bank's number and size, and that of each digest: SHA-384 has 48 bytes, so nothing else fits any more.
    log[32 + 28] = 0x0c;
    assert_eq!(refused(&scene, log).0, Check::EventLog);
}

#[test]
fn what_goes_on_after_the_firmware_is_not_the_logs_to_give() {
    let scene = Scene::new();
    let log = [event_log(), event(9, 13, b"an initrd")].concat();
    let (appraisal, result) = scene.verify(&scene.sign(showing(&scene, log)));
    result.unwrap();
    let checked = appraisal
        .checks
        .iter()
        .find(|checked| checked.check == Check::EventLog)
        .unwrap();
    assert_eq!(checked.detail, "its 5 events give the quoted pcrs 0,2,4,7");
}

#[test]
fn a_host_without_a_log_passes_where_policy_asks_for_none() {
    let mut scene = Scene::new();
    let (_, result) = scene.verify(&scene.sign(showing(&scene, Vec::new())));
    result.unwrap();
    scene.policy.secure_boot = SecureBootPolicy::Require;
    assert_eq!(refused(&scene, Vec::new()).0, Check::SecureBoot);
    scene.policy.event_log = EventLogPolicy::Require;
    assert_eq!(refused(&scene, Vec::new()).0, Check::EventLog);
}

/// A host whose firmware said that Secure Boot was off, and quoted that.
fn insecure() -> (Scene, Vec<u8>) {
    let mut scene = Scene::new();
    let mut log = event_log();
    let before = log.len() - event(7, 8, &[0; 53]).len();
    let mut variable = log[log.len() - 53..].to_vec();
    variable[52] = 0;
    log.truncate(before);
    log.extend(event(7, 0x8000_0001, &variable));
    let replayed = holdfast_proof::event_log::replay(&log).unwrap().values;
    let mut pcrs = holdfast_proof::tpm::PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let seven = replayed.value(HashAlg::Sha256, pcr(7)).unwrap();
        let value = if index == pcr(7) { seven } else { value };
        assert!(pcrs.insert(index, value.clone()));
    }
    scene.tpm.pcrs = pcrs;
    scene.host.reference.0 = scene.tpm.pcrs.clone();
    (scene, log)
}

#[test]
fn secure_boot_that_is_off_is_noted_or_refused() {
    let (mut scene, log) = insecure();
    let note = noted(&scene, showing(&scene, log.clone()), Check::SecureBoot);
    assert_eq!(note, "secure boot was off");
    scene.policy.secure_boot = SecureBootPolicy::Require;
    assert_eq!(refused(&scene, log).0, Check::SecureBoot);
}

#[test]
fn what_is_not_quoted_vouches_for_nothing() {
    let mut scene = Scene::new();
    scene.policy.secure_boot = SecureBootPolicy::Require;
    let good = showing(&scene, event_log());
    assert!(scene.verify(&scene.sign(good)).1.is_ok());
    // The same log, by a host whose policy leaves PCR 7 out of the quote.
    let indices = [0, 2, 4].map(pcr);
    scene.policy.required = Required::Active(indices.into());
    let mut pcrs = holdfast_proof::tpm::PcrValues::new();
    for (index, value) in scene
        .tpm
        .pcrs
        .iter()
        .filter(|(index, _)| indices.contains(index))
    {
        assert!(pcrs.insert(index, value.clone()));
    }
    scene.tpm.pcrs = pcrs;
    assert_eq!(refused(&scene, event_log()).0, Check::SecureBoot);
}
