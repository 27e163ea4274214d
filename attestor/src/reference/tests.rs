//! What differs between boots, in words; and what is said of what no event explains.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use holdfast_proof::event_log::{BootEvents, replay};
use holdfast_proof::systemd_log;
use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrValues};

use super::*;
use crate::software_tpm::firmware::{event, event_log, variable};
use crate::software_tpm::systemd::Log;
use crate::software_tpm::{digest, pcr};

const VARIABLE: u32 = 0x8000_0001;

fn pcrs() -> BTreeSet<PcrIndex> {
    [0, 4, 7, 9].map(pcr).into()
}

/// The boot that a log gives.
fn boot(log: &[u8]) -> Boot {
    let mut values = PcrValues::new();
    for (index, value) in replay(log).unwrap().values.iter() {
        if pcrs().contains(&index) {
            assert!(values.insert(index, value.clone()));
        }
    }
    let events = BootEvents::of(log, HashAlg::Sha256, &pcrs()).unwrap();
    Boot { values, events }
}

/// A log with these events behind its first record.
fn log(events: &[Vec<u8>]) -> Vec<u8> {
    let mut log = event_log();
    log.truncate(32 + 33);
    log.extend(events.concat());
    log
}

fn secure_boot(on: u8) -> Vec<u8> {
    event(7, VARIABLE, &variable("SecureBoot", &[on]))
}

fn words(from: &Boot, to: &Boot) -> String {
    told(&diff(from, to))
}

#[test]
fn what_changed_was_added_or_removed_is_named_pcr_by_pcr() {
    let key = |content: u8| event(7, VARIABLE, &variable("db", &[content; 40]));
    let separator = event(7, 4, &[0; 4]);
    let before = boot(&log(&[
        event(4, 5, b"Calling EFI Application"),
        secure_boot(1),
        key(1),
        separator.clone(),
    ]));
    let after = boot(&log(&[
        event(4, 5, b"Calling EFI Application"),
        event(4, 5, b"Exit Boot Services Invocation"),
        secure_boot(0),
        key(2),
    ]));
    let diffs = diff(&before, &after);
    assert!(
        diffs.iter().all(|diff| diff.explained == Explained::Whole),
        "{diffs:?}"
    );
    insta::assert_snapshot!(words(&before, &after));
    assert!(diff(&before, &before).is_empty());
}

#[test]
fn what_no_event_explains_is_said_so() {
    let whole = boot(&log(&[secure_boot(1)]));
    // Something was measured that the log does not have.
    let mut beyond = whole.clone();
    beyond.values = PcrValues::new();
    for (index, value) in whole.values.iter() {
        let value = if index == pcr(9) { &digest(3) } else { value };
        assert!(beyond.values.insert(index, value.clone()));
    }
    assert!(words(&whole, &beyond).contains("no event log explains it"));
    // No log at all.
    let mut silent = boot(&log(&[secure_boot(0)]));
    silent.events = None;
    let diffs = diff(&whole, &silent);
    assert_eq!(diffs.len(), 1);
    assert_eq!((diffs[0].pcr, diffs[0].explained), (pcr(7), Explained::Not));
    // A log, and something beside it.
    let mut partly = boot(&log(&[secure_boot(1), event(9, 13, b"initrd")]));
    let mut values = PcrValues::new();
    for (index, value) in partly.values.iter() {
        let value = if index == pcr(9) { &digest(3) } else { value };
        assert!(values.insert(index, value.clone()));
    }
    partly.values = values;
    let told = words(&whole, &partly);
    assert!(
        told.contains("added: boot loader's step `initrd`"),
        "{told}"
    );
    assert!(told.contains("do not explain all of it"), "{told}");
    // A first boot.
    let told = words(&Boot::default(), &whole);
    assert!(told.contains("PCR 7: nothing → "), "{told}");
}

#[test]
fn a_proposals_name_is_of_all_that_is_shown_of_it() {
    let boot = boot(&event_log());
    let mut without = boot.clone();
    without.events = None;
    assert_ne!(boot.name(), without.name());
    assert_eq!(boot.name(), boot.clone().name());
    assert_eq!(
        boot.name().to_string().parse::<ProposalId>().unwrap(),
        boot.name()
    );
}

