//! systemd's log against the quote: it goes on from the firmware's, explains what changed, and takes nothing from its checks.

use holdfast_proof::event_log::{self, Words};
use holdfast_proof::tpm::{Digest, HashAlg, PcrSelection, PcrValues};
use holdfast_protocol::evidence::{Appraisal, Check, Finding};

use super::event_log::showing;
use super::{check_of, noted};
use crate::reference::{Boot, diff, told};
use crate::registry::{EventsKept, ReferencePcrs};
use crate::software_tpm::firmware::{event, event_log as firmware_log};
use crate::software_tpm::systemd::Log;
use crate::software_tpm::{Parts, Scene, pcr};
use crate::verify_host::{Refusal, Required, SystemdLogPolicy, Unexplained};

/// What is quoted here.
const QUOTED: [u8; 7] = [0, 2, 4, 7, 9, 11, 15];

/// What the firmware, and systemd's stub while it ran, wrote.
pub(super) fn firmware() -> Vec<u8> {
    let stub = [
        event(11, 13, b".linux\0"),
        event(11, 13, b"a kernel"),
        event(9, 6, b"an initrd"),
    ];
    [firmware_log(), stub.concat()].concat()
}

/// A host that measured these, and good evidence of it.
pub(super) fn measured(scene: &mut Scene, firmware: &[u8], log: &Log) -> Parts {
    scene.policy.required = Required::Banks(PcrSelection::of(HashAlg::Sha256, QUOTED.map(pcr)));
    let replayed = event_log::replay(firmware).unwrap().values;
    let mut pcrs = PcrValues::new();
    for index in QUOTED {
        let start = replayed.value(HashAlg::Sha256, pcr(index)).unwrap().clone();
        let extensions = log.extensions.iter().filter(|(of, _)| *of == index);
        let value = extensions.fold(start, |value, (_, digest)| {
            value.extended_by(&Digest::new(HashAlg::Sha256, digest).unwrap())
        });
        assert!(pcrs.insert(pcr(index), value));
    }
    scene.tpm.pcrs = pcrs;
    let mut parts = showing(scene, firmware.to_vec());
    parts.systemd_log.clone_from(&log.bytes);
    parts
}

/// The same, of a host that is held to what it measured.
pub(super) fn held(scene: &mut Scene, log: &Log) -> Parts {
    let parts = measured(scene, &firmware(), log);
    scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
    parts
}

fn said(appraisal: &Appraisal) -> Vec<(Finding, &str)> {
    let checks = appraisal.checks.iter();
    let of_log = checks.filter(|checked| checked.check == Check::SystemdLog);
    of_log
        .map(|checked| (checked.finding, checked.detail.as_str()))
        .collect()
}

fn refused(scene: &Scene, parts: Parts) -> Refusal {
    let evidence = scene.sign(parts);
    check_of(scene, &evidence);
    scene.verify(&evidence).1.unwrap_err()
}

#[test]
fn a_log_goes_on_from_the_firmwares_to_the_quoted_values() {
    let mut scene = Scene::new();
    let parts = held(&mut scene, &Log::booted());
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    let events = result.unwrap().events.unwrap();
    assert_eq!(
        said(&appraisal),
        [(
            Finding::Passed,
            "its first 9 records give the quoted pcrs 9,11,15"
        )]
    );
    // What is kept of the boot gives every value, systemd's too.
    for index in QUOTED.map(pcr) {
        let quoted = scene.tpm.pcrs.value(HashAlg::Sha256, index);
        assert_eq!(events.value(index).as_ref(), quoted, "{index:?}");
    }
    let claimed: Vec<_> = events
        .of_pcr(pcr(15))
        .filter(|event| event.words == Words::Claimed)
        .map(|event| event.kind_words())
        .collect();
    assert_eq!(claimed, ["volume key"]);
}

#[test]
fn what_systemd_measured_since_the_quote_counts_for_nothing() {
    let mut scene = Scene::new();
    let mut parts = held(&mut scene, &Log::booted());
    parts.systemd_log = Log::booted().measured(11, "phase", "shutdown").bytes;
    // And one is being written.
    parts.systemd_log.extend(b"\x1e{\"pcr\":11");
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    assert_eq!(result.unwrap().events.unwrap().of_pcr(pcr(11)).count(), 6);
    assert!(said(&appraisal)[0].1.starts_with("its first 9 records"));
}

