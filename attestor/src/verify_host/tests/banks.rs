//! Banks: what is required of a TPM that proves which it keeps, of one that does not, and what becomes of references.

use holdfast_proof::event_log;
use holdfast_proof::tpm::{HashAlg, PcrSelection, PcrValues};
use holdfast_protocol::evidence::{Check, Finding};

use super::event_log::showing;
use super::{check_of, noted};
use crate::registry::ReferencePcrs;
use crate::software_tpm::{Scene, banks, digest, pcr};

use crate::verify_host::{Learning, Required, Unexplained, UnquotedBanks, Update};

const REQUIRED: [u8; 6] = [0, 2, 4, 7, 9, 11];
const BOTH: [HashAlg; 2] = [HashAlg::Sha256, HashAlg::Sha384];

/// A host without a log, whose TPM keeps these banks, each with values of its own.
fn keeping(scene: &mut Scene, algs: &[HashAlg]) {
    let mut pcrs = PcrValues::new();
    for alg in algs {
        for index in REQUIRED {
            assert!(pcrs.insert(pcr(index), alg.digest(&[index])));
        }
    }
    scene.tpm.pcrs = pcrs;
    scene.tpm.banks = banks(algs);
}

/// A host that was accepted with SHA-256 alone, before its other bank was quoted.
fn upgraded() -> Scene {
    let mut scene = Scene::new();
    keeping(&mut scene, &[HashAlg::Sha256]);
    scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
    keeping(&mut scene, &BOTH);
    scene
}

fn of(values: &PcrValues, bank: HashAlg) -> Vec<u8> {
    let found = values.iter().filter(|(_, value)| value.alg() == bank);
    found.map(|(index, _)| index.get()).collect()
}

#[test]
fn any_strong_bank_is_enough_and_every_active_one_is_quoted() {
    for algs in [
        &[HashAlg::Sha256][..],
        &[HashAlg::Sha384],
        &[HashAlg::Sha512],
        &BOTH,
        &[HashAlg::Sha1, HashAlg::Sha256],
        &[
            HashAlg::Sha1,
            HashAlg::Sha256,
            HashAlg::Sha384,
            HashAlg::Sha512,
        ],
    ] {
        let mut scene = Scene::fresh();
        keeping(&mut scene, algs);
        let parts = showing(&scene, Vec::new());
        let (_, result) = scene.verify(&scene.sign(parts));
        assert_eq!(result.unwrap().learned, scene.tpm.pcrs, "{algs:?}");
    }
}

#[test]
fn a_log_has_to_give_the_pcrs_of_every_bank() {
    // The firmware's log of a real machine, in two banks.
    let log = include_bytes!("../../../../proof/testdata/event_log/ovmf-secure-boot.bin");
    let given = event_log::replay(log).unwrap().values;
    let mut scene = Scene::fresh();
    keeping(&mut scene, &BOTH);
    let mut pcrs = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let firmware = given.value(value.alg(), index).filter(|_| index.get() <= 7);
        assert!(pcrs.insert(index, firmware.unwrap_or(value).clone()));
    }
    scene.tpm.pcrs = pcrs;
    let parts = || showing(&scene, log.to_vec());
    scene.verify(&scene.sign(parts())).1.unwrap();
    let mut other = Scene::fresh();
    keeping(&mut other, &BOTH);
    let mut pcrs = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let four = index.get() == 4 && value.alg() == HashAlg::Sha384;
        let value = if four {
            HashAlg::Sha384.digest(b"evil")
        } else {
            value.clone()
        };
        assert!(pcrs.insert(index, value));
    }
    other.tpm.pcrs = pcrs;
    let evidence = other.sign(showing(&other, log.to_vec()));
    assert_eq!(check_of(&other, &evidence), Check::EventLog);
}

#[test]
fn a_simulated_host_may_have_blank_banks_as_long_as_nothing_is_measured() {
    let mut scene = Scene::fresh();
    let mut pcrs = PcrValues::new();
    for alg in BOTH {
        for index in REQUIRED {
            let zero = holdfast_proof::tpm::Digest::new(alg, &vec![0; alg.digest_len()]).unwrap();
            assert!(pcrs.insert(pcr(index), zero));
        }
    }
    scene.tpm.pcrs = pcrs;
    scene.tpm.banks = banks(&BOTH);
    let parts = showing(&scene, Vec::new());
    scene.verify(&scene.sign(parts)).1.unwrap();
}

#[test]
fn what_is_not_proven_is_noted_where_policy_says_so_and_sha256_quoted() {
    let mut scene = Scene::new();
    scene.policy.unquoted_banks = UnquotedBanks::Note;
    let mut parts = scene.parts();
    parts.banks = None;
    let note = noted(&scene, parts, Check::PcrBanks);
    assert!(note.contains("update the host's broker"), "{note}");
    // Not some other bank that the host would rather show.
    let mut other = Scene::new();
    other.policy.unquoted_banks = UnquotedBanks::Note;
    keeping(&mut other, &[HashAlg::Sha384]);
    let mut parts = showing(&other, Vec::new());
    parts.banks = None;
    let evidence = other.sign(parts);
    assert_eq!(check_of(&other, &evidence), Check::PcrSelection);
}

