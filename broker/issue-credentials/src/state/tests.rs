//! The core against a small model, and its laws one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

type Core = Credentials<u64, u64>;

const HOUR: Duration = Duration::from_secs(3600);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn audience(name: impl ToString) -> Audiences {
    Audiences::new(vec![name.to_string()]).unwrap()
}

fn signed(credential: u64, not_after: Timestamp) -> Signed<u64> {
    Signed {
        credential,
        not_after,
    }
}

/// Carries everything out at once, with success; each credential lives an hour.
fn settle(core: &mut Core, next: &mut u64, now: Timestamp) {
    loop {
        let (effects, _) = core.poll(now);
        if effects.is_empty() {
            return;
        }
        for effect in effects {
            *next += 1;
            match effect {
                Effect::Sign(Wanted::X509) => {
                    core.signed_x509(Ok(signed(*next, now + HOUR)), now);
                }
                Effect::Sign(Wanted::Jwt(audiences)) => {
                    core.signed_jwt(&audiences, Ok(signed(*next, now + HOUR)), now);
                }
                Effect::Record {
                    wanted, generation, ..
                } => core.recorded(&wanted, generation, Ok(()), now),
            }
        }
    }
}

#[test]
fn nothing_is_given_out_before_its_record() {
    let mut core = Core::new();
    assert_eq!(core.poll(at(0)).0, [Effect::Sign(Wanted::X509)]);
    core.signed_x509(Ok(signed(1, at(3600))), at(0));
    // Signed ahead of anybody's wish, and not recorded as issued: nobody has it.
    assert_eq!(core.poll(at(0)).0, []);
    assert_eq!(core.ask_x509(at(1)), (Answer::Pending, Change::Some));
    let record = Effect::Record {
        wanted: Wanted::X509,
        generation: 1,
        not_after: at(3600),
    };
    assert_eq!(core.poll(at(1)).0, [record]);
    assert_eq!(core.ask_x509(at(1)).0, Answer::Pending);
    core.recorded(&Wanted::X509, 1, Ok(()), at(1));
    assert_eq!(core.ask_x509(at(1)).0, Answer::Ready(1, 1));
}

#[test]
fn what_was_signed_ahead_is_recorded_first_and_replaced_at_half_of_its_life() {
    let ahead = || Core::signed_ahead(signed(7, at(3600)), at(0));
    let mut core = ahead();
    assert_eq!(core.poll(at(60)).0, []);
    assert_eq!(core.ask_x509(at(60)).0, Answer::Pending);
    let record = || Effect::Record {
        wanted: Wanted::X509,
        generation: 1,
        not_after: at(3600),
    };
    assert_eq!(core.poll(at(60)).0, [record()]);
    core.recorded(&Wanted::X509, 1, Ok(()), at(60));
    assert_eq!(core.ask_x509(at(60)).0, Answer::Ready(7, 1));

    // Taken late, it serves until the authority has answered, and to its end if that does not.
    let mut core = ahead();
    assert_eq!(core.poll(at(1800)).0, [Effect::Sign(Wanted::X509)]);
    core.ask_x509(at(1800));
    assert_eq!(core.poll(at(1800)).0, [record()]);
    core.recorded(&Wanted::X509, 1, Ok(()), at(1800));
    core.signed_x509(Err(Refusal::Offline), at(1800));
    assert_eq!(core.ask_x509(at(3599)).0, Answer::Ready(7, 1));
    assert_eq!(core.ask_x509(at(3600)).0, Answer::Pending);

    // It goes with its session's identity, and does not come back.
    let mut core = ahead();
    core.suspend();
    core.restore();
    assert_eq!(core.poll(at(60)).0, [Effect::Sign(Wanted::X509)]);
}

#[test]
fn a_suspended_session_has_nothing_until_it_is_restored_and_then_nothing_old() {
    let mut core = Core::new();
    let mut next = 0;
    settle(&mut core, &mut next, at(0));
    core.ask_x509(at(0));
    settle(&mut core, &mut next, at(0));
    assert_eq!(core.ask_x509(at(1)).0, Answer::Ready(1, 1));
    core.suspend();
    let refused = Answer::Refused(Refusal::NoIdentity);
    assert_eq!(core.ask_x509(at(2)).0, refused);
    assert_eq!(core.ask_jwt(&audience("db"), at(2)).0, refused);
    assert_eq!(core.standing(), Err(Refusal::NoIdentity));
    assert_eq!(core.poll(at(2)).0, []);
    // What was being signed when the order came is nobody's.
    core.signed_x509(Ok(signed(99, at(3600))), at(2));
    core.restore();
    assert_eq!(core.ask_x509(at(3)).0, Answer::Pending);
    settle(&mut core, &mut next, at(3));
    let Answer::Ready(credential, _) = core.ask_x509(at(3)).0 else {
        panic!("no credential");
    };
    assert!(credential > 1 && credential != 99);
    core.end();
    core.restore();
    assert_eq!(core.ask_x509(at(4)).0, refused);
}

