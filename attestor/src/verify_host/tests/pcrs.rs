//! PCRs and their references: what is noted, what is learned, what is proposed to an operator.

use std::num::NonZeroU32;

use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::evidence::Check;

use super::{check_of, noted};
use crate::registry::{EventsKept, ReferencePcrs};
use crate::rollout::{Leave, Offer, Part, RolloutId, Showing};
use crate::software_tpm::{Scene, digest, pcr};
use crate::verify_host::{Learning, Refusal, Unexplained, Update};

/// The TPM's PCRs with one of them changed.
fn drifted(scene: &Scene, changed: u8) -> PcrValues {
    let mut values = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let value = if index.get() == changed {
            digest(99)
        } else {
            value.clone()
        };
        assert!(values.insert(index, value));
    }
    values
}

#[test]
fn a_change_of_a_pcr_that_does_not_block_is_noted() {
    let mut scene = Scene::new();
    scene.host.reference = ReferencePcrs(drifted(&scene, 9));
    let note = noted(&scene, scene.parts(), Check::PcrReference);
    assert!(note.contains("pcr 9"), "{note}");
}

#[test]
fn what_has_no_reference_is_learned() {
    let scene = Scene::fresh();
    let (_, result) = scene.verify(&scene.sign(scene.parts()));
    assert_eq!(result.unwrap().learned, scene.tpm.pcrs);
    let note = noted(&scene, scene.parts(), Check::PcrReference);
    assert_eq!(note, "learned as reference: sha256:0,2,4,7,9,11");
}

fn refusal(scene: &Scene) -> Refusal {
    let (_, result) = scene.verify(&scene.sign(scene.parts()));
    result.unwrap_err()
}

#[test]
fn another_boot_is_refused_and_proposed_with_what_its_quote_proves() {
    let mut scene = Scene::new();
    scene.host.reference = ReferencePcrs(drifted(&scene, 7));
    let refusal = refusal(&scene);
    assert_eq!(refusal.check, Check::PcrReference);
    let boot = refusal.proposal.unwrap();
    assert_eq!(boot.values, scene.tpm.pcrs);
    let events = boot.events.unwrap();
    let seven = events.value(pcr(7)).unwrap();
    assert_eq!(
        Some(&seven),
        scene.tpm.pcrs.value(events.bank(), pcr(7)),
        "the events give the quoted value"
    );
}

#[test]
fn evidence_that_is_wrong_in_anything_else_proposes_nothing() {
    let mut scene = Scene::new();
    scene.host.reference = ReferencePcrs(drifted(&scene, 7));
    // A clock that went back, and a log that gives other values.
    scene.host.last.clock.reset_count += 1;
    let evidence = scene.sign(scene.parts());
    let refused = scene.verify(&evidence).1.unwrap_err();
    assert_eq!((refused.check, refused.proposal), (Check::Clock, None));
    scene.host.last.clock.reset_count -= 1;
    let mut evidence = scene.sign(scene.parts());
    evidence.pcrs[3].value[0] ^= 1;
    assert_eq!(check_of(&scene, &evidence), Check::PcrDigest);
    assert_eq!(scene.verify(&evidence).1.unwrap_err().proposal, None);
}

#[test]
fn first_values_wait_for_approval_where_policy_says_so() {
    let mut scene = Scene::fresh();
    scene.policy.learning = Learning::Propose;
    let refusal = refusal(&scene);
    assert_eq!(refusal.check, Check::ReferenceApproval);
    assert_eq!(refusal.proposal.unwrap().values, scene.tpm.pcrs);
    assert!(refusal.detail.contains("approve"), "{}", refusal.detail);
    // Once they are the reference, they are as any.
    scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
    let (_, result) = scene.verify(&scene.sign(scene.parts()));
    assert!(result.unwrap().learned.is_empty());
}