#[test]
fn an_active_bank_that_policy_does_not_name_is_noted_or_refused() {
    let mut scene = Scene::new();
    keeping(&mut scene, &[HashAlg::Sha256]);
    scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
    scene.tpm.banks = banks(&[HashAlg::Sha1, HashAlg::Sha256]);
    let named = PcrSelection::of(HashAlg::Sha256, REQUIRED.map(pcr));
    scene.policy.required = Required::Banks(named);
    scene.policy.unquoted_banks = UnquotedBanks::Note;
    let parts = || showing(&scene, Vec::new());
    let note = noted(&scene, parts(), Check::PcrBanks);
    assert!(note.ends_with(": sha1"), "{note}");
    let evidence = scene.sign(parts());
    scene.policy.unquoted_banks = UnquotedBanks::Refuse;
    assert_eq!(check_of(&scene, &evidence), Check::PcrBanks);
}

#[test]
fn named_banks_may_have_other_pcrs_each() {
    let mut scene = Scene::fresh();
    keeping(&mut scene, &BOTH);
    let named = PcrSelection::of(HashAlg::Sha256, [0, 7].map(pcr));
    scene.policy.required = Required::Banks(named.with(HashAlg::Sha384, [pcr(4)]));
    let mut parts = showing(&scene, Vec::new());
    let wanted = [(0x000b, 0), (0x000b, 7), (0x000c, 4)];
    parts
        .pcrs
        .retain(|value| wanted.contains(&(value.bank, value.index)));
    scene.verify(&scene.sign(parts)).1.unwrap();
}

#[test]
fn a_bank_that_was_not_quoted_before_is_learned_of_the_reference_boot() {
    for learning in [Learning::FirstBoot, Learning::Propose] {
        let mut scene = upgraded();
        scene.policy.learning = learning;
        let parts = showing(&scene, Vec::new());
        let (_, result) = scene.verify(&scene.sign(parts));
        let learned = result.unwrap().learned;
        assert_eq!(of(&learned, HashAlg::Sha384), REQUIRED, "{learning:?}");
        assert!(of(&learned, HashAlg::Sha256).is_empty());
    }
}

#[test]
fn of_another_boot_nothing_is_learned_in_any_bank() {
    for learning in [Learning::FirstBoot, Learning::Propose] {
        let mut scene = upgraded();
        scene.policy.learning = learning;
        let mut values = PcrValues::new();
        for (index, value) in scene.host.reference.iter() {
            let value = if index == pcr(9) {
                digest(99)
            } else {
                value.clone()
            };
            assert!(values.insert(index, value));
        }
        scene.host.reference = ReferencePcrs(values);
        let parts = showing(&scene, Vec::new());
        let (appraisal, result) = scene.verify(&scene.sign(parts));
        assert_eq!(
            of(&result.unwrap().learned, HashAlg::Sha384),
            [0, 2, 4, 7, 11]
        );
        let noted = appraisal
            .checks
            .iter()
            .find(|checked| checked.finding == Finding::Noted);
        assert!(noted.unwrap().detail.starts_with("pcr 9 is "));
    }
}

#[test]
fn sha1_alone_vouches_for_no_first_values() {
    let mut scene = Scene::new();
    keeping(&mut scene, &[HashAlg::Sha1]);
    scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
    keeping(&mut scene, &[HashAlg::Sha1, HashAlg::Sha256]);
    scene.policy.learning = Learning::Propose;
    let evidence = scene.sign(showing(&scene, Vec::new()));
    assert_eq!(check_of(&scene, &evidence), Check::ReferenceApproval);
}

#[test]
fn a_change_in_any_bank_blocks_and_is_told_once() {
    let mut scene = upgraded();
    let mut values = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let other = value.alg().digest(b"another");
        let value = if index == pcr(7) {
            other
        } else {
            value.clone()
        };
        assert!(values.insert(index, value));
    }
    scene.host.reference = ReferencePcrs(values);
    let evidence = scene.sign(showing(&scene, Vec::new()));
    let refusal = scene.verify(&evidence).1.unwrap_err();
    assert_eq!(refusal.check, Check::PcrReference);
    assert_eq!(
        refusal.detail.matches("pcr 7").count(),
        1,
        "{}",
        refusal.detail
    );
    assert!(
        refusal.detail.ends_with("(changed in sha256, sha384)"),
        "{}",
        refusal.detail
    );
    assert_eq!(refusal.proposal.unwrap().values, scene.tpm.pcrs);
}

#[test]
fn an_update_that_was_accepted_in_one_bank_is_the_reference_in_all() {
    let mut scene = upgraded();
    scene.policy.unexplained = Unexplained::Ask;
    let mut before = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let other = value.alg().digest(b"before");
        let value = if index == pcr(7) {
            other
        } else {
            value.clone()
        };
        assert!(before.insert(index, value));
    }
    scene.host.reference = ReferencePcrs(before);
    let seven = scene.tpm.pcrs.value(HashAlg::Sha256, pcr(7)).unwrap();
    let mut ahead = PcrValues::new();
    assert!(ahead.insert(pcr(7), seven.clone()));
    scene.host.ahead = ReferencePcrs(ahead);
    let evidence = scene.sign(showing(&scene, Vec::new()));
    let verified = scene.verify(&evidence).1.unwrap();
    assert_eq!(verified.update, Update::Seen(scene.tpm.pcrs.clone()));
}
