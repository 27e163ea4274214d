//! Measurement lists: replayed to the quoted PCR 10, judged, and continued.

#[allow(dead_code, reason = "what only the tests of `proof` make")]
#[path = "../../../../proof/src/ima/tests/builder.rs"]
pub(super) mod builder;

use std::sync::Arc;

use builder::{MeasuredList, sha256};
use holdfast_proof::ima::{AllowList, PathPattern, Policy, Replay};
use holdfast_proof::tpm::{Digest, HashAlg, PcrSelection, PcrValues};
use holdfast_protocol::evidence::{Appraisal, Check, Finding, ImaEnd, ImaList};

use super::super::{ImaPolicy, Refusal, Required, Verified, ima_wanted};
use super::event_log::showing;
use crate::registry::ImaState;
use crate::software_tpm::{Scene, banks, pcr};

type Mode = fn(Arc<Policy>) -> ImaPolicy;

/// What the lists of these tests have, but for `/usr/bin/evil`.
fn allowed() -> Arc<Policy> {
    let mut allow = AllowList::default();
    for name in ["a", "b", "c"] {
        let digest = data_encoding::HEXLOWER.encode(&sha256(name.as_bytes()));
        allow.add(&format!("{digest}  /usr/bin/{name}")).unwrap();
    }
    allow.finish();
    Arc::new(Policy {
        allow,
        exclude: vec![PathPattern::new("/tmp/*").unwrap()],
        ..Policy::default()
    })
}

fn scene(mode: Mode) -> Scene {
    let mut scene = Scene::new();
    scene.policy.ima = mode(allowed());
    let all = [0, 2, 4, 7, 9, 10, 11].map(pcr);
    scene.policy.required = Required::Banks(PcrSelection::of(HashAlg::Sha256, all));
    scene
}

fn good() -> MeasuredList {
    MeasuredList::new()
        .boot_aggregate([1; 32])
        .file("/usr/bin/a", b"a")
        .file("/tmp/x", b"whatever")
        .file("/usr/bin/b", b"b")
}

fn evil(list: MeasuredList) -> MeasuredList {
    list.file("/usr/bin/evil", b"evil")
}

/// A part of a list, from entry `first` to entry `end`.
fn part(list: &MeasuredList, first: usize, end: usize) -> ImaList {
    let at = |entry: usize| list.starts.get(entry).copied().unwrap_or(list.bytes.len());
    ImaList {
        first: first as u64,
        entries: list.bytes[at(first)..at(end)].to_vec(),
        end: ImaEnd::Whole,
    }
}

fn from(list: &MeasuredList, first: usize) -> Option<ImaList> {
    Some(part(list, first, list.starts.len()))
}

/// Evidence of a TPM whose PCR 10 is this, with this list.
fn judge(
    scene: &mut Scene,
    pcr10: [u8; 32],
    ima: Option<ImaList>,
) -> (Appraisal, Result<Verified, Refusal>) {
    let mut pcrs = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter().filter(|(index, _)| index.get() != 10) {
        assert!(pcrs.insert(index, value.clone()));
    }
    let value = Digest::new(HashAlg::Sha256, &pcr10).unwrap();
    assert!(pcrs.insert(pcr(10), value));
    scene.tpm.pcrs = pcrs;
    let mut parts = scene.parts();
    parts.ima = ima;
    scene.verify(&scene.sign(parts))
}

fn accepted(scene: &mut Scene, pcr10: [u8; 32], ima: Option<ImaList>) -> Option<ImaState> {
    let (_, result) = judge(scene, pcr10, ima);
    let verified = result.unwrap();
    // PCR 10 is never a reference: it would have to be learned here.
    assert!(verified.learned.is_empty());
    verified.ima
}

fn refused(scene: &mut Scene, pcr10: [u8; 32], ima: Option<ImaList>) -> Refusal {
    judge(scene, pcr10, ima).1.unwrap_err()
}

fn notes(appraisal: &Appraisal) -> Vec<String> {
    let noted = appraisal
        .checks
        .iter()
        .filter(|checked| checked.finding == Finding::Noted);
    noted
        .map(|checked| format!("{}: {}", checked.check, checked.detail))
        .collect()
}

