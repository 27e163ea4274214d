#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
mod model;
mod withdrawn;

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::HEXLOWER;
use holdfast_proof::hash::canonical_json;
use holdfast_proof::tpm::PublicKey;
use holdfast_protocol::call::{Caller, Channel, History, HumanUid};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{HostId, SpiffeId};
use holdfast_protocol::receipt::{Consent, ConsentProof};

use super::*;
use crate::card::Waiting;

const START: Timestamp = Timestamp::from_secs(1_000);

fn at(secs: u64) -> Timestamp {
    START + Duration::from_secs(secs)
}

fn push() -> Effect {
    Effect::Pushes {
        remote: Some("origin".into()),
        refspec: Some("main".into()),
        history: History::Kept,
    }
}

fn call(id: u8, session: u8, channel: Channel, effects: Vec<Effect>) -> ToolCall {
    let kind = "claude".parse().unwrap();
    let session = SessionId::from_random([session; 16]);
    let domain = "example.org".parse().unwrap();
    ToolCall {
        id: CallId::from_random([id; 16]),
        caller: Caller {
            session,
            spiffe_id: SpiffeId::session(&domain, HostId::from_random([1; 16]), &kind, session),
            kind,
            level: Level::L3,
            human: HumanUid(1000),
            runs_as: SessionUid::Own,
        },
        channel,
        tool: "Bash".to_owned().try_into().unwrap(),
        arguments: serde_json::json!({"command": "git push origin main"}),
        cwd: "/p".into(),
        effects,
        received: START,
    }
}

fn judged(call: ToolCall, verdict: Verdict) -> Judged {
    let same = [
        call.caller.session.to_string(),
        format!("{:?}", call.effects),
    ]
    .join("/");
    Judged {
        digest: holdfast_proof::hash::canonical_digest(&call).unwrap(),
        sameness: holdfast_proof::hash::sha256(same.as_bytes()),
        verdict,
        policy: Sha256Digest::new([5; 32]),
        nonce: Sha256Digest::new([6; 32]),
        call,
    }
}

fn step_up(tier: Tier) -> Verdict {
    Verdict::StepUp {
        tier,
        because: Reason::new("default/x", "it matters"),
    }
}

fn hook(id: u8, tier: Tier) -> Judged {
    judged(call(id, 1, Channel::Hook, vec![push()]), step_up(tier))
}

fn id(id: u8) -> CallId {
    CallId::from_random([id; 16])
}

/// Writes every record and follows what comes of it; the answers that left.
fn settle(state: &mut State, steps: Vec<Step>) -> Vec<(CallId, Final)> {
    let mut answers = Vec::new();
    let mut steps = steps;
    while !steps.is_empty() {
        for step in std::mem::take(&mut steps) {
            match step {
                Step::Record { ticket, .. } => steps.extend(state.on_recorded(ticket)),
                Step::Answer { call, decision } => answers.push((call, decision)),
                Step::Cards => {}
            }
        }
    }
    answers
}

fn rule(answers: &[(CallId, Final)]) -> Vec<String> {
    answers
        .iter()
        .map(|(_, decision)| match decision {
            Final::Allow { because } => format!("allow {}", because.rule),
            Final::Deny { by, because } => format!("deny {} {by:?}", because.rule),
        })
        .collect()
}

struct Human {
    key: EcdsaKeyPair,
}

