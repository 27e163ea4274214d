//! The core's laws one by one, and all of them against whatever may happen.

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn kind(name: &str) -> AgentKind {
    name.parse().unwrap()
}

fn node(host: u8, stops: u64, serial: &str) -> NodeCertificate {
    NodeCertificate {
        footing: Footing {
            trust_domain: "example.org".parse().unwrap(),
            host: HostId::from_random([host; 16]),
            stops,
        },
        serial: serial.to_owned(),
    }
}

/// Carries an order out; every spare is a number of its own.
fn filled(order: &Order, next: &mut u64, not_after: Timestamp) -> Vec<Ready<u64>> {
    let kinds = order.kinds.iter();
    kinds
        .map(|kind| {
            *next += 1;
            Ready {
                kind: kind.clone(),
                not_after,
                credential: *next,
            }
        })
        .collect()
}

/// A pool of `each` shells that is full, and the number of its last spare.
fn full(each: usize, now: Timestamp) -> (Pool<u64>, u64) {
    let mut pool = Pool::new(Plan::new(each, [kind("shell")]).unwrap());
    pool.give_leave();
    pool.certified(Some(node(1, 0, "a")));
    let mut next = 0;
    fill(&mut pool, &mut next, now);
    (pool, next)
}

fn fill(pool: &mut Pool<u64>, next: &mut u64, now: Timestamp) {
    while let Some(order) = pool.poll(now) {
        let ready = filled(&order, next, now + HOUR);
        pool.signed(&order, Ok(ready), now);
    }
}

fn take(pool: &mut Pool<u64>, now: Timestamp) -> Taken<u64> {
    pool.take(&kind("shell"), &node(1, 0, "").footing, now)
}

#[test]
fn each_spare_is_one_sessions_and_the_pool_is_filled_again() {
    let (mut pool, mut next) = full(2, at(0));
    assert_eq!(pool.ready(at(0)), [(kind("shell"), 2)]);
    let mut taken = BTreeSet::new();
    for _ in 0..2 {
        let Taken::Spare(number) = take(&mut pool, at(1)) else {
            panic!("no spare");
        };
        assert!(taken.insert(number));
    }
    // Nobody was asked for more yet, so nothing is known of the authority.
    assert_eq!(take(&mut pool, at(1)), Taken::None);
    fill(&mut pool, &mut next, at(1));
    assert!(matches!(take(&mut pool, at(1)), Taken::Spare(number) if taken.insert(number)));
}

#[test]
fn an_authority_that_is_away_is_asked_again_after_a_pause_and_that_is_told() {
    let (mut pool, mut next) = full(1, at(0));
    take(&mut pool, at(1));
    let order = pool.poll(at(1)).unwrap();
    assert_eq!(order.kinds, [kind("shell")]);
    pool.signed(&order, Err(Refusal::Offline), at(1));
    assert_eq!(take(&mut pool, at(1)), Taken::Offline);
    assert_eq!(pool.poll(at(1)), None);
    assert_eq!(pool.wake_at(at(1)), Some(at(2)));
    // Another certificate is its answer to this host.
    pool.certified(Some(node(1, 0, "b")));
    fill(&mut pool, &mut next, at(1));
    assert!(matches!(take(&mut pool, at(1)), Taken::Spare(_)));
}

#[test]
fn with_each_certificate_all_are_signed_anew_and_until_then_the_old_ones_serve() {
    let (mut pool, mut next) = full(2, at(0));
    pool.certified(Some(node(1, 0, "b")));
    let order = pool.poll(at(1800)).unwrap();
    assert_eq!(order.kinds.len(), 2);
    assert!(matches!(take(&mut pool, at(1800)), Taken::Spare(1 | 2)));
    let ready = filled(&order, &mut next, at(1800) + HOUR);
    pool.signed(&order, Ok(ready), at(1800));
    assert_eq!(pool.poll(at(1800)), None);
    // What outlived its certificate made room.
    assert_eq!(pool.ready(at(1800)), [(kind("shell"), 2)]);
    for _ in 0..2 {
        assert!(matches!(take(&mut pool, at(3601)), Taken::Spare(3 | 4)));
    }
}

