#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_proof::counter::CounterEvidence;
use holdfast_proof::hash::sha256;
use proptest::prelude::*;

use super::*;

const FIRST: u64 = 3;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A TPM and a disk that survive everything, and a broker that does not.
struct World {
    now: Timestamp,
    /// The TPM.
    counter: u64,
    /// What was certified at each value.
    certified: BTreeMap<u64, Tip>,
    increments: Vec<Timestamp>,
    /// The disk.
    tree: Frontier,
    past: Past,
    /// Values whose evidence is durable, in order.
    evidence: Vec<u64>,
    /// The broker.
    core: Core,
    step: Option<Effect>,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Happening {
    Append(u8, Urgency),
    Wait(u32),
    Ask,
    /// The step under way ends.
    Step(Fate),
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    Undone,
    /// It takes effect and fails all the same.
    DoneUnseen,
    /// It takes effect, and the broker crashes before it hears of it.
    DoneThenCrash,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_secs(1_790_000_000);
        Self {
            now,
            counter: FIRST,
            certified: BTreeMap::new(),
            increments: Vec::new(),
            tree: Frontier::empty(),
            past: Past::default(),
            evidence: Vec::new(),
            core: core(Frontier::empty(), Past::default(), now),
            step: None,
        }
    }

    fn restart(&mut self) {
        self.core = core(self.tree.clone(), self.past.clone(), self.now);
        self.step = None;
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Append(count, urgency) => {
                for number in 0..*count {
                    self.tree.append(sha256(&[number]));
                }
                self.core.committed(self.tree.clone(), *urgency, self.now);
            }
            Happening::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(u64::from(*seconds));
            }
            Happening::Ask => self.core.checkpoint_wanted(),
            Happening::Crash => self.restart(),
            Happening::Step(fate) => self.finish_step(*fate),
        }
        if self.step.is_none() {
            self.step = self.core.poll(self.now);
        }
    }

    fn finish_step(&mut self, fate: Fate) {
        let Some(effect) = self.step.take() else {
            return;
        };
        let durable = matches!(
            effect,
            Effect::PersistPending(_) | Effect::PersistCheckpoint(_)
        );
        if matches!(fate, Fate::Undone) {
            // A store that fails ends the broker; a TPM that fails is asked again.
            if durable {
                self.restart();
            } else {
                self.step = self.core.done(Input::TpmFailed, self.now).unwrap();
            }
            return;
        }
        let input = self.take_effect(effect);
        match fate {
            Fate::DoneThenCrash => self.restart(),
            Fate::DoneUnseen if durable => self.restart(),
            Fate::DoneUnseen => {
                self.step = self.core.done(Input::TpmFailed, self.now).unwrap();
            }
            Fate::Done | Fate::Undone => {
                self.step = self.core.done(input, self.now).unwrap();
            }
        }
    }

    fn take_effect(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::ReadCounter => Input::CounterRead(self.counter),
            Effect::PersistPending(tip) => {
                assert_eq!(self.past.pending, None, "a pending body was replaced");
                self.past.pending = Some(tip);
                Input::Persisted
            }
            Effect::Sign(_) => Input::Signed(vec![1]),
            Effect::Certify(tip) => {
                assert_eq!(
                    self.past.pending,
                    Some(tip),
                    "certified what is not durable"
                );
                let before = self.certified.insert(self.counter, tip);
                assert!(
                    before.is_none_or(|before| before == tip),
                    "two bodies were certified at {}",
                    self.counter
                );
                Input::Certified(Evidence {
                    value: self.counter,
                    evidence: CounterEvidence::new(&[], &[]).unwrap(),
                })
            }
            Effect::PersistCheckpoint(checkpoint) => {
                assert!(checkpoint.tip.size <= self.tree.size());
                self.past.covered = self.past.covered.max(checkpoint.tip.size);
                if let Some(evidence) = checkpoint.evidence {
                    assert_eq!(self.certified[&evidence.value], checkpoint.tip);
                    assert!(checkpoint.tip.size >= self.past.frozen);
                    self.past.frozen = checkpoint.tip.size;
                    self.past.last_value = Some(evidence.value);
                    self.past.pending = None;
                    self.past.increments.push(self.now);
                    self.evidence.push(evidence.value);
                }
                Input::Persisted
            }
            Effect::Increment => {
                assert_eq!(
                    self.past.last_value,
                    Some(self.counter),
                    "incremented without durable evidence"
                );
                self.counter += 1;
                self.increments.push(self.now);
                Input::Incremented(self.counter)
            }
        }
    }

    fn check(&self) {
        let expected: Vec<_> = (FIRST..).take(self.evidence.len()).collect();
        assert_eq!(self.evidence, expected, "evidence has a gap");
        for (number, at) in self.increments.iter().enumerate() {
            let day = self
                .increments
                .iter()
                .skip(number)
                .take_while(|later| later.as_millis() < at.as_millis() + DAY_MS)
                .count();
            // One evidence that was durable before its day ended may be counted after a crash in the next.
            assert!(
                day <= DuePolicy::default().daily_increments + 1,
                "{day} increments in a day"
            );
        }
    }
}

