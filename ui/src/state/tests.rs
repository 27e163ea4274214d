#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::approval::{PinOnX11, Quoted, Waits};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::grade::Tier;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

/// A question, of a session of its own.
pub(crate) fn question(number: u8) -> Question {
    Question {
        call: CallId::from_random([number; 16]),
        session: SessionId::from_random([number; 16]),
        agent: "claude".parse().unwrap(),
        human: HumanUid(1000),
        headline: "Push `main` to `origin`".to_owned(),
        effects: vec!["Push `main` to `origin`".to_owned()],
        tier: Tier::R2,
        why: "the branch is protected".to_owned(),
        quoted: Quoted {
            tool: "Bash".to_owned(),
            arguments: "{\"command\":\"git push\"}".to_owned(),
            omitted: 0,
        },
        directory: "/home/ada/kelp".to_owned(),
        digest: Sha256Digest::new([7; 32]),
        position: usize::from(number),
        waits: Waits::Until {
            deadline: NOW + Duration::from_secs(90),
        },
        pin_on_x11: PinOnX11::Refuse,
    }
}

fn pin() -> Deed {
    Deed::Pin(Secret::new(Zeroizing::new("kelp-and-rock".to_owned())))
}

fn refused() -> Notice {
    Notice {
        message: "the PIN is wrong".to_owned(),
        advice: String::new(),
    }
}

fn core(numbers: &[u8]) -> Core {
    let mut core = Core::new(Life::Resident);
    list(&mut core, numbers);
    core
}

fn list(core: &mut Core, numbers: &[u8]) -> Vec<Effect> {
    core.handle(
        NOW,
        Input::Questions(numbers.iter().copied().map(question).collect()),
    )
}

fn asked(core: &Core) -> Option<u8> {
    match core.stage() {
        Stage::Asking(question, _) => u8::try_from(question.position).ok(),
        Stage::Hidden | Stage::Gone { .. } | Stage::Nothing => None,
    }
}

fn call(number: u8) -> CallId {
    question(number).call
}

#[test]
fn a_question_opens_the_window_and_its_end_closes_it() {
    let mut core = Core::new(Life::Resident);
    assert!(list(&mut core, &[]).is_empty());
    assert!(matches!(list(&mut core, &[1])[..], [Effect::Open]));
    let sent = core.handle(NOW, Input::Decide(call(1), pin()));
    assert!(matches!(
        sent[..],
        [
            Effect::Send {
                deed: Deed::Pin(_),
                ..
            },
            Effect::Refresh
        ]
    ));
    assert!(matches!(
        core.handle(NOW, Input::Answered(call(1), Ok(())))[..],
        [Effect::Close]
    ));
    // A list that was made before the answer opens nothing.
    assert!(list(&mut core, &[1]).is_empty());
    assert!(list(&mut core, &[]).is_empty());
}

#[test]
fn the_next_question_follows_the_answered_one() {
    let mut core = core(&[1, 2]);
    core.handle(NOW, Input::Decide(call(1), Deed::Deny));
    core.handle(NOW, Input::Answered(call(1), Ok(())));
    assert_eq!(asked(&core), Some(2));
}

#[test]
fn what_was_put_aside_stays_away_until_it_is_wanted() {
    let mut core = core(&[1]);
    assert!(matches!(
        core.handle(NOW, Input::Close)[..],
        [Effect::Close]
    ));
    assert!(list(&mut core, &[1]).is_empty());
    // Another question opens the window with itself.
    assert!(matches!(list(&mut core, &[1, 2])[..], [Effect::Open]));
    assert_eq!(asked(&core), Some(2));
    core.handle(NOW, Input::Close);
    core.handle(NOW, Input::Show);
    assert_eq!(asked(&core), Some(1));
    core.handle(NOW, Input::Next(call(1)));
    assert_eq!(asked(&core), Some(2));
    core.handle(NOW, Input::Next(call(2)));
    assert_eq!(asked(&core), Some(1));
}

#[test]
fn a_question_that_goes_is_said_to_be_gone_before_another_takes_its_place() {
    let mut core = core(&[1, 2]);
    list(&mut core, &[2]);
    assert!(matches!(core.stage(), Stage::Gone { .. }));
    // What is typed meanwhile goes nowhere.
    assert!(core.handle(NOW, Input::Decide(call(2), pin())).is_empty());
    assert!(core.handle(NOW, Input::Tick).is_empty());
    core.handle(NOW + GONE_FOR, Input::Tick);
    assert_eq!(asked(&core), Some(2));
    list(&mut core, &[]);
    let closed = core.handle(NOW + GONE_FOR + GONE_FOR, Input::Tick);
    assert!(matches!(closed[..], [Effect::Close]));
}

#[test]
fn a_refusal_is_shown_and_may_be_followed_by_another_try() {
    let mut core = core(&[1]);
    core.handle(NOW, Input::Decide(call(1), pin()));
    // Not twice at once.
    assert!(core.handle(NOW, Input::Decide(call(1), pin())).is_empty());
    core.handle(NOW, Input::Answered(call(1), Err(refused())));
    assert!(matches!(core.stage(), Stage::Asking(_, Act::Refused(_))));
    // News about the same question leave the refusal on the screen.
    list(&mut core, &[1, 2]);
    assert!(matches!(core.stage(), Stage::Asking(_, Act::Refused(_))));
    assert!(!core.handle(NOW, Input::Decide(call(1), pin())).is_empty());
}

