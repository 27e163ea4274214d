//! Leases against a small model, and the moments of a lease's life one by one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_secs(1_790_000_000);
const HUMAN: HumanUid = HumanUid(1000);

fn session(number: u8) -> SessionId {
    SessionId::from_random([number; 16])
}

fn name(number: u8) -> SecretName {
    format!("s{number}").parse().unwrap()
}

fn purpose(number: u8) -> SecretUse {
    SecretUse::Git {
        remote: format!("https://git{number}.example").parse().unwrap(),
        username: "x".parse().unwrap(),
    }
}

fn key(byte: u8) -> Key {
    Key::new(Zeroizing::new([byte; 32]))
}

fn sealed(byte: u8) -> SealedLease {
    SealedLease(vec![byte])
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// One grant under a lease that was made at [`START`].
fn leased() -> Leases {
    let mut leases = Leases::default();
    leases.install(key(1), sealed(1), START);
    let of = (HUMAN, purpose(0));
    leases
        .grant(session(0), name(0), of, "value", START)
        .unwrap();
    leases
}

fn look(leases: &mut Leases, at: Timestamp) -> Look {
    leases.look(session(0), &name(0), at)
}

fn ready(look: Look) -> bool {
    match look {
        Look::Ready(value) => *value == "value",
        Look::NotGranted | Look::NeedKey | Look::NeedValue { .. } => false,
    }
}

#[test]
fn a_key_stays_open_for_a_minute() {
    let mut leases = leased();
    assert!(ready(look(&mut leases, START + seconds(59))));
    assert!(matches!(
        look(&mut leases, START + seconds(60)),
        Look::NeedKey
    ));
    let KeyState::Sealed(generation, lease) = leases.key(START + seconds(61)) else {
        panic!("the lease holds");
    };
    assert_eq!(lease, sealed(1));
    leases.opened(generation, key(1), START + seconds(61));
    assert!(ready(look(&mut leases, START + seconds(62))));
}

#[test]
fn a_key_that_is_used_is_fetched_again_and_one_that_is_not_goes() {
    let mut leases = leased();
    assert!(leases.due(START + seconds(50)).is_none());
    assert_eq!(leases.wake_at(START), Some(START + OPEN_FOR));
    assert!(ready(look(&mut leases, START + seconds(10))));
    assert_eq!(leases.wake_at(START), Some(START + REFRESH_AFTER));
    assert!(leases.due(START + seconds(44)).is_none());
    let Some(Due::Refresh(generation, _)) = leases.due(START + seconds(45)) else {
        panic!("it is in use");
    };
    leases.opened(generation, key(1), START + seconds(45));
    assert!(leases.due(START + seconds(46)).is_none());
    assert!(ready(look(&mut leases, START + seconds(104))));
    assert!(matches!(
        look(&mut leases, START + seconds(105)),
        Look::NeedKey
    ));
}

#[test]
fn a_host_that_may_do_nothing_has_no_lease_and_gets_none_until_it_may() {
    let mut leases = leased();
    assert_eq!(leases.withhold(), Outstanding::Possible);
    assert!(matches!(look(&mut leases, START), Look::NeedKey));
    assert!(matches!(leases.key(START), KeyState::Withheld));
    // One that was being made when the order came is not used; the TPM may know of it.
    leases.epoch_over();
    leases.install(key(2), sealed(2), START);
    assert!(matches!(leases.key(START), KeyState::Withheld));
    assert_eq!(leases.withhold(), Outstanding::Possible);
    leases.epoch_over();
    assert_eq!(leases.withhold(), Outstanding::No);
    assert!(leases.due(START + LASTS).is_none());

    leases.give_leave();
    assert!(matches!(leases.key(START), KeyState::Missing));
    leases.install(key(3), sealed(3), START);
    // It is still known who was granted what.
    assert!(matches!(look(&mut leases, START), Look::NeedValue { .. }));
    leases.supply(session(0), &name(0), "value", START).unwrap();
    assert!(ready(look(&mut leases, START)));
}

#[test]
fn a_lease_ends_by_the_wall_clock_and_when_that_is_set_back() {
    for at in [START + LASTS, START - seconds(1)] {
        let mut leases = leased();
        assert!(matches!(look(&mut leases, at), Look::NeedKey));
        assert!(matches!(leases.key(at), KeyState::Missing));
    }
}

#[test]
fn a_lease_is_renewed_at_half_life_while_sessions_live() {
    let mut leases = leased();
    let half = START + HALF_LIFE;
    assert!(matches!(leases.due(half), Some(Due::Renew)));
    leases.failed(half);
    assert!(leases.due(half + seconds(4)).is_none());
    assert!(matches!(leases.due(half + PAUSE), Some(Due::Renew)));
    leases.install(key(2), sealed(2), half);
    assert!(matches!(look(&mut leases, half), Look::NeedValue { .. }));
    assert_eq!(leases.unsupplied().len(), 1);
    leases.supply(session(0), &name(0), "value", half).unwrap();
    assert!(ready(look(&mut leases, half)));
    assert!(leases.unsupplied().is_empty());
    leases.end(session(0));
    assert!(leases.due(half + HALF_LIFE).is_none());
    assert!(matches!(leases.key(half), KeyState::Missing));
}

#[test]
fn what_the_tpm_refuses_is_gone_and_a_late_answer_touches_no_successor() {
    let mut leases = leased();
    let KeyState::Sealed(old, _) = leases.key(START + OPEN_FOR) else {
        panic!("the lease holds");
    };
    leases.refused(old);
    assert!(matches!(leases.key(START), KeyState::Missing));
    assert!(matches!(look(&mut leases, START), Look::NeedKey));
    leases.install(key(2), sealed(2), START);
    leases.refused(old);
    leases.opened(old, key(1), START);
    leases.supply(session(0), &name(0), "value", START).unwrap();
    assert!(ready(look(&mut leases, START)));
}

#[test]
fn a_secret_that_got_another_use_is_lost_and_one_that_got_another_value_is_not() {
    let mut leases = leased();
    leases.replace(HumanUid(7), &name(0), &purpose(1));
    assert!(ready(look(&mut leases, START)));
    leases.replace(HUMAN, &name(0), &purpose(0));
    assert!(matches!(look(&mut leases, START), Look::NeedValue { .. }));
    leases.replace(HUMAN, &name(0), &purpose(1));
    assert!(matches!(look(&mut leases, START), Look::NotGranted));
}

/// What can happen.
#[derive(Clone, Debug)]
enum Act {
    Pass(i64),
    Grant(u8, u8, u8),
    Supply(u8, u8),
    Look(u8, u8),
    Open,
    Refuse,
    Install(u8),
    Replace(u8, u8),
    Remove(u8),
    End(u8),
    Due,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let few = || 0_u8..3;
    let act = prop_oneof![
        2 => (-5_i64..100).prop_map(Act::Pass),
        1 => (1000_i64..4000).prop_map(Act::Pass),
        4 => (few(), few(), few()).prop_map(|(s, n, p)| Act::Grant(s, n, p)),
        4 => (few(), few()).prop_map(|(s, n)| Act::Supply(s, n)),
        8 => (few(), few()).prop_map(|(s, n)| Act::Look(s, n)),
        4 => Just(Act::Open),
        1 => Just(Act::Refuse),
        3 => any::<u8>().prop_map(Act::Install),
        1 => (few(), few()).prop_map(|(n, p)| Act::Replace(n, p)),
        1 => few().prop_map(Act::Remove),
        1 => few().prop_map(Act::End),
        2 => Just(Act::Due),
    ];
    prop::collection::vec(act, 0..60)
}

/// The same in the fewest words: who holds what, under which lease, and since when its key is open.
#[derive(Default)]
struct Model {
    lease: Option<ModelLease>,
    grants: BTreeMap<(u8, u8), (u8, Option<String>)>,
}

struct ModelLease {
    key: u8,
    made: Timestamp,
    opened: Option<Timestamp>,
}

impl Model {
    fn pass(&mut self, now: Timestamp) {
        let over = |lease: &ModelLease| now < lease.made || now >= lease.made + LASTS;
        if self.lease.as_ref().is_some_and(over) {
            self.lose();
        }
        if let Some(lease) = &mut self.lease {
            lease
                .opened
                .take_if(|since| now < *since || now >= *since + OPEN_FOR);
        }
    }

    fn lose(&mut self) {
        self.lease = None;
        self.grants
            .values_mut()
            .for_each(|(_, value)| *value = None);
    }

    fn open(&self) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.opened.is_some())
    }

    fn tidy(&mut self) {
        if self.grants.is_empty() {
            self.lease = None;
        }
    }
}