#[test]
fn a_record_that_fails_withholds_the_credential() {
    let mut core = Core::new();
    core.poll(at(0));
    core.signed_x509(Ok(signed(1, at(3600))), at(0));
    core.ask_x509(at(0));
    core.poll(at(0));
    core.recorded(&Wanted::X509, 1, Err(Refusal::Unavailable), at(0));
    let refused = Answer::Refused(Refusal::Unavailable);
    assert_eq!(core.ask_x509(at(0)).0, refused);
    // After the pause it is tried again, with the same credential.
    assert_eq!(core.ask_x509(at(1)).0, Answer::Pending);
    assert!(matches!(
        core.poll(at(1)).0.as_slice(),
        [Effect::Record { generation: 1, .. }]
    ));
}

#[test]
fn the_record_of_one_generation_does_not_cover_the_next() {
    let mut core = Core::new();
    core.poll(at(0));
    core.signed_x509(Ok(signed(1, at(3600))), at(0));
    core.ask_x509(at(1800));
    let effects = core.poll(at(1800)).0;
    assert_eq!(effects, [Effect::Sign(Wanted::X509)]);
    assert!(matches!(
        core.poll(at(1800)).0.as_slice(),
        [Effect::Record { generation: 1, .. }]
    ));
    core.signed_x509(Ok(signed(2, at(5400))), at(1800));
    core.recorded(&Wanted::X509, 1, Ok(()), at(1800));
    assert_eq!(core.ask_x509(at(1800)).0, Answer::Pending);
    assert!(matches!(
        core.poll(at(1800)).0.as_slice(),
        [Effect::Record { generation: 2, .. }]
    ));
}

#[test]
fn the_x509_svid_is_replaced_at_half_life_unasked() {
    let (mut core, mut next) = (Core::new(), 0);
    settle(&mut core, &mut next, at(0));
    assert_eq!(core.wake_at(at(0)), Some(at(1800)));
    assert_eq!(core.poll(at(1799)).0, []);
    assert_eq!(core.poll(at(1800)).0, [Effect::Sign(Wanted::X509)]);
}

#[test]
fn a_renewal_that_fails_leaves_the_old_one_until_it_ends() {
    let (mut core, mut next) = (Core::new(), 0);
    core.ask_x509(at(0));
    settle(&mut core, &mut next, at(0));
    core.poll(at(1800));
    core.signed_x509(Err(Refusal::Unavailable), at(1800));
    assert!(matches!(core.ask_x509(at(1801)).0, Answer::Ready(..)));
    assert!(matches!(core.ask_x509(at(3599)).0, Answer::Ready(..)));
    assert_eq!(core.poll(at(3600)).1, Change::Some);
    assert_eq!(core.ask_x509(at(3600)).0, Answer::Pending);
}

#[test]
fn a_refused_renewal_takes_the_old_one_away() {
    let (mut core, mut next) = (Core::new(), 0);
    core.ask_x509(at(0));
    settle(&mut core, &mut next, at(0));
    core.poll(at(1800));
    core.signed_x509(Err(Refusal::NoIdentity), at(1800));
    let refused = Answer::Refused(Refusal::NoIdentity);
    assert_eq!(core.ask_x509(at(1800)).0, refused);
}