#[test]
fn a_tier_is_not_approved_with_less_than_it_takes() {
    for (tier, deed, taken) in [
        (Tier::R1, Deed::Click, true),
        (Tier::R2, Deed::Click, false),
        (Tier::R2, pin(), true),
        (Tier::R3, pin(), false),
        (Tier::R3, Deed::Deny, true),
    ] {
        let mut core = Core::new(Life::Resident);
        core.handle(
            NOW,
            Input::Questions(vec![Question {
                tier,
                ..question(1)
            }]),
        );
        let sent = core.handle(NOW, Input::Decide(call(1), deed.clone()));
        assert_eq!(!sent.is_empty(), taken, "{tier:?} {deed:?}");
    }
}

#[test]
fn without_a_broker_nothing_is_sent() {
    let mut core = core(&[1]);
    assert!(matches!(
        core.handle(NOW, Input::Lost(refused()))[..],
        [Effect::Refresh]
    ));
    assert!(core.handle(NOW, Input::Decide(call(1), pin())).is_empty());
    list(&mut core, &[1]);
    assert!(!core.handle(NOW, Input::Decide(call(1), pin())).is_empty());
}

#[test]
fn a_question_whose_time_is_up_is_looked_at_again() {
    let mut core = core(&[1]);
    assert!(core.handle(NOW, Input::Tick).is_empty());
    let late = NOW + Duration::from_secs(90);
    let look = |core: &mut Core, now| core.handle(now, Input::Tick);
    assert!(matches!(look(&mut core, late)[..], [Effect::Look]));
    assert!(look(&mut core, late).is_empty());
    assert!(matches!(
        look(&mut core, late + LOOK_PAUSE)[..],
        [Effect::Look]
    ));
}

#[test]
fn shown_once_it_ends_with_its_window() {
    let mut core = Core::new(Life::Once);
    list(&mut core, &[1]);
    assert!(matches!(
        core.handle(NOW, Input::Close)[..],
        [Effect::Close, Effect::Quit]
    ));
}

#[derive(Clone, Debug)]
enum Step {
    List(Vec<u8>),
    Show,
    Next(u8),
    Decide(u8, bool),
    Answered(u8, bool),
    Close,
    Lost,
    Tick(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1..5u8;
    prop_oneof![
        prop::collection::btree_set(1..5u8, 0..4)
            .prop_map(|set| Step::List(set.into_iter().collect())),
        Just(Step::Show),
        number.clone().prop_map(Step::Next),
        (number.clone(), any::<bool>()).prop_map(|(number, yes)| Step::Decide(number, yes)),
        (number, any::<bool>()).prop_map(|(number, ok)| Step::Answered(number, ok)),
        Just(Step::Close),
        Just(Step::Lost),
        (0..10u64).prop_map(Step::Tick),
    ]
}

proptest! {
    /// Whatever comes in whatever order: an answer goes out only for the question on the screen, as
    /// the human gave it, and never twice at once; the window is there exactly when something is shown.
    #[test]
    fn only_what_was_seen_is_answered(steps in prop::collection::vec(step(), 0..60)) {
        let mut core = Core::new(Life::Resident);
        let (mut now, mut open, mut under_way) = (NOW, false, BTreeSet::new());
        for step in steps {
            let before = core.stage().clone();
            let decided = if let Step::Decide(number, yes) = &step { Some((*number, *yes)) } else { None };
            let effects = match step {
                Step::List(numbers) => list(&mut core, &numbers),
                Step::Show => core.handle(now, Input::Show),
                Step::Next(number) => core.handle(now, Input::Next(call(number))),
                Step::Decide(number, yes) => {
                    let deed = if yes { pin() } else { Deed::Deny };
                    core.handle(now, Input::Decide(call(number), deed))
                }
                Step::Answered(number, ok) => {
                    // The broker answers what it was asked.
                    if !under_way.remove(&call(number)) { continue; }
                    core.handle(now, Input::Answered(call(number), ok.then_some(()).ok_or_else(refused)))
                }
                Step::Close => core.handle(now, Input::Close),
                Step::Lost => core.handle(now, Input::Lost(refused())),
                Step::Tick(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    core.handle(now, Input::Tick)
                }
            };
            for effect in effects {
                match effect {
                    Effect::Open => open = true,
                    Effect::Refresh | Effect::Look => prop_assert!(open),
                    Effect::Close => open = false,
                    Effect::Quit => prop_assert!(false, "nobody asked for the end"),
                    Effect::Send { call: sent, deed, .. } => {
                        let (number, yes) = decided.unwrap();
                        prop_assert_eq!(sent, call(number));
                        prop_assert_eq!(yes, matches!(deed, Deed::Pin(_)));
                        let Stage::Asking(seen, act) = &before else { panic!("nothing was shown") };
                        prop_assert_eq!(seen.call, sent);
                        prop_assert!(matches!(act, Act::Waiting | Act::Refused(_)));
                        under_way.insert(sent);
                    }
                }
            }
            prop_assert_eq!(open, *core.stage() != Stage::Hidden);
        }
    }
}