fn core(tree: Frontier, past: Past, now: Timestamp) -> Core {
    let size = tree.size();
    let checkpoints = Checkpoints::resume(DuePolicy::default(), Some(FIRST), past, size, now);
    Core::new(tree, checkpoints)
}

fn happening() -> impl Strategy<Value = Happening> {
    let urgency = prop_oneof![5 => Just(Urgency::Routine), 1 => Just(Urgency::Freeze)];
    let fate = prop_oneof![
        8 => Just(Fate::Done),
        1 => Just(Fate::Undone),
        1 => Just(Fate::DoneUnseen),
        1 => Just(Fate::DoneThenCrash),
    ];
    prop_oneof![
        4 => (1_u8..100, urgency).prop_map(|(count, urgency)| Happening::Append(count, urgency)),
        3 => (1_u32..4000).prop_map(Happening::Wait),
        1 => Just(Happening::Ask),
        12 => fate.prop_map(Happening::Step),
        1 => Just(Happening::Crash),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_history_stays_contiguous_and_within_the_budget(
        happenings in prop::collection::vec(happening(), 1..400),
    ) {
        let mut world = World::new();
        for happening in &happenings {
            world.happen(happening);
        }
        world.check();
        // And it always gets there in the end: once nothing fails any more, everything is covered.
        world.core.checkpoint_wanted();
        for _ in 0..40 {
            world.happen(&Happening::Step(Fate::Done));
        }
        prop_assert_eq!(world.core.checkpoints().covered(), world.tree.size());
        prop_assert_eq!(world.past.pending, None);
        world.check();
    }
}

/// Lets everything run that is due, without faults.
fn settle(world: &mut World) {
    for _ in 0..20 {
        world.happen(&Happening::Step(Fate::Done));
    }
}

#[test]
fn an_idle_log_wakes_nobody_and_makes_no_checkpoint() {
    let mut world = World::new();
    settle(&mut world);
    assert_eq!(world.core.poll_at(world.now), None);
    world.happen(&Happening::Wait(1_000_000));
    settle(&mut world);
    assert_eq!((world.counter, world.certified.len()), (FIRST, 0));
}

#[test]
fn a_record_waits_for_the_tick_and_no_longer() {
    let mut world = World::new();
    settle(&mut world);
    world.happen(&Happening::Append(1, Urgency::Routine));
    let due = world.core.poll_at(world.now).unwrap();
    assert_eq!(due.since(world.now), Duration::from_mins(5));
    world.happen(&Happening::Wait(299));
    settle(&mut world);
    assert_eq!(world.past.covered, 0);
    world.happen(&Happening::Wait(1));
    settle(&mut world);
    assert_eq!((world.past.frozen, world.counter), (1, FIRST + 1));
}

#[test]
fn many_records_do_not_wait_for_the_tick_but_let_the_tpm_rest() {
    let mut world = World::new();
    settle(&mut world);
    for _ in 0..4 {
        world.happen(&Happening::Append(64, Urgency::Routine));
    }
    settle(&mut world);
    assert_eq!(world.past.frozen, 256);
    for _ in 0..4 {
        world.happen(&Happening::Append(64, Urgency::Routine));
    }
    settle(&mut world);
    assert_eq!(world.past.covered, 256);
    world.happen(&Happening::Wait(10));
    settle(&mut world);
    assert_eq!(world.past.covered, 512);
}

#[test]
fn approvals_are_frozen_at_once_until_the_budget_is_spent_and_signed_after_that() {
    let mut world = World::new();
    settle(&mut world);
    for number in 1..=60 {
        world.happen(&Happening::Append(1, Urgency::Freeze));
        settle(&mut world);
        assert_eq!(world.past.covered, number);
        assert_eq!(world.past.frozen, number.min(48));
    }
    assert_eq!(world.counter, FIRST + 48);
    world.happen(&Happening::Wait(24 * 60 * 60));
    settle(&mut world);
    assert_eq!(world.past.frozen, 60);
}

#[test]
fn routine_checkpoints_leave_a_quarter_of_the_budget_to_approvals() {
    let mut world = World::new();
    settle(&mut world);
    // A day of a record each five minutes.
    for _ in 0..287 {
        world.happen(&Happening::Append(1, Urgency::Routine));
        world.happen(&Happening::Wait(300));
        settle(&mut world);
        assert_eq!(world.past.covered, world.tree.size(), "at least signed");
    }
    let spent = world.counter - FIRST;
    assert!((30..=36).contains(&spent), "{spent}");
    world.happen(&Happening::Append(1, Urgency::Freeze));
    settle(&mut world);
    assert_eq!(world.past.frozen, world.tree.size());
}

#[test]
fn a_log_that_is_older_than_the_counter_is_refused() {
    for (last_value, counter, expected) in [
        (None, FIRST + 1, FIRST),
        (Some(FIRST), FIRST + 2, FIRST + 1),
        (Some(FIRST + 5), FIRST, FIRST + 6),
    ] {
        let past = Past {
            last_value,
            ..Past::default()
        };
        let mut core = core(Frontier::empty(), past, Timestamp::from_secs(0));
        assert_eq!(
            core.poll(Timestamp::from_secs(0)),
            Some(Effect::ReadCounter)
        );
        assert_eq!(
            core.done(Input::CounterRead(counter), Timestamp::from_secs(0)),
            Err(CheckpointError::Counter {
                expected,
                found: counter,
            })
        );
    }
}

#[test]
fn an_answer_without_its_question_is_refused() {
    let mut core = core(Frontier::empty(), Past::default(), Timestamp::from_secs(0));
    assert_eq!(
        core.done(Input::Persisted, Timestamp::from_secs(0)),
        Err(CheckpointError::OutOfOrder)
    );
}

#[test]
fn without_a_counter_checkpoints_are_signed() {
    let now = Timestamp::from_secs(0);
    let checkpoints = Checkpoints::resume(DuePolicy::default(), None, Past::default(), 0, now);
    let mut core = Core::new(Frontier::empty(), checkpoints);
    assert_eq!(core.poll(now), None);
    let mut tree = Frontier::empty();
    tree.append(sha256(b"leaf"));
    core.committed(tree, Urgency::Freeze, now);
    let Some(Effect::Sign(tip)) = core.poll(now) else {
        panic!("nothing was signed")
    };
    let Ok(Some(Effect::PersistCheckpoint(checkpoint))) = core.done(Input::Signed(vec![1]), now)
    else {
        panic!("nothing was stored")
    };
    assert_eq!((checkpoint.tip, checkpoint.evidence), (tip, None));
    assert_eq!(core.done(Input::Persisted, now), Ok(None));
    assert_eq!(core.poll(now), None);
}
