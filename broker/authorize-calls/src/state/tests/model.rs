//! The core against a small model: what may be allowed, counted by hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Call { session: u8, same: u8, verdict: u8 },
    Recorded(usize),
    NotRecorded(usize),
    Answer { which: usize, yes: bool },
    Abandon(usize),
    Withdraw(usize),
    Pass(u64),
    Gone(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..2u8, 0..2u8, 0..4u8).prop_map(|(session, same, verdict)| Op::Call { session, same, verdict }),
        6 => (0..4usize).prop_map(Op::Recorded),
        1 => (0..4usize).prop_map(Op::NotRecorded),
        3 => (0..4usize, any::<bool>()).prop_map(|(which, yes)| Op::Answer { which, yes }),
        1 => (0..4usize).prop_map(Op::Abandon),
        1 => (0..8usize).prop_map(Op::Withdraw),
        2 => (1..600u64).prop_map(Op::Pass),
        1 => (0..2u8).prop_map(Op::Gone),
    ]
}

/// What the model knows.
#[derive(Default)]
struct Model {
    now: u64,
    next: u8,
    calls: BTreeMap<CallId, (u8, u8, u8)>,
    answered: BTreeSet<CallId>,
    /// Humans' yeses that nothing has used yet, by call.
    yes: BTreeSet<CallId>,
    writing: Vec<(Ticket, Vec<What>)>,
    durable: Vec<What>,
}

impl Model {
    /// Checks and follows what the core wants done.
    fn take(&mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        for step in steps {
            match step {
                Step::Record { ticket, events } => {
                    prop_assert!(!events.is_empty());
                    self.writing.push((ticket, events));
                }
                Step::Answer { call, decision } => self.answer(call, decision)?,
                Step::Cards => {}
            }
        }
        Ok(())
    }

    fn answer(&mut self, call: CallId, decision: Final) -> Result<(), TestCaseError> {
        prop_assert!(self.answered.insert(call), "answered twice");
        let Final::Allow { .. } = decision else {
            return Ok(());
        };
        // Recorded first: an allow of this call is durable.
        let recorded = self.durable.iter().any(|event| {
            matches!(
                event,
                What::CallDecided { call: of, verdict: Verdict::Allow { .. }, .. } if of.id == call
            )
        });
        prop_assert!(recorded, "answered before its record");
        let (session, same, verdict) = self.calls[&call];
        match verdict {
            0 => {}
            1 => return Err(TestCaseError::fail("policy said no")),
            // A yes to this call, or to the same call before, is used up.
            _ => {
                let mine = self.yes.remove(&call);
                // One that was answered goes first; of one that timed out, the denial may still be being written.
                let candidates = self.yes.iter().copied().filter(|id| {
                    let (s, w, v) = self.calls[id];
                    (s, w) == (session, same) && v >= verdict
                });
                let earlier = candidates.min_by_key(|id| !self.answered.contains(id));
                if !mine {
                    let Some(earlier) = earlier else {
                        return Err(TestCaseError::fail("nobody said yes"));
                    };
                    self.yes.remove(&earlier);
                }
            }
        }
        Ok(())
    }
}

fn verdict(kind: u8) -> Verdict {
    match kind {
        0 => Verdict::Allow {
            because: Reason::new("default/run", "x"),
        },
        1 => Verdict::Deny {
            by: DeniedBy::Policy,
            because: Reason::new("default/no", "x"),
        },
        2 => step_up(Tier::R1),
        _ => step_up(Tier::R2),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_is_allowed_but_by_policy_or_one_yes(ops in prop::collection::vec(op(), 1..60)) {
        let mut state = State::new(Limits::default());
        let mut model = Model::default();
        for op in ops {
            let now = at(model.now);
            match op {
                Op::Call { session, same, verdict: kind } => {
                    if model.next == u8::MAX {
                        continue;
                    }
                    model.next += 1;
                    let effects = vec![Effect::Runs { program: same.to_string() }];
                    let call = call(model.next, session, Channel::Hook, effects);
                    model.calls.insert(call.id, (session, same, kind));
                    let steps = state.on_call(now, judged(call, verdict(kind)));
                    model.take(steps)?;
                }
                Op::Recorded(n) | Op::NotRecorded(n) => {
                    if model.writing.is_empty() {
                        continue;
                    }
                    let (ticket, events) = model.writing.remove(n % model.writing.len());
                    let steps = if matches!(op, Op::Recorded(_)) {
                        model.durable.extend(events);
                        state.on_recorded(ticket)
                    } else {
                        state.on_not_recorded(ticket)
                    };
                    model.take(steps)?;
                }
                Op::Answer { which, yes } => {
                    let cards = state.cards();
                    let Some(card) = cards.get(which) else { continue };
                    let answer = if yes { Answer::Click } else { Answer::Deny };
                    match state.on_answer(now, card.call, answer, None) {
                        Ok(steps) => {
                            if yes {
                                prop_assert_eq!(card.tier, Tier::R1);
                                model.yes.insert(card.call);
                            }
                            prop_assert!(state.cards().iter().all(|c| c.call != card.call));
                            model.take(steps)?;
                        }
                        Err(AnswerRefused::TooLittle(Tier::R2)) => prop_assert!(yes),
                        Err(AnswerRefused::NoQuestion) => {}
                        Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
                    }
                }
                Op::Abandon(which) => {
                    let cards = state.cards();
                    let Some(card) = cards.get(which) else {
                        continue;
                    };
                    if matches!(card.waiting, Waiting::Until { .. }) {
                        model.answered.insert(card.call);
                        let steps = state.on_abandoned(now, card.call);
                        model.take(steps)?;
                    }
                }
                Op::Withdraw(which) => {
                    let last = model.calls.keys().rev().nth(which).copied();
                    let Some(call) = last else { continue };
                    let steps = state.on_withdrawn(call);
                    prop_assert!(state.cards().iter().all(|card| card.call != call));
                    model.take(steps)?;
                }
                Op::Pass(secs) => {
                    model.now += secs;
                    let steps = state.on_time(at(model.now));
                    model.take(steps)?;
                }
                Op::Gone(session) => {
                    let steps = state.on_session_gone(SessionId::from_random([session; 16]));
                    model.take(steps)?;
                }
            }
        }
        // In the end everybody is answered: write what is left, let time pass.
        for _ in 0..4 {
            while let Some((ticket, events)) = model.writing.pop() {
                model.durable.extend(events);
                let steps = state.on_recorded(ticket);
                model.take(steps)?;
            }
            model.now += 10_000;
            let steps = state.on_time(at(model.now));
            model.take(steps)?;
        }
        prop_assert!(state.cards().is_empty());
        prop_assert_eq!(state.next_deadline(), None);
        for call in model.calls.keys() {
            prop_assert!(model.answered.contains(call), "never answered");
        }
    }
}