#[test]
fn pauses_double_up_to_a_minute() {
    let mut core = Core::new();
    let (mut now, mut pauses) = (at(0), Vec::new());
    for _ in 0..8 {
        assert_eq!(core.poll(now).0, [Effect::Sign(Wanted::X509)]);
        core.signed_x509(Err(Refusal::Unavailable), now);
        let next = core.wake_at(now).unwrap();
        pauses.push(next.since(now).as_secs());
        now = next;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_jwt_is_prefetched_while_it_is_used_and_forgotten_when_not() {
    let (mut core, mut next) = (Core::new(), 0);
    let wanted = audience("a");
    core.ask_jwt(&wanted, at(0));
    settle(&mut core, &mut next, at(0));
    assert!(matches!(core.ask_jwt(&wanted, at(1)).0, Answer::Ready(..)));
    let renew = Effect::Sign(Wanted::Jwt(wanted.clone()));
    assert!(core.poll(at(1800)).0.contains(&renew));
    core.signed_jwt(&wanted, Ok(signed(9, at(5400))), at(1800));
    settle(&mut core, &mut next, at(1800));
    // Nobody asks for the new one: at its half-life it goes.
    assert_eq!(core.poll(at(3600)).1, Change::Some);
    assert_eq!(core.ask_jwt(&wanted, at(3600)).0, Answer::Pending);
}

#[test]
fn the_cache_is_bounded_and_the_oldest_makes_room() {
    let (mut core, mut next) = (Core::new(), 0);
    for i in 0..MAX_JWTS as u64 {
        core.ask_jwt(&audience(i), at(i));
        settle(&mut core, &mut next, at(i));
        assert!(matches!(
            core.ask_jwt(&audience(i), at(i)).0,
            Answer::Ready(..)
        ));
    }
    core.ask_jwt(&audience("new"), at(100));
    settle(&mut core, &mut next, at(100));
    assert!(matches!(
        core.ask_jwt(&audience(1), at(100)).0,
        Answer::Ready(..)
    ));
    assert_eq!(core.ask_jwt(&audience(0), at(100)).0, Answer::Pending);
}

#[test]
fn what_is_under_way_is_bounded_too() {
    let mut core = Core::new();
    for i in 0..MAX_JWTS {
        assert_eq!(core.ask_jwt(&audience(i), at(0)).0, Answer::Pending);
    }
    let busy = Answer::Refused(Refusal::Busy);
    assert_eq!(core.ask_jwt(&audience("more"), at(0)).0, busy);
    assert_eq!(core.poll(at(0)).0.len(), 1 + MAX_SIGNING);
    assert_eq!(core.poll(at(0)).0, []);
    // What had to wait is not a reason to wake up again and again.
    assert_eq!(core.wake_at(at(0)), None);
}

#[derive(Clone, Debug)]
enum Step {
    AskX509,
    AskJwt(u8),
    Finish(usize, Outcome),
    Wait(u32),
    SetBack(u32),
    End,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Success(u16),
    Failure(Refusal),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => (1_u16..5000).prop_map(Outcome::Success),
        1 => Just(Outcome::Failure(Refusal::Unavailable)),
        1 => Just(Outcome::Failure(Refusal::NoIdentity)),
    ];
    prop_oneof![
        10 => Just(Step::AskX509),
        15 => (0_u8..50).prop_map(Step::AskJwt),
        25 => (any::<usize>(), outcome).prop_map(|(i, o)| Step::Finish(i, o)),
        10 => (0_u32..3000).prop_map(Step::Wait),
        1 => (0_u32..3000).prop_map(Step::SetBack),
        1 => Just(Step::End),
    ]
}

/// What the model knows of each credential that was ever signed.
#[derive(Default)]
struct Model {
    issued: BTreeMap<u64, Issued>,
    latest: BTreeMap<Wanted, u64>,
    under_way: Vec<Effect>,
    ended: Option<()>,
}

struct Issued {
    wanted: Wanted,
    not_after: Timestamp,
    generation: Generation,
    recorded: Option<()>,
}

impl Model {
    fn judge(&self, wanted: &Wanted, answer: &Answer<u64>, now: Timestamp) {
        match answer {
            Answer::Ready(credential, generation) => {
                let issued = &self.issued[credential];
                assert_eq!(self.ended, None, "given out after the end");
                assert_eq!(&issued.wanted, wanted, "somebody else's");
                assert!(now < issued.not_after, "expired");
                assert_eq!(issued.recorded, Some(()), "not recorded");
                assert_eq!(issued.generation, *generation);
                assert_eq!(self.latest[wanted], *credential, "replaced");
            }
            Answer::Pending => assert_eq!(self.ended, None, "no end is pending"),
            Answer::Refused(_) => {}
        }
    }

    fn begin(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            assert_eq!(self.ended, None);
            let same = |other: &Effect| match (other, &effect) {
                (Effect::Sign(a), Effect::Sign(b)) => a == b,
                (Effect::Record { wanted: a, .. }, Effect::Record { wanted: b, .. }) => a == b,
                (Effect::Sign(_), Effect::Record { .. })
                | (Effect::Record { .. }, Effect::Sign(_)) => false,
            };
            assert!(!self.under_way.iter().any(same), "begun twice: {effect:?}");
            self.under_way.push(effect);
        }
        let jwts = |effect: &&Effect| matches!(effect, Effect::Sign(Wanted::Jwt(_)));
        assert!(self.under_way.iter().filter(jwts).count() <= MAX_SIGNING);
    }

    fn finish(&mut self, core: &mut Core, effect: Effect, outcome: Outcome, now: Timestamp) {
        match effect {
            Effect::Sign(wanted) => {
                let credential = self.issued.len() as u64;
                let result = match outcome {
                    Outcome::Success(secs) => {
                        let not_after = now + Duration::from_secs(u64::from(secs));
                        let generation = self.generation(&wanted) + 1;
                        self.latest.insert(wanted.clone(), credential);
                        let issued = Issued {
                            wanted: wanted.clone(),
                            not_after,
                            generation,
                            recorded: None,
                        };
                        self.issued.insert(credential, issued);
                        Ok(signed(credential, not_after))
                    }
                    Outcome::Failure(why) => Err(why),
                };
                match &wanted {
                    Wanted::X509 => core.signed_x509(result, now),
                    Wanted::Jwt(audiences) => core.signed_jwt(audiences, result, now),
                }
            }
            Effect::Record {
                wanted, generation, ..
            } => {
                let result = match outcome {
                    Outcome::Success(_) => {
                        let latest = self.latest[&wanted];
                        let issued = self.issued.get_mut(&latest).unwrap();
                        if issued.generation == generation {
                            issued.recorded = Some(());
                        }
                        Ok(())
                    }
                    Outcome::Failure(_) => Err(Refusal::Unavailable),
                };
                core.recorded(&wanted, generation, result, now);
            }
        }
    }

    fn generation(&self, wanted: &Wanted) -> Generation {
        let latest = self.latest.get(wanted);
        latest.map_or(0, |latest| self.issued[latest].generation)
    }
}