#[test]
fn systemds_separator_is_the_only_thing_that_may_follow_the_firmware() {
    let separated = [0, 2, 4, 7, 9].into_iter().fold(Log::new(), |log, pcr| {
        log.measured(pcr, "os-separator", "os-separator")
    });
    let mut scene = Scene::new();
    let parts = held(&mut scene, &separated);
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    let events = result.unwrap().events.unwrap();
    assert_eq!(
        events.value(pcr(7)).as_ref(),
        scene.tpm.pcrs.value(HashAlg::Sha256, pcr(7))
    );
    assert_eq!(
        said(&appraisal),
        [(
            Finding::Passed,
            "its first 5 records give the quoted pcrs 0,2,4,7,9"
        )]
    );
    // Secure Boot is believed on as before.
    let checks = appraisal.checks.iter();
    let mut boot = checks.filter(|checked| checked.check == Check::SecureBoot);
    assert_eq!(boot.next().unwrap().detail, "secure boot was on");

    // Without systemd's log nothing says that it was the separator.
    let mut parts = held(&mut scene, &separated);
    parts.systemd_log.clear();
    let refusal = refused(&scene, parts);
    assert_eq!(refusal.check, Check::EventLog);
    assert!(
        refusal.detail.contains("shows no log"),
        "{}",
        refusal.detail
    );

    // Where no log of systemd's is asked for, the separator alone may stand there.
    scene.policy.systemd_log = SystemdLogPolicy::Off;
    let parts = held(&mut scene, &separated);
    assert!(scene.verify(&scene.sign(parts)).1.is_ok());
    let parts = held(&mut scene, &Log::new().measured(7, "phase", "ready"));
    assert_eq!(refused(&scene, parts).check, Check::EventLog);
    scene.policy.systemd_log = SystemdLogPolicy::WhereThereIsOne;

    // Another text, logged as well as the separator is.
    let other = Log::new().measured(7, "os-separator", "os-separator ");
    let parts = held(&mut scene, &other);
    assert_eq!(refused(&scene, parts).check, Check::EventLog);
    let twice = Log::new()
        .measured(7, "os-separator", "os-separator")
        .measured(7, "os-separator", "os-separator");
    let parts = held(&mut scene, &twice);
    assert_eq!(refused(&scene, parts).check, Check::EventLog);
}

#[test]
fn a_change_that_both_logs_explain_asks_nobody() {
    let mut scene = Scene::new();
    scene.policy.unexplained = Unexplained::Ask;
    held(&mut scene, &Log::booted());
    // The NvPCRs' names in PCR 9, another phase in PCR 11, another machine in PCR 15.
    let other = Log::new()
        .measured(11, "phase", "enter-initrd")
        .measured(9, "nvpcr-init", "nvpcr-init:login:0x1d10203:000b11")
        .measured(15, "machine-id", "machine-id:00");
    let parts = measured(&mut scene, &firmware(), &other);
    let note = noted(&scene, parts, Check::PcrReference);
    for pcr in ["pcr 9", "pcr 11", "pcr 15"] {
        assert!(note.contains(pcr), "{note}");
    }
    // Without the log nobody says what changed.
    let mut parts = measured(&mut scene, &firmware(), &other);
    parts.systemd_log.clear();
    assert_eq!(refused(&scene, parts).check, Check::PcrReference);
}