#[test]
fn none_outlives_its_end_an_order_another_host_or_its_issuer() {
    let over = |pool: &mut Pool<u64>, now| {
        assert_ne!(pool.ready(now), [(kind("shell"), 1)]);
        assert!(!matches!(take(pool, now), Taken::Spare(_)));
    };
    let (mut pool, _) = full(1, at(0));
    over(&mut pool, at(3600));

    let (mut pool, _) = full(1, at(0));
    pool.withhold();
    pool.give_leave();
    over(&mut pool, at(1));

    // Nobody told the pool yet; who takes one knows where the host stands.
    let (mut pool, _) = full(1, at(0));
    for elsewhere in [node(1, 1, "a"), node(2, 0, "a")] {
        let taken = pool.take(&kind("shell"), &elsewhere.footing, at(1));
        assert!(!matches!(taken, Taken::Spare(_)), "{elsewhere:?}");
    }
    assert!(matches!(take(&mut pool, at(1)), Taken::Spare(_)));

    let (mut pool, _) = full(1, at(0));
    pool.certified(Some(node(1, 1, "b")));
    over(&mut pool, at(1));

    let (mut pool, _) = full(1, at(0));
    pool.keep_if(|_| false);
    over(&mut pool, at(1));

    let (mut pool, _) = full(1, at(0));
    pool.certified(Some(node(1, 0, "b")));
    let order = pool.poll(at(1)).unwrap();
    pool.signed(&order, Err(Refusal::NoIdentity), at(1));
    over(&mut pool, at(1));
}

#[test]
fn what_was_being_signed_when_an_order_came_is_nobodys() {
    for stopped in [
        (|pool| pool.withhold()) as fn(&mut Pool<u64>),
        |pool| pool.certified(Some(node(1, 1, "b"))),
        |pool| pool.certified(None),
    ] {
        let mut pool = Pool::new(Plan::new(1, [kind("shell")]).unwrap());
        pool.give_leave();
        pool.certified(Some(node(1, 0, "a")));
        let order = pool.poll(at(0)).unwrap();
        stopped(&mut pool);
        let ready = filled(&order, &mut 0, at(3600));
        pool.signed(&order, Ok(ready), at(1));
        assert_eq!(pool.ready(at(1)), [(kind("shell"), 0)]);
    }
}

#[test]
fn kinds_that_were_launched_lately_have_spares_and_a_few_of_those_only() {
    let (mut pool, mut next) = full(1, at(0));
    let footing = node(1, 0, "a").footing;
    for number in 0..9 {
        let launched = kind(&format!("kind-{number}"));
        pool.take(&launched, &footing, at(number));
    }
    fill(&mut pool, &mut next, at(10));
    let names = ["kind-5", "kind-6", "kind-7", "kind-8", "shell"];
    let ready: Vec<_> = names.iter().map(|name| (kind(name), 1)).collect();
    assert_eq!(pool.ready(at(10)), ready);
    let later = at(6) + LATELY;
    assert_eq!(pool.ready(later).len(), 3);
    fill(&mut pool, &mut next, later);
    assert_eq!(pool.held.len(), 3);
}

