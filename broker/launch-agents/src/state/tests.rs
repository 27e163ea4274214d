//! The registry against a model that is too simple to be wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Launched(u8, u32, u64),
    Frozen(u8),
    Resumed(u8),
    Ended(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0_u8..6;
    prop_oneof![
        id.clone().prop_map(Step::Start),
        (id.clone(), 0_u32..5, 0_u64..5)
            .prop_map(|(id, uid, cgroup)| Step::Launched(id, uid, cgroup)),
        id.clone().prop_map(Step::Frozen),
        id.clone().prop_map(Step::Resumed),
        id.prop_map(Step::Ended),
    ]
}

/// What a session is, to the model: (uid, cgroup) once it has them, and whether it is frozen.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Simple {
    Starting,
    Live(u32, u64, bool),
    Over,
}

fn facts() -> Facts {
    Facts {
        kind: "shell".parse().unwrap(),
        human: 1000,
        program: Sha256Digest::new([7; 32]),
        package: None,
        purpose: None,
        bounds: Bounds::default(),
        level: Level::L3,
        runs_as: SessionUid::Own,
        beyond: holdfast_protocol::beyond::Beyond::default(),
    }
}

fn id(n: u8) -> SessionId {
    SessionId::from_random([n; 16])
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

proptest! {
    #[test]
    fn the_registry_follows_the_model(steps in prop::collection::vec(step(), 0..60)) {
        let mut registry = Registry::default();
        let mut model: BTreeMap<u8, Simple> = BTreeMap::new();
        for (now, step) in steps.into_iter().enumerate() {
            let now = at(now as u64);
            let holds = |model: &BTreeMap<u8, Simple>, uid, cgroup| model.values().any(
                |s| matches!(s, Simple::Live(u, c, _) if *u == uid || *c == cgroup));
            match step {
                Step::Start(n) => {
                    let free = !model.contains_key(&n);
                    prop_assert_eq!(registry.start(now, id(n), facts()).is_ok(), free);
                    if free { model.insert(n, Simple::Starting); }
                }
                Step::Launched(n, uid, cgroup) => {
                    let may = model.get(&n) == Some(&Simple::Starting)
                        && !holds(&model, uid, cgroup);
                    let identity = Identity {
                        uid,
                        told: Told::Cgroup(cgroup),
                    };
                    prop_assert_eq!(registry.launched(id(n), identity).is_ok(), may);
                    if may { model.insert(n, Simple::Live(uid, cgroup, false)); }
                }
                Step::Frozen(n) | Step::Resumed(n) => {
                    let freeze = matches!(step, Step::Frozen(_));
                    let result = if freeze { registry.frozen(id(n)) } else { registry.resumed(id(n)) };
                    match model.get(&n) {
                        Some(Simple::Live(u, c, frozen)) if *frozen != freeze => {
                            prop_assert!(result.is_ok());
                            model.insert(n, Simple::Live(*u, *c, freeze));
                        }
                        _ => prop_assert!(result.is_err()),
                    }
                }
                Step::Ended(n) => {
                    let lives = matches!(model.get(&n), Some(Simple::Starting | Simple::Live(..)));
                    prop_assert_eq!(registry.ended(now, id(n), Ending::Exited(0)).is_ok(), lives);
                    if lives { model.insert(n, Simple::Over); }
                }
            }
            for uid in 0..5 {
                let owner = model.iter().find_map(|(n, s)| match s {
                    Simple::Live(u, c, frozen) if *u == uid => Some((*n, *c, *frozen)),
                    Simple::Starting | Simple::Live(..) | Simple::Over => None,
                });
                for cgroup in [None, Some(0), Some(1)] {
                    let expected = match owner {
                        None => Err(Stranger::Uid(uid)),
                        Some((n, own, _)) if cgroup.is_some_and(|c| c != own) =>
                            Err(Stranger::Cgroup(id(n))),
                        Some((n, _, true)) => Err(Stranger::Frozen(id(n))),
                        Some((n, _, false)) => Ok(Party {
                            session: id(n),
                            sub: None,
                        }),
                    };
                    prop_assert_eq!(registry.who(uid, cgroup.map(Told::Cgroup)), expected);
                }
            }
        }
    }
}

#[test]
fn a_full_host_takes_no_more_until_one_ends() {
    let mut registry = Registry::default();
    let numbered = |n: usize| SessionId::from_random((n as u128).to_le_bytes());
    for n in 0..MAX_LIVE {
        registry.start(at(0), numbered(n), facts()).unwrap();
    }
    let one_more = numbered(MAX_LIVE);
    assert_eq!(
        registry.start(at(1), one_more, facts()),
        Err(StateError::Full)
    );
    registry.ended(at(2), numbered(3), Ending::Killed).unwrap();
    assert_eq!(registry.start(at(3), one_more, facts()), Ok(()));
}

#[test]
fn ended_sessions_are_forgotten_in_time() {
    let mut registry = Registry::default();
    registry.start(at(0), id(1), facts()).unwrap();
    registry.ended(at(1), id(1), Ending::Exited(0)).unwrap();
    assert!(registry.session(id(1)).is_some());
    let later = at(2) + KEPT;
    registry.start(later, id(2), facts()).unwrap();
    assert!(registry.session(id(1)).is_none());
    assert!(registry.session(id(2)).is_some());
}

#[test]
fn sub_agents_are_told_by_their_cgroups_and_by_nothing_less() {
    let mut registry = Registry::default();
    registry.start(at(1), id(1), facts()).unwrap();
    let own = Identity {
        uid: 7,
        told: Told::Cgroup(70),
    };
    registry.launched(id(1), own).unwrap();
    let (sub, above) = registry.start_sub(at(2), id(1), None, None).unwrap();
    assert_eq!(above, 70);
    // Until its process is there nobody is it, and the uid alone says nothing any more.
    assert_eq!(
        registry.who(7, Some(Told::Cgroup(71))),
        Err(Stranger::Cgroup(id(1)))
    );
    assert_eq!(registry.who(7, None), Err(Stranger::Untold(id(1))));
    registry.sub_made(id(1), sub, 71).unwrap();
    let whose = |cgroup| registry.who(7, Some(Told::Cgroup(cgroup))).unwrap().sub;
    assert_eq!((whose(70), whose(71)), (None, Some(sub)));
    let (inner, above) = registry.start_sub(at(3), id(1), Some(sub), None).unwrap();
    assert_eq!(above, 71);
    assert!(registry.sub_made(id(1), inner, 70).is_err());
    registry.sub_made(id(1), inner, 72).unwrap();
    registry.frozen(id(1)).unwrap();
    assert_eq!(
        registry.who(7, Some(Told::Cgroup(72))),
        Err(Stranger::Frozen(id(1)))
    );
    registry.resumed(id(1)).unwrap();
    registry.sub_ending(id(1), sub).unwrap();
    for gone in [71, 72] {
        assert_eq!(
            registry.who(7, Some(Told::Cgroup(gone))),
            Err(Stranger::Cgroup(id(1)))
        );
    }
    registry.sub_ended(id(1), inner);
    registry.sub_ended(id(1), sub);
    assert_eq!(registry.who(7, None).unwrap().sub, None);
}

#[test]
fn a_human_has_so_many_at_once_and_another_has_their_own() {
    let mut registry = Registry::default();
    registry.allow_each(NonZeroUsize::new(2));
    let of = |human| Facts { human, ..facts() };
    registry.start(at(0), id(1), of(1000)).unwrap();
    registry.start(at(0), id(2), of(1000)).unwrap();
    let full = Err(StateError::PerHuman(1000, NonZeroUsize::new(2).unwrap()));
    assert_eq!(registry.start(at(0), id(3), of(1000)), full);
    assert_eq!(registry.start(at(0), id(4), of(1001)), Ok(()));
    registry.ended(at(1), id(1), Ending::Killed).unwrap();
    assert_eq!(registry.start(at(1), id(3), of(1000)), Ok(()));
}

#[test]
fn what_ended_a_session_is_not_talked_over_afterwards() {
    let mut registry = Registry::default();
    registry.start(at(0), id(1), facts()).unwrap();
    registry.stopped(id(1), Some(Because::Idle));
    registry.ended(at(1), id(1), Ending::Killed).unwrap();
    registry.stopped(id(1), None);
    assert_eq!(
        registry.session(id(1)).unwrap().because,
        Some(Because::Idle)
    );
}

#[test]
fn contained_sessions_of_one_human_are_told_by_their_pid_namespaces() {
    let mut registry = Registry::default();
    for (n, number) in [(1, 10), (2, 20)] {
        registry.start(at(0), id(n), humans(1000)).unwrap();
        let own = Identity {
            uid: 1000,
            told: Told::PidNamespace(number),
        };
        registry.launched(id(n), own).unwrap();
    }
    let who = |registry: &Registry, told| registry.who(1000, told).map(|party| party.session);
    let inside = |number| Some(Told::PidNamespace(number));
    assert_eq!(who(&registry, inside(10)), Ok(id(1)));
    assert_eq!(who(&registry, inside(20)), Ok(id(2)));
    // The human's own programs, and whoever cannot be told.
    for outside in [inside(30), Some(Told::Cgroup(10)), None] {
        assert_eq!(who(&registry, outside), Err(Stranger::Uid(1000)));
    }
    registry.frozen(id(2)).unwrap();
    assert_eq!(who(&registry, inside(20)), Err(Stranger::Frozen(id(2))));
    let sub = registry.start_sub(at(0), id(1), None, None);
    assert_eq!(sub, Err(StateError::Sub(id(1), SubError::NoCgroup)));
    // A namespace is one session's.
    registry.start(at(0), id(3), humans(1000)).unwrap();
    let again = Identity {
        uid: 1000,
        told: Told::PidNamespace(10),
    };
    assert_eq!(
        registry.launched(id(3), again),
        Err(StateError::Identity(1000))
    );
}

fn by(uid: u32, cgroup: u64) -> Identity {
    let told = Told::Cgroup(cgroup);
    Identity { uid, told }
}

fn humans(human: u32) -> Facts {
    Facts {
        human,
        runs_as: SessionUid::Humans,
        ..facts()
    }
}

#[test]
fn under_a_humans_uid_the_cgroup_alone_says_which_session_asks() {
    let mut registry = Registry::default();
    for (n, cgroup) in [(1, 71), (2, 72)] {
        registry.start(at(0), id(n), humans(1000)).unwrap();
        let uid = 1000;
        registry.launched(id(n), by(uid, cgroup)).unwrap();
    }
    let session = |cgroup: Option<u64>| {
        registry
            .who(1000, cgroup.map(Told::Cgroup))
            .map(|party| party.session)
    };
    assert_eq!(session(Some(71)), Ok(id(1)));
    assert_eq!(session(Some(72)), Ok(id(2)));
    // The human's own process, elsewhere on the host; and where the kernel does not tell.
    assert_eq!(session(Some(1)), Err(Stranger::Uid(1000)));
    assert_eq!(session(None), Err(Stranger::Shared(1000)));
    // Another human in that cgroup is nobody, either.
    assert_eq!(
        registry.who(1001, Some(Told::Cgroup(71))),
        Err(Stranger::Uid(1001))
    );
    let (sub, above) = registry.start_sub(at(1), id(2), None, None).unwrap();
    assert_eq!(above, 72);
    registry.sub_made(id(2), sub, 73).unwrap();
    registry.frozen(id(1)).unwrap();
    assert_eq!(
        registry.who(1000, Some(Told::Cgroup(71))),
        Err(Stranger::Frozen(id(1)))
    );
    let party = registry.who(1000, Some(Told::Cgroup(73))).unwrap();
    assert_eq!((party.session, party.sub), (id(2), Some(sub)));
    registry.ended(at(2), id(1), Ending::Killed).unwrap();
    assert_eq!(
        registry.who(1000, Some(Told::Cgroup(71))),
        Err(Stranger::Uid(1000))
    );
}

#[test]
fn a_uid_is_whose_it_was_to_be() {
    let mut registry = Registry::default();
    let mut launched = |n, facts: Facts, uid, cgroup| {
        registry.start(at(0), id(n), facts).unwrap();
        registry.launched(id(n), by(uid, cgroup))
    };
    let refused = |uid| Err(StateError::Identity(uid));
    assert_eq!(launched(1, facts(), 1000, 1), refused(1000));
    assert_eq!(launched(2, humans(1000), 70_000, 2), refused(70_000));
    assert_eq!(launched(3, humans(1000), 1000, 3), Ok(()));
    assert_eq!(launched(4, facts(), 70_000, 4), Ok(()));
    assert_eq!(launched(5, facts(), 70_000, 5), refused(70_000));
    assert_eq!(launched(6, humans(1000), 1000, 3), refused(1000));
}