#[test]
fn what_differs_between_boots_is_told_in_systemds_words_and_times_are_no_difference() {
    let mut scene = Scene::new();
    scene.policy.blocking = QUOTED.map(pcr).into();
    let parts = held(&mut scene, &Log::booted());
    let (_, result) = scene.verify(&scene.sign(parts));
    let before = Boot {
        values: scene.tpm.pcrs.clone(),
        events: result.unwrap().events,
    };
    scene.host.events = EventsKept::Yes;
    // Another boot: other times, and a boot id of its own.
    let again = String::from_utf8(Log::booted().bytes).unwrap();
    let again = again
        .replace("\"timestamp\":1", "\"timestamp\":7")
        .replace("189c18dd", "00000000");
    let mut parts = held(&mut scene, &Log::booted());
    assert_ne!(again.as_bytes(), parts.systemd_log);
    parts.systemd_log = again.into_bytes();
    assert!(scene.verify(&scene.sign(parts)).1.is_ok());

    let other = Log::new()
        .measured(11, "phase", "enter-initrd")
        .measured(
            9,
            "nvpcr-init",
            "nvpcr-init:hardware:0x1d10200:000bff27bc66",
        )
        .measured(9, "nvpcr-separator", "nvpcr-separator")
        .keyed(15, "volume-key", "cryptsetup:root:5e47a9db", 43)
        .measured(11, "phase", "leave-initrd")
        .measured(15, "machine-id", "machine-id:another");
    let parts = measured(&mut scene, &firmware(), &other);
    let after = *refused(&scene, parts).proposal.unwrap();
    insta::assert_snapshot!(told(&diff(&before, &after)));
}

#[test]
fn a_host_without_a_log_passes_unless_policy_requires_one_that_gives_all_of_systemds() {
    let mut scene = Scene::new();
    let without = |scene: &mut Scene| {
        let mut parts = held(scene, &Log::booted());
        parts.systemd_log.clear();
        parts
    };
    let parts = without(&mut scene);
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    result.unwrap();
    assert!(said(&appraisal)[0].1.contains("the host sent none"));
    scene.policy.systemd_log = SystemdLogPolicy::Require;
    let parts = without(&mut scene);
    assert_eq!(refused(&scene, parts).check, Check::SystemdLog);
    let parts = held(&mut scene, &Log::booted());
    assert!(scene.verify(&scene.sign(parts)).1.is_ok());
    // All that it says of one PCR left out.
    let mut parts = held(&mut scene, &Log::booted());
    let records = String::from_utf8(parts.systemd_log).unwrap();
    let kept = records
        .split_inclusive('\n')
        .filter(|record| !record.contains("\"pcr\":15"));
    parts.systemd_log = kept.collect::<String>().into_bytes();
    let refusal = refused(&scene, parts);
    assert_eq!(refusal.check, Check::SystemdLog);
    assert!(refusal.detail.contains("pcr 15"), "{}", refusal.detail);
    // Where none is asked for, none is looked at.
    scene.policy.systemd_log = SystemdLogPolicy::Off;
    let mut parts = held(&mut scene, &Log::booted());
    parts.systemd_log = b"no log".to_vec();
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    result.unwrap();
    assert_eq!(said(&appraisal), []);
}

#[test]
fn without_the_firmwares_log_only_pcr_15_has_to_be_given() {
    let mut scene = Scene::new();
    let log = Log::booted();
    held(&mut scene, &log);
    let bare = |scene: &Scene, log: &[u8]| {
        let mut parts = showing(scene, Vec::new());
        parts.systemd_log = log.to_vec();
        parts
    };
    let parts = bare(&scene, &log.bytes);
    let note = noted(&scene, parts, Check::SystemdLog);
    assert_eq!(
        note,
        "without the firmware's log it does not give the quoted pcrs 9,11"
    );
    let changed = Log::booted().keyed(15, "volume-key", "cryptsetup:x", 1);
    let truncated = Log::new().measured(15, "machine-id", "machine-id:1");
    assert!(
        scene
            .verify(&scene.sign(bare(&scene, &changed.bytes)))
            .1
            .is_ok()
    );
    let parts = bare(&scene, &truncated.bytes);
    assert_eq!(refused(&scene, parts).check, Check::SystemdLog);
    // Where nothing was measured before systemd, it gives the others, too.
    let mut scene = Scene::new();
    let bare_firmware = firmware_log();
    measured(&mut scene, &bare_firmware, &log);
    scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
    let parts = bare(&scene, &log.bytes);
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    let events = result.unwrap().events.unwrap();
    assert_eq!(
        events.value(pcr(11)).as_ref(),
        scene.tpm.pcrs.value(HashAlg::Sha256, pcr(11))
    );
    assert_eq!(
        said(&appraisal),
        [(
            Finding::Passed,
            "its first 9 records give the quoted pcrs 9,11,15"
        )]
    );
}