proptest! {
    #[test]
    fn leases_do_what_the_model_does(acts in acts()) {
        let mut leases = Leases::default();
        let mut model = Model::default();
        let mut now = START;
        for (step, act) in acts.into_iter().enumerate() {
            let value = format!("value {step}");
            match act {
                Act::Pass(by) => {
                    let length = seconds(by.unsigned_abs());
                    now = if by < 0 { now - length } else { now + length };
                }
                Act::Grant(s, n, p) => {
                    model.pass(now);
                    leases.grant(session(s), name(n), (HUMAN, purpose(p)), &value, now).unwrap();
                    let value = model.open().then_some(value);
                    model.grants.insert((s, n), (p, value));
                }
                Act::Supply(s, n) => {
                    model.pass(now);
                    leases.supply(session(s), &name(n), &value, now).unwrap();
                    let open = model.open();
                    if let (Some(grant), true) = (model.grants.get_mut(&(s, n)), open) {
                        grant.1 = Some(value);
                    }
                }
                Act::Look(s, n) => {
                    model.pass(now);
                    let found = leases.look(session(s), &name(n), now);
                    match (model.grants.get(&(s, n)), model.open(), found) {
                        (None, _, Look::NotGranted) | (Some(_), false, Look::NeedKey) => {}
                        (Some((_, Some(held))), true, Look::Ready(value)) => {
                            prop_assert_eq!(held, &*value);
                        }
                        (Some((p, None)), true, Look::NeedValue { human, purpose: to }) => {
                            prop_assert_eq!((human, to), (HUMAN, purpose(*p)));
                        }
                        (_, _, found) => prop_assert!(false, "{found:?}"),
                    }
                }
                Act::Open => {
                    model.pass(now);
                    if let KeyState::Sealed(generation, sealed) = leases.key(now) {
                        let lease = model.lease.as_mut().unwrap();
                        prop_assert_eq!(&sealed.0, &vec![lease.key]);
                        leases.opened(generation, key(lease.key), now);
                        lease.opened = Some(now);
                    }
                }
                Act::Refuse => {
                    model.pass(now);
                    if let KeyState::Sealed(generation, _) = leases.key(now) {
                        leases.refused(generation);
                        model.lose();
                    }
                }
                Act::Install(byte) => {
                    leases.install(key(byte), sealed(byte), now);
                    model.lose();
                    let opened = Some(now);
                    model.lease = Some(ModelLease { key: byte, made: now, opened });
                }
                Act::Replace(n, p) => {
                    leases.replace(HUMAN, &name(n), &purpose(p));
                    model.grants.retain(|(_, other), (to, value)| {
                        if *other == n {
                            *value = None;
                        }
                        *other != n || *to == p
                    });
                    model.tidy();
                }
                Act::Remove(n) => {
                    leases.remove(HUMAN, &name(n));
                    model.grants.retain(|(_, other), _| *other != n);
                    model.tidy();
                }
                Act::End(s) => {
                    leases.end(session(s));
                    model.grants.retain(|(other, _), _| *other != s);
                    model.tidy();
                }
                Act::Due => {
                    model.pass(now);
                    let due = leases.due(now);
                    let half = model.lease.as_ref().is_some_and(|lease| now >= lease.made + HALF_LIFE);
                    let renew = matches!(due, Some(Due::Renew));
                    prop_assert_eq!(renew, half && !model.grants.is_empty());
                    // Whoever acts on what is due and then sleeps until the next moment finds time has to pass.
                    if due.is_none() {
                        prop_assert!(leases.wake_at(now).is_none_or(|at| at > now));
                    }
                }
            }
        }
    }
}