#[test]
fn an_update_that_was_accepted_ahead_counts_once_all_of_it_is_seen() {
    let mut scene = Scene::new();
    scene.host.reference = ReferencePcrs(drifted(&scene, 7));
    let now = |index: u8| {
        let value = scene.tpm.pcrs.iter().find(|(at, _)| *at == pcr(index));
        value.unwrap().1.clone()
    };
    let mut ahead = PcrValues::new();
    assert!(ahead.insert(pcr(7), now(7)));
    assert!(ahead.insert(pcr(4), now(4)));
    scene.host.ahead = ReferencePcrs(ahead.clone());
    let (appraisal, result) = scene.verify(&scene.sign(scene.parts()));
    let verified = result.unwrap();
    assert_eq!(verified.update, Update::Seen(scene.tpm.pcrs.clone()));
    assert!(verified.events.is_some() && verified.learned.is_empty());
    let last = appraisal.checks.last().unwrap();
    assert!(last.detail.contains("accepted ahead"), "{}", last.detail);
    // In part it is no update.
    let mut other = PcrValues::new();
    assert!(other.insert(pcr(7), now(7)));
    assert!(other.insert(pcr(4), digest(98)));
    scene.host.ahead = ReferencePcrs(other);
    assert_eq!(refusal(&scene).check, Check::PcrReference);
}

#[test]
fn an_update_of_a_rollout_is_taken_in_its_turn_alone() {
    let mut scene = Scene::new();
    let now = scene.tpm.pcrs.clone();
    let values = |four| {
        let mut values = PcrValues::new();
        assert!(values.insert(pcr(4), four));
        ReferencePcrs(values)
    };
    let four = now.iter().find(|(index, _)| *index == pcr(4)).unwrap().1;
    let offer = |leave, four| Offer {
        rollout: RolloutId(NonZeroU32::MIN),
        part: Part::General,
        values: values(four),
        leave,
        shown: None,
        refused: None,
    };
    // PCR 4 blocks nobody here, and still nobody is ahead of its turn.
    assert!(!scene.policy.blocking.contains(&pcr(4)));
    scene.host.reference = ReferencePcrs(drifted(&scene, 4));
    let old = scene.host.reference.clone();
    for (leave, why) in [(Leave::NotYet, "canaries"), (Leave::Braked, "stopped")] {
        scene.host.rollout = Some(offer(leave, four.clone()));
        let refusal = refusal(&scene);
        assert_eq!(refusal.check, Check::PcrReference);
        let detail = refusal.detail;
        assert!(
            detail.contains("ahead of its rollout") && detail.contains(why),
            "{detail}"
        );
        assert!(refusal.proposal.is_some());
    }
    let verified = |scene: &Scene| scene.verify(&scene.sign(scene.parts())).1.unwrap();
    scene.host.rollout = Some(offer(Leave::Given, four.clone()));
    let taken = verified(&scene);
    assert_eq!(taken.showing, Showing::Taken);
    assert_eq!(taken.update, Update::Seen(now.clone()));
    // Who is held to it already keeps it, whatever became of the rollout; and what was accepted for it alone it may show.
    scene.host.rollout = Some(offer(Leave::Braked, four.clone()));
    scene.host.reference = ReferencePcrs(now.clone());
    assert_eq!(verified(&scene).showing, Showing::Kept);
    scene.host.reference = old;
    scene.host.ahead = values(four.clone());
    let kept = verified(&scene);
    assert_eq!(kept.showing, Showing::Kept);
    assert_eq!(kept.update, Update::Seen(now));
    // Another boot is none of the rollout's.
    scene.host.ahead = ReferencePcrs::default();
    scene.host.rollout = Some(offer(Leave::NotYet, digest(99)));
    assert_eq!(verified(&scene).showing, Showing::Other);
}

#[test]
fn events_are_kept_of_the_reference_boot_alone() {
    let mut scene = Scene::new();
    scene.host.events = EventsKept::Yes;
    let events = |scene: &Scene| {
        let (_, result) = scene.verify(&scene.sign(scene.parts()));
        result.unwrap().events
    };
    assert_eq!(events(&scene), None);
    scene.host.events = EventsKept::No;
    assert!(events(&scene).is_some());
    scene.host.reference = ReferencePcrs(drifted(&scene, 9));
    assert_eq!(events(&scene), None, "it drifted");
}

#[test]
fn a_change_that_no_log_explains_asks_where_policy_says_so() {
    let mut scene = Scene::new();
    scene.policy.unexplained = Unexplained::Ask;
    // The log gives the PCR 4 that is quoted, and not the PCR 9.
    scene.host.reference = ReferencePcrs(drifted(&scene, 4));
    noted(&scene, scene.parts(), Check::PcrReference);
    scene.host.reference = ReferencePcrs(drifted(&scene, 9));
    let refusal = refusal(&scene);
    assert_eq!(refusal.check, Check::PcrReference);
    assert!(refusal.detail.contains("pcr 9"), "{}", refusal.detail);
    assert!(refusal.proposal.is_some());
}