#[test]
fn a_list_is_verified_once_and_continued() {
    let mut scene = scene(ImaPolicy::Enforce);
    let list = good();
    // The list was read after the quote: it has an entry more, which counts for nothing yet.
    let longer = evil(list.clone());
    let state = accepted(&mut scene, list.pcr, from(&longer, 0)).unwrap();
    assert_eq!((state.boot, state.proven.entries()), (7, 4));
    scene.host.ima = Some(state);
    let wanted = ima_wanted(&scene.policy, scene.host.ima.as_ref()).unwrap();
    assert_eq!((wanted.reset_count, wanted.first), (7, 4));
    // It is judged when a quote covers it.
    let refusal = refused(&mut scene, longer.pcr, from(&longer, 4));
    assert_eq!(refusal.check, Check::ImaPolicy);
    assert!(
        refusal
            .detail
            .starts_with("entry 4, /usr/bin/evil, sha256:"),
        "{}",
        refusal.detail
    );
    assert!(
        refusal.detail.ends_with(": not listed"),
        "{}",
        refusal.detail
    );
    let later = list.file("/usr/bin/c", b"c");
    let state = accepted(&mut scene, later.pcr, from(&later, 4)).unwrap();
    assert_eq!(state.proven.entries(), 5);
    // Nothing new.
    scene.host.ima = Some(state);
    let state = accepted(&mut scene, later.pcr, from(&later, 5)).unwrap();
    assert_eq!(state.proven.entries(), 5);
}

#[test]
fn tampered_lists_are_refused_by_the_replay() {
    let list = evil(good()).file("/usr/bin/c", b"c");
    let honest = good().file("/usr/bin/c", b"c");
    let without = [part(&list, 0, 4).entries, part(&list, 5, 6).entries].concat();
    let with = [part(&good(), 0, 4).entries, part(&list, 4, 5).entries].concat();
    let mut changed = list.bytes.clone();
    let at = changed.len() - 12;
    changed[at] ^= 1;
    let whole = |entries: Vec<u8>| ImaList {
        first: 0,
        entries,
        end: ImaEnd::Whole,
    };
    for (name, pcr10, sent) in [
        ("an entry left out", list.pcr, whole(without)),
        (
            "an entry added",
            good().pcr,
            whole(with[list.starts[1]..].to_vec()),
        ),
        ("another list", list.pcr, whole(honest.bytes)),
        ("an entry changed", list.pcr, whole(changed)),
        (
            "an entry cut off",
            list.pcr,
            whole(list.bytes[..list.bytes.len() - 1].to_vec()),
        ),
        ("the end missing", list.pcr, part(&list, 0, 5)),
        ("nothing", list.pcr, part(&list, 0, 0)),
        ("another first entry", list.pcr, part(&list, 1, 6)),
    ] {
        for mode in [ImaPolicy::Enforce as Mode, ImaPolicy::Record] {
            let mut scene = scene(mode);
            let refusal = refused(&mut scene, pcr10, Some(sent.clone()));
            assert_eq!(
                (refusal.check, refusal.ima),
                (Check::ImaReplay, None),
                "{name}"
            );
        }
    }
}

#[test]
fn a_list_begins_where_it_was_asked_for_and_anew_with_each_boot() {
    let mut scene = scene(ImaPolicy::Enforce);
    let list = good();
    let state = accepted(&mut scene, list.pcr, from(&list, 0)).unwrap();
    scene.host.ima = Some(state.clone());
    for (first, shown) in [(0, "entry 0"), (3, "entry 3")] {
        let refusal = refused(&mut scene, list.pcr, from(&list, first));
        assert_eq!(refusal.check, Check::ImaReplay);
        assert!(refusal.detail.contains(shown), "{}", refusal.detail);
    }
    // After a reboot the old place means nothing.
    scene.tpm.clock.reset_count += 1;
    let boot = MeasuredList::new().file("/usr/bin/c", b"c");
    let refusal = refused(&mut scene, boot.pcr, from(&list, 4));
    assert_eq!(refusal.check, Check::ImaReplay);
    let state = accepted(&mut scene, boot.pcr, from(&boot, 0)).unwrap();
    assert_eq!((state.boot, state.proven.entries()), (8, 1));
}