#[test]
fn a_plan_has_its_bounds_and_none_is_none() {
    let names = |count: u8| (0..count).map(|number| kind(&number.to_string()));
    assert_eq!(Plan::new(17, []), Err(InvalidPlan::Each));
    assert_eq!(Plan::new(1, names(5)), Err(InvalidPlan::Kinds));
    let mut pool: Pool<u64> = Pool::new(Plan::new(0, names(4)).unwrap());
    pool.give_leave();
    pool.certified(Some(node(1, 0, "a")));
    assert_eq!(pool.poll(at(0)), None);
    assert_eq!(take(&mut pool, at(0)), Taken::None);
    assert_eq!(pool.ready(at(0)), []);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Take(u8, u8),
    Withhold,
    GiveLeave,
    /// The host has another certificate; sometimes after it was stopped, or as another.
    Certified(Option<(u8, u8)>),
    Poll,
    /// What was ordered first comes back: that many seconds of life each, or a refusal.
    Signed(Option<u64>, Refusal),
    Leaves(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let refusal = prop_oneof![
        Just(Refusal::NoIdentity),
        Just(Refusal::Offline),
        Just(Refusal::Unavailable)
    ];
    prop_oneof![
        2 => (0_u64..4000).prop_map(Step::Wait),
        6 => (0_u8..7, 0_u8..3).prop_map(|(kind, stops)| Step::Take(kind, stops)),
        1 => Just(Step::Withhold),
        3 => Just(Step::GiveLeave),
        2 => prop::option::weighted(0.9, (0_u8..2, 0_u8..3)).prop_map(Step::Certified),
        6 => Just(Step::Poll),
        6 => (prop::option::weighted(0.8, 0_u64..5000), refusal)
            .prop_map(|(life, why)| Step::Signed(life, why)),
        1 => (2_u64..5).prop_map(Step::Leaves),
    ]
}

/// What the model knows of a spare that was signed.
#[derive(Clone, Debug)]
struct Signed {
    kind: AgentKind,
    footing: Footing,
    not_after: Timestamp,
}

proptest! {
    /// The model: a spare is there from when it came in to when it was taken, or anything ended it.
    #[test]
    fn a_spare_is_taken_once_and_only_while_it_counts(
        each in 0_usize..5,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pool = Pool::new(Plan::new(each, [kind("k0"), kind("k1")]).unwrap());
        let mut now = at(1_000_000);
        let (mut next, mut serial, mut leave) = (0, 0, false);
        let mut certificate: Option<NodeCertificate> = None;
        let mut orders: Vec<Order> = Vec::new();
        let mut model: BTreeMap<u64, Signed> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Wait(secs) => now = now + Duration::from_secs(secs),
                Step::Take(number, stops) => {
                    let kind = kind(&format!("k{number}"));
                    let footing = node(1, stops.into(), "").footing;
                    if let Taken::Spare(taken) = pool.take(&kind, &footing, now) {
                        // Gone from the model: a second time would find nothing.
                        let signed = model.remove(&taken);
                        prop_assert!(leave);
                        let Some(signed) = signed else {
                            return Err(TestCaseError::fail(format!("{taken} is no spare")));
                        };
                        prop_assert_eq!(&signed.kind, &kind);
                        prop_assert_eq!(&signed.footing, &footing);
                        prop_assert!(now < signed.not_after);
                    }
                }
                Step::Withhold => {
                    pool.withhold();
                    leave = false;
                    model.clear();
                }
                Step::GiveLeave => {
                    pool.give_leave();
                    leave = true;
                }
                Step::Certified(to) => {
                    serial += 1;
                    certificate = to.map(|(host, stops)| node(host, stops.into(), &serial.to_string()));
                    if let Some(certificate) = &certificate {
                        model.retain(|_, signed| signed.footing == certificate.footing);
                    }
                    pool.certified(certificate.clone());
                }
                Step::Poll => {
                    let order = pool.poll(now);
                    if let Some(order) = &order {
                        prop_assert!(leave && orders.is_empty());
                        prop_assert!((1..=MAX_SVIDS).contains(&order.kinds.len()));
                        prop_assert_eq!(Some(&order.node), certificate.as_ref());
                    }
                    orders.extend(order);
                }
                Step::Signed(life, why) => {
                    let Some(order) = orders.pop() else { continue };
                    let Some(secs) = life else {
                        pool.signed(&order, Err(why), now);
                        if why == Refusal::NoIdentity {
                            model.clear();
                        }
                        continue;
                    };
                    let not_after = now + Duration::from_secs(secs);
                    let ready = filled(&order, &mut next, not_after);
                    let stands = certificate.as_ref().is_some_and(|node| node.footing == order.node.footing);
                    if leave && stands && secs > 0 {
                        for ready in &ready {
                            model.insert(ready.credential, Signed {
                                kind: ready.kind.clone(),
                                footing: order.node.footing.clone(),
                                not_after,
                            });
                        }
                    }
                    pool.signed(&order, Ok(ready), now);
                }
                Step::Leaves(modulus) => {
                    pool.keep_if(|number| number % modulus != 0);
                    model.retain(|number, _| number % modulus != 0);
                }
            }
            // Bounded, and nothing that the model does not know.
            prop_assert!(pool.held.len() <= each * 2 * MAX_KINDS);
            prop_assert!(pool.launched.len() <= MAX_KINDS);
            for held in &pool.held {
                prop_assert!(model.contains_key(&held.ready.credential));
            }
            for (_, count) in pool.ready(now) {
                prop_assert!(count <= each);
            }
            if let Some(wake) = pool.wake_at(now) {
                prop_assert!(now < wake);
            }
        }
        // Whatever has happened: with leave and an authority that answers, it fills up.
        pool.give_leave();
        pool.certified(Some(node(1, 9, "end")));
        for order in orders.drain(..) {
            pool.signed(&order, Err(Refusal::Offline), now);
        }
        now = now + Duration::from_secs(3600);
        fill(&mut pool, &mut next, now);
        for (kind, count) in pool.ready(now) {
            prop_assert_eq!(count, each, "{}", kind);
        }
    }
}