#[test]
fn values_are_predicted_only_from_events_that_give_the_reference() {
    let old = event(9, 13, b"an old kernel");
    let reference = boot(&log(&[old, event(9, 13, b"an initrd"), secure_boot(1)]));
    let new = event(9, 13, b"a new kernel");
    let expected = boot(&log(&[new, event(9, 13, b"an initrd"), secure_boot(1)]));
    let digest_of = |data: &[u8]| HashAlg::Sha256.digest(data);
    let replaced = [(digest_of(b"an old kernel"), digest_of(b"a new kernel"))];
    let predicted = predict(Some(&reference), &replaced).unwrap();
    assert_eq!(predicted.iter().count(), 1);
    assert_eq!(
        predicted.value(HashAlg::Sha256, pcr(9)),
        expected.values.value(HashAlg::Sha256, pcr(9))
    );
    let never = [(digest(1), digest(2))];
    assert!(matches!(
        predict(Some(&reference), &never),
        Err(Unpredictable::NoSuchEvent { .. })
    ));
    let mut beyond = reference.clone();
    beyond.values = PcrValues::new();
    assert!(beyond.values.insert(pcr(9), digest(3)));
    assert_eq!(
        predict(Some(&beyond), &replaced),
        Err(Unpredictable::Incomplete { pcr: pcr(9) })
    );
    beyond.events = None;
    assert_eq!(
        predict(Some(&beyond), &replaced),
        Err(Unpredictable::NoEvents)
    );
    assert_eq!(predict(None, &replaced), Err(Unpredictable::NoEvents));
}

/// The values are those of `systemd-measure calculate` (systemd 252) over the same files, with and without
/// `--phase=enter-initrd:leave-initrd:sysinit:ready`.
#[test]
fn a_new_kernel_images_pcr_11_is_predicted_with_the_boots_phases_as_systemd_measure_does() {
    let stub = |kernel: &[u8]| {
        let measured: [&[u8]; 6] = [
            b".linux\0",
            kernel,
            b".osrel\0",
            b"ID=test\n",
            b".cmdline\0",
            b"ro quiet",
        ];
        measured.map(|data| event(11, 13, data))
    };
    let eleven = BTreeSet::from([pcr(11)]);
    let phases = ["enter-initrd", "leave-initrd", "sysinit", "ready"];
    let phases = phases.map(|phase| Log::new().measured(11, "phase", phase).bytes);
    let phases = systemd_log::parse(&phases.concat()).unwrap();
    let hex_of = |events: &BootEvents| hex(&events.value(pcr(11)).unwrap());
    let events = BootEvents::of(&log(&stub(b"a kernel")), HashAlg::Sha256, &eleven);
    let events = events.unwrap().unwrap();
    assert_eq!(
        hex_of(&events),
        "2c695bbe4d500ba5e5ccaca839b04ff82885ba0e656cd0c14f4c2abd86ade197"
    );
    let events = events.then(&phases, &eleven);
    assert_eq!(
        hex_of(&events),
        "e9f0e172f4a3f230ca42464c9e72f6c9ca388eedbb52f57e4e891245f5e401ff"
    );
    let mut values = PcrValues::new();
    assert!(values.insert(pcr(11), events.value(pcr(11)).unwrap()));
    let reference = Boot {
        values,
        events: Some(events),
    };
    let digest_of = |data: &[u8]| HashAlg::Sha256.digest(data);
    let replaced = [(digest_of(b"a kernel"), digest_of(b"a newer kernel"))];
    let predicted = predict(Some(&reference), &replaced).unwrap();
    assert_eq!(
        hex(predicted.value(HashAlg::Sha256, pcr(11)).unwrap()),
        "a25339375917102c7aa33047ea8de97938c10bfc6055d0e59b63b41abafad5c5"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Going through what differs leads from one list to the other.
    #[test]
    fn a_difference_leads_from_one_boot_to_the_other(
        from in proptest::collection::vec(0_u8..4, 0..12),
        to in proptest::collection::vec(0_u8..4, 0..12),
    ) {
        let boot = |steps: &[u8]| boot(&log(&steps.iter().map(|step| event(4, 13, &[b'a' + step])).collect::<Vec<_>>()));
        let diffs = diff(&boot(&from), &boot(&to));
        let changes: Vec<_> = diffs.into_iter().flat_map(|diff| diff.changes).collect();
        let added = changes.iter().filter(|change| !matches!(change, Change::Removed(_))).count();
        let removed = changes.iter().filter(|change| !matches!(change, Change::Added(_))).count();
        proptest::prop_assert_eq!(from.len() + added, to.len() + removed);
        proptest::prop_assert_eq!(changes.is_empty(), from == to);
    }
}

#[test]
fn a_bank_that_only_one_boot_has_is_no_change() {
    let boot = |algs: &[HashAlg], seven: u8| {
        let mut values = PcrValues::new();
        for alg in algs {
            assert!(values.insert(pcr(7), alg.digest(&[seven])));
        }
        let events = None;
        Boot { values, events }
    };
    let before = boot(&[HashAlg::Sha256], 1);
    let all = [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384];
    assert_eq!(diff(&before, &boot(&all, 1)), []);
    // What is told is of a bank that both have, and not of SHA-1 where there is another.
    for (from, to) in [(before, boot(&all, 2)), (boot(&all, 1), boot(&all, 2))] {
        let found = diff(&from, &to);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].from, Some(digest(1)));
        assert_eq!(found[0].to, Some(digest(2)));
    }
    // With no bank in common nothing says that it is the same.
    let other = diff(&boot(&[HashAlg::Sha256], 1), &boot(&[HashAlg::Sha384], 1));
    assert_eq!(other.len(), 1);
}