#[test]
fn recording_names_what_is_not_listed_and_goes_on() {
    let mut scene = scene(ImaPolicy::Record);
    let mut list = good();
    for n in 0..11 {
        list = list.file(&format!("/opt/{n}"), b"x");
    }
    let (appraisal, result) = judge(&mut scene, list.pcr, from(&list, 0));
    let notes = notes(&appraisal);
    assert_eq!(notes.len(), 9);
    assert!(
        notes[0].starts_with("ima-policy: entry 4, /opt/0, sha256:"),
        "{notes:?}"
    );
    assert_eq!(notes[8], "ima-policy: and 3 more");
    let state = result.unwrap().ima.unwrap();
    assert_eq!((state.proven.entries(), state.unjustified), (15, 11));
    // What was only recorded never passes for judged: enforcing begins at the boot again.
    scene.host.ima = Some(state);
    scene.policy.ima = ImaPolicy::Enforce(allowed());
    assert_eq!(
        ima_wanted(&scene.policy, scene.host.ima.as_ref())
            .unwrap()
            .first,
        0
    );
    let refusal = refused(&mut scene, list.pcr, from(&list, 0));
    assert_eq!(refusal.check, Check::ImaPolicy);
    assert!(
        refusal
            .detail
            .starts_with("11 entries are not right; entry 4, /opt/0"),
        "{}",
        refusal.detail
    );
}

#[test]
fn a_host_without_a_list_is_noted_or_refused() {
    let mut record = scene(ImaPolicy::Record);
    let (appraisal, result) = judge(&mut record, [0; 32], None);
    assert_eq!(result.unwrap().ima, None);
    assert!(notes(&appraisal)[0].starts_with("ima-replay: the host sent no measurement list"));
    let refusal = refused(&mut scene(ImaPolicy::Enforce), [0; 32], None);
    assert_eq!(refusal.check, Check::ImaReplay);
    // A kernel that measures nothing, with a list and without: no entry of it is proven.
    for list in [MeasuredList::new(), good()] {
        let refusal = refused(&mut scene(ImaPolicy::Enforce), [0; 32], from(&list, 0));
        assert_eq!(refusal.check, Check::ImaReplay);
        assert!(
            refusal.detail.contains("never extended"),
            "{}",
            refusal.detail
        );
        let (appraisal, result) = judge(&mut record, [0; 32], from(&list, 0));
        assert_eq!(result.unwrap().ima, None);
        assert!(notes(&appraisal)[0].starts_with("ima-replay: pcr 10 was never extended"));
    }
}

#[test]
fn nothing_is_asked_or_judged_where_the_mode_is_off() {
    let scene = Scene::new();
    assert_eq!(ima_wanted(&scene.policy, None), None);
    let mut parts = scene.parts();
    parts.ima = from(&evil(good()), 3);
    let (appraisal, result) = scene.verify(&scene.sign(parts));
    assert_eq!(result.unwrap().ima, None);
    let ima = |check| matches!(check, Check::ImaReplay | Check::ImaPolicy);
    assert!(!appraisal.checks.iter().any(|checked| ima(checked.check)));
}