proptest! {
    #[test]
    fn only_recorded_valid_latest_credentials_of_the_session_are_given_out(
        steps in prop::collection::vec(step(), 1..300)
    ) {
        let (mut core, mut model) = (Core::new(), Model::default());
        let mut now = at(1_000_000);
        for step in steps {
            match step {
                Step::AskX509 => {
                    model.judge(&Wanted::X509, &core.ask_x509(now).0, now);
                }
                Step::AskJwt(name) => {
                    let audiences = audience(name);
                    let answer = core.ask_jwt(&audiences, now).0;
                    model.judge(&Wanted::Jwt(audiences), &answer, now);
                }
                Step::Finish(which, outcome) if !model.under_way.is_empty() => {
                    let which = which % model.under_way.len();
                    let effect = model.under_way.swap_remove(which);
                    model.finish(&mut core, effect, outcome, now);
                }
                Step::Finish(..) => {}
                Step::Wait(secs) => now = now + Duration::from_secs(u64::from(secs)),
                Step::SetBack(secs) => now = now - Duration::from_secs(u64::from(secs)),
                Step::End => {
                    core.end();
                    model.ended = Some(());
                }
            }
            model.begin(core.poll(now).0);
            if let Some(wake) = core.wake_at(now) {
                prop_assert!(now < wake);
            }
            if let Core::Open { jwts, .. } = &core {
                prop_assert!(jwts.len() <= MAX_JWTS);
                // A slot that was given up forgets its generations, and so does the model.
                model.latest.retain(|wanted, _| match wanted {
                    Wanted::X509 => true,
                    Wanted::Jwt(audiences) => jwts.contains_key(audiences),
                });
            }
        }
        // Whatever happened, once everything succeeds whoever asks is served.
        if model.ended.is_none() {
            while let Some(effect) = model.under_way.pop() {
                model.finish(&mut core, effect, Outcome::Success(4000), now);
            }
            now = now + Duration::from_secs(10_000);
            core.ask_x509(now);
            settle(&mut core, &mut 1_000_000, now);
            prop_assert!(matches!(core.ask_x509(now).0, Answer::Ready(..)));
        }
    }
}