impl Human {
    fn new() -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
        }
    }

    fn spki(&self) -> Vec<u8> {
        use aws_lc_rs::encoding::AsDer;
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
            self.key.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    fn enrolled(&self) -> EccPublicKey {
        match PublicKey::from_spki_der(&self.spki()) {
            Some(PublicKey::Ecc(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    fn consents(&self, consent: &Consent) -> Answer {
        let message = canonical_json(consent).unwrap();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        Answer::Prove(ConsentProof::TpmPin {
            public_key: HEXLOWER.encode(&self.spki()),
            signature: HEXLOWER.encode(signature.as_ref()),
        })
    }
}

#[test]
fn an_answer_waits_for_its_record() {
    let mut state = State::new(Limits::default());
    let allow = Verdict::Allow {
        because: Reason::new("default/run", "x"),
    };
    let steps = state.on_call(
        START,
        judged(call(1, 1, Channel::Hook, vec![]), allow.clone()),
    );
    let [Step::Record { ticket, events }] = steps.as_slice() else {
        panic!("{steps:?}");
    };
    assert!(matches!(&events[..], [What::CallDecided { verdict, .. }] if *verdict == allow));
    let steps = state.on_recorded(*ticket);
    assert!(matches!(
        &steps[..],
        [Step::Answer {
            decision: Final::Allow { .. },
            ..
        }]
    ));
    assert_eq!(
        state.on_recorded(*ticket),
        vec![],
        "a record is confirmed once"
    );
}

#[test]
fn what_cannot_be_recorded_is_denied() {
    let mut state = State::new(Limits::default());
    for verdict in [
        Verdict::Allow {
            because: Reason::new("default/run", "x"),
        },
        step_up(Tier::R1),
    ] {
        let steps = state.on_call(START, judged(call(1, 1, Channel::Hook, vec![]), verdict));
        let [Step::Record { ticket, .. }] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert!(
            state.cards().is_empty(),
            "nothing is shown before its record"
        );
        let steps = state.on_not_recorded(*ticket);
        assert!(matches!(
            &steps[0],
            Step::Answer {
                decision: Final::Deny {
                    by: DeniedBy::Audit,
                    ..
                },
                ..
            }
        ));
        assert!(state.cards().is_empty());
    }
    // An approval whose record fails is no approval.
    let steps = state.on_call(START, hook(2, Tier::R1));
    settle(&mut state, steps);
    let steps = state.on_answer(at(1), id(2), Answer::Click, None).unwrap();
    let Step::Record { ticket, .. } = steps[0] else {
        panic!("{steps:?}");
    };
    assert!(matches!(
        &state.on_not_recorded(ticket)[..],
        [Step::Answer {
            decision: Final::Deny {
                by: DeniedBy::Audit,
                ..
            },
            ..
        }]
    ));
}

#[test]
fn a_click_is_enough_for_r1_alone() {
    let mut state = State::new(Limits::default());
    for (n, tier) in [(1, Tier::R1), (2, Tier::R2), (3, Tier::R3)] {
        let steps = state.on_call(START, hook(n, tier));
        assert_eq!(settle(&mut state, steps), vec![]);
    }
    assert_eq!(
        state.cards().iter().map(|c| c.position).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    let steps = state.on_answer(at(1), id(1), Answer::Click, None).unwrap();
    assert_eq!(rule(&settle(&mut state, steps)), ["allow approval/click"]);
    for (n, tier) in [(2, Tier::R2), (3, Tier::R3)] {
        let refused = state
            .on_answer(at(1), id(n), Answer::Click, None)
            .unwrap_err();
        assert!(matches!(refused, AnswerRefused::TooLittle(t) if t == tier));
    }
    assert_eq!(
        state.cards().len(),
        2,
        "a refused answer leaves the question"
    );
    assert!(matches!(
        state.on_answer(at(1), id(1), Answer::Click, None),
        Err(AnswerRefused::NoQuestion)
    ));
}

#[test]
fn a_proof_counts_for_its_own_question_by_the_enrolled_key_once() {
    let mut state = State::new(Limits::default());
    let (ann, eve) = (Human::new(), Human::new());
    for n in [1, 2] {
        let steps = state.on_call(START, hook(n, Tier::R2));
        settle(&mut state, steps);
    }
    let cards = state.cards();
    let key = ann.enrolled();
    let other = ann.consents(&cards[1].consent);
    for (answer, key) in [
        (ann.consents(&cards[0].consent), None),
        (eve.consents(&cards[0].consent), Some(&key)),
        (other, Some(&key)),
    ] {
        assert!(state.on_answer(at(1), id(1), answer, key).is_err());
    }
    let good = ann.consents(&cards[0].consent);
    let steps = state
        .on_answer(at(1), id(1), good.clone(), Some(&key))
        .unwrap();
    let Step::Record { events, .. } = &steps[0] else {
        panic!("{steps:?}");
    };
    assert!(matches!(
        &events[..],
        [
            What::CallApproved { .. },
            What::CallDecided {
                verdict: Verdict::Allow { .. },
                ..
            }
        ]
    ));
    assert_eq!(rule(&settle(&mut state, steps)), ["allow approval/receipt"]);
    assert!(matches!(
        state.on_answer(at(1), id(1), good, Some(&key)),
        Err(AnswerRefused::NoQuestion)
    ));
}

#[test]
fn a_denial_and_silence_are_no() {
    let mut state = State::new(Limits::default());
    for n in [1, 2] {
        let steps = state.on_call(START, hook(n, Tier::R2));
        settle(&mut state, steps);
    }
    let steps = state.on_answer(at(1), id(1), Answer::Deny, None).unwrap();
    assert_eq!(
        rule(&settle(&mut state, steps)),
        ["deny approval/denied Human"]
    );
    assert_eq!(state.next_deadline(), Some(at(540)));
    assert_eq!(state.on_time(at(539)), vec![]);
    let steps = state.on_time(at(540));
    assert_eq!(
        rule(&settle(&mut state, steps)),
        ["deny approval/silence Silence"]
    );
    assert!(matches!(state.cards()[0].waiting, Waiting::Late { gone } if gone == at(540 + 900)));
    let steps = state.on_time(at(540 + 900));
    assert_eq!(rule(&settle(&mut state, steps)), [""; 0]);
    assert!(state.cards().is_empty());
}

#[test]
fn a_late_approval_lets_the_same_call_through_once_and_in_time() {
    for (retry_at, same, allowed) in [
        (601, true, true),
        (600 + 899, true, true),
        (600 + 900, true, false),
        (601, false, false),
    ] {
        let mut state = State::new(Limits::default());
        let steps = state.on_call(START, hook(1, Tier::R1));
        settle(&mut state, steps);
        let steps = state.on_time(at(540));
        settle(&mut state, steps);
        let steps = state
            .on_answer(at(600), id(1), Answer::Click, None)
            .unwrap();
        assert_eq!(settle(&mut state, steps), vec![], "nobody waits any more");
        let retry = if same {
            hook(2, Tier::R1)
        } else {
            judged(
                call(
                    2,
                    1,
                    Channel::Hook,
                    vec![
                        push(),
                        Effect::Runs {
                            program: "x".into(),
                        },
                    ],
                ),
                step_up(Tier::R1),
            )
        };
        let steps = state.on_call(at(retry_at), retry);
        let expected: &[&str] = if allowed {
            &["allow approval/late"]
        } else {
            &[]
        };
        assert_eq!(rule(&settle(&mut state, steps)), expected);
        let steps = state.on_call(at(retry_at), hook(3, Tier::R1));
        if allowed {
            assert_eq!(settle(&mut state, steps), vec![], "once is once");
        }
    }
}

#[test]
fn a_late_approval_falls_with_its_policy_its_tier_and_its_session() {
    let fresh = || {
        let mut state = State::new(Limits::default());
        let steps = state.on_call(START, hook(1, Tier::R1));
        settle(&mut state, steps);
        let steps = state.on_abandoned(at(1), id(1));
        assert_eq!(
            settle(&mut state, steps),
            vec![],
            "nobody is there to be answered"
        );
        let steps = state.on_answer(at(2), id(1), Answer::Click, None).unwrap();
        settle(&mut state, steps);
        state
    };
    let mut retry = hook(2, Tier::R1);
    let mut state = fresh();
    let steps = state.on_call(at(3), retry.clone());
    assert_eq!(rule(&settle(&mut state, steps)), ["allow approval/late"]);
    retry.policy = Sha256Digest::new([8; 32]);
    let mut state = fresh();
    let steps = state.on_call(at(3), retry);
    assert_eq!(settle(&mut state, steps), vec![]);
    let mut state = fresh();
    let steps = state.on_call(at(3), hook(2, Tier::R2));
    assert_eq!(settle(&mut state, steps), vec![]);
    let mut state = fresh();
    state.on_session_gone(SessionId::from_random([1; 16]));
    let steps = state.on_call(at(3), hook(2, Tier::R1));
    assert_eq!(settle(&mut state, steps), vec![]);
}

#[test]
fn an_approval_covers_what_it_named_until_its_call_ends() {
    let mut state = State::new(Limits::default());
    let child = |n, session, channel, effects| {
        judged(call(n, session, channel, effects), step_up(Tier::R2))
    };
    let steps = state.on_call(START, hook(1, Tier::R1));
    settle(&mut state, steps);
    let steps = state.on_call(at(1), child(2, 1, Channel::Credential, vec![push()]));
    assert_eq!(
        settle(&mut state, steps),
        vec![],
        "not before the human has answered"
    );
    let steps = state.on_answer(at(2), id(1), Answer::Click, None).unwrap();
    settle(&mut state, steps);
    for (n, session, channel, effects, covered) in [
        (3, 1, Channel::Credential, vec![push()], true),
        (4, 1, Channel::Egress, vec![push()], true),
        (5, 1, Channel::Hook, vec![push()], false),
        (6, 2, Channel::Egress, vec![push()], false),
        (
            7,
            1,
            Channel::Egress,
            vec![push(), Effect::Spends { what: "x".into() }],
            false,
        ),
        (8, 1, Channel::Egress, vec![], false),
    ] {
        let steps = state.on_call(at(3), child(n, session, channel, effects));
        let expected: &[&str] = if covered {
            &["allow approval/covers"]
        } else {
            &[]
        };
        assert_eq!(rule(&settle(&mut state, steps)), expected, "{n}");
    }
    let steps = state.on_ended(id(1), "done".into(), vec![]);
    settle(&mut state, steps);
    let steps = state.on_call(at(4), child(9, 1, Channel::Credential, vec![push()]));
    assert_eq!(settle(&mut state, steps), vec![], "the call has ended");
}

#[test]
fn a_session_that_is_gone_is_denied_everything() {
    let mut state = State::new(Limits::default());
    let steps = state.on_call(START, hook(1, Tier::R1));
    settle(&mut state, steps);
    // Approved, but the record of it is not durable yet.
    let steps = state.on_call(START, hook(2, Tier::R1));
    settle(&mut state, steps);
    let in_flight = state.on_answer(at(1), id(2), Answer::Click, None).unwrap();
    let steps = state.on_session_gone(SessionId::from_random([1; 16]));
    assert_eq!(
        rule(&settle(&mut state, steps)),
        ["deny session/gone Session"]
    );
    assert_eq!(
        rule(&settle(&mut state, in_flight)),
        ["deny session/gone Session"]
    );
    assert!(state.cards().is_empty());
}

#[test]
fn the_queue_is_bounded() {
    let mut state = State::new(Limits {
        per_session: 2,
        total: 3,
        ..Limits::default()
    });
    let mut answers = Vec::new();
    for (n, session) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 3)] {
        let judged = judged(
            call(n, session, Channel::Hook, vec![push()]),
            step_up(Tier::R1),
        );
        let steps = state.on_call(START, judged);
        answers.extend(settle(&mut state, steps));
    }
    assert_eq!(
        answers.iter().map(|(call, _)| *call).collect::<Vec<_>>(),
        [id(3), id(5)]
    );
    assert_eq!(rule(&answers), ["deny approval/queue-full Silence"; 2]);
}