#[test]
fn a_list_that_one_attestation_cannot_hold_comes_in_parts() {
    let list = good().file("/usr/bin/c", b"c").file("/tmp/y", b"y");
    let cut = |first, end| {
        let part = part(&list, first, end);
        Some(ImaList {
            end: ImaEnd::Cut,
            ..part
        })
    };
    // Enforced: no identity before the whole list is proven, but what was sent is not asked for again.
    let mut enforced = scene(ImaPolicy::Enforce);
    for (first, end) in [(0, 2), (2, 4)] {
        let refusal = refused(&mut enforced, list.pcr, cut(first, end));
        assert_eq!(refusal.check, Check::ImaReplay);
        assert!(
            refusal.detail.contains("longer than one attestation takes"),
            "{}",
            refusal.detail
        );
        let state = refusal.ima.unwrap();
        assert_eq!(
            (state.proven.entries(), state.next().entries()),
            (0, end as u64)
        );
        enforced.host.ima = Some(state);
    }
    let ahead = enforced.host.ima.clone();
    let state = accepted(&mut enforced, list.pcr, from(&list, 4)).unwrap();
    assert_eq!((state.proven.entries(), state.ahead), (6, None));
    // What was sent ahead and does not fit is forgotten: the host may start over.
    enforced.host.ima = ahead;
    let other = MeasuredList::new().file("/usr/bin/b", b"b");
    let mut wrong = part(&other, 0, 1);
    wrong.first = 4;
    let refusal = refused(&mut enforced, list.pcr, Some(wrong));
    let state = refusal.ima.unwrap();
    assert_eq!(
        (refusal.check, state.next().entries(), state.ahead),
        (Check::ImaReplay, 0, None)
    );
    // A part that names what may not run is refused at once, and not kept.
    let bad = evil(MeasuredList::new());
    let part = ImaList {
        end: ImaEnd::Cut,
        ..part(&bad, 0, 1)
    };
    enforced.host.ima = None;
    let refusal = refused(&mut enforced, list.pcr, Some(part));
    assert_eq!((refusal.check, refusal.ima), (Check::ImaPolicy, None));
    // Recorded: it is noted, and the state goes on.
    let mut recorded = scene(ImaPolicy::Record);
    let state = accepted(&mut recorded, list.pcr, cut(0, 3)).unwrap();
    assert_eq!((state.proven.entries(), state.next().entries()), (0, 3));
}

#[test]
fn a_state_of_other_banks_is_not_continued() {
    let mut scene = scene(ImaPolicy::Enforce);
    scene.host.ima = Some(ImaState {
        boot: 7,
        proven: Replay::start([HashAlg::Sha1, HashAlg::Sha256]),
        ahead: None,
        unjustified: 0,
    });
    assert_eq!(
        ima_wanted(&scene.policy, scene.host.ima.as_ref())
            .unwrap()
            .first,
        0
    );
    let list = good();
    assert_eq!(
        accepted(&mut scene, list.pcr, from(&list, 0))
            .unwrap()
            .proven
            .entries(),
        4
    );
}

#[test]
fn a_list_goes_on_where_more_banks_are_quoted_than_before() {
    let mut scene = scene(ImaPolicy::Enforce);
    let list = good();
    let state = accepted(&mut scene, list.pcr, from(&list, 0)).unwrap();
    scene.host.ima = Some(state);
    // From now on policy wants every active bank, and SHA-1 is one.
    let all = [0, 2, 4, 7, 9, 10, 11];
    scene.policy.required = Required::Active(all.map(pcr).into());
    scene.tpm.banks = banks(&[HashAlg::Sha1, HashAlg::Sha256]);
    let mut pcrs = scene.tpm.pcrs.clone();
    for index in all {
        assert!(pcrs.insert(pcr(index), HashAlg::Sha1.digest(&[index])));
    }
    scene.tpm.pcrs = pcrs;
    let wanted = ima_wanted(&scene.policy, scene.host.ima.as_ref()).unwrap();
    assert_eq!((wanted.reset_count, wanted.first), (7, 4));
    let mut parts = showing(&scene, Vec::new());
    parts.ima = from(&list, 4);
    let state = scene.verify(&scene.sign(parts)).1.unwrap().ima.unwrap();
    assert_eq!(state.proven.entries(), 4);
    assert!(state.proven.banks().eq([HashAlg::Sha256]));
    // With the next boot both have to give the list.
    scene.tpm.clock.reset_count += 1;
    let mut parts = showing(&scene, Vec::new());
    parts.ima = from(&list, 0);
    let refusal = scene.verify(&scene.sign(parts)).1.unwrap_err();
    assert_eq!(refusal.check, Check::ImaReplay);
}
