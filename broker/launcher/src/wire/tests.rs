//! Launches survive the wire; nothing else passes it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs::File;
use std::num::{NonZeroU16, NonZeroU32};

use proptest::prelude::*;

use super::*;
use crate::failure::Stage;
use crate::message::Reached;

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn nulls(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| null()).collect()
}

fn launch(arguments: Vec<CString>, environment: Vec<CString>, terminal: Option<u16>) -> Launch {
    Launch {
        human: null(),
        program: null(),
        sockets: null(),
        uid: match terminal {
            Some(_) => SessionUid::Humans,
            None => SessionUid::Own,
        },
        stdio: match terminal {
            Some(rows) => Stdio::Terminal(WindowSize { rows, columns: 80 }),
            None => Stdio::Pipes {
                input: null(),
                output: null(),
                errors: null(),
            },
        },
        name: ProgramName::parse("claude").unwrap(),
        arguments,
        environment,
        user: UserName::parse("alice").unwrap(),
        home: Place::parse("/home/alice").unwrap(),
        directory: Place::parse("/work").unwrap(),
        trees: vec![Tree {
            source: null(),
            place: Place::parse("/work").unwrap(),
            access: Access::Write,
        }],
        bridge: NonZeroU16::new(3128).unwrap(),
        doors: vec![NonZeroU16::new(5432).unwrap()],
        limits: Limits {
            processes: NonZeroU32::new(64),
            cpu_weight: NonZeroU16::new(50),
            files: None,
            memory: None,
            file_size: NonZeroU64::new(1 << 40),
            scratch: NonZeroU64::new(7),
            home: NonZeroU64::new(u64::MAX),
        },
    }
}

fn text() -> impl Strategy<Value = CString> {
    "[^\\x00]{0,40}".prop_map(|text| CString::new(text).unwrap())
}

proptest! {
    #[test]
    fn launches_survive(
        arguments in prop::collection::vec(text(), 1..20),
        environment in prop::collection::vec(text(), 0..20),
        terminal in prop::option::of(1_u16..200),
    ) {
        let sent = launch(arguments.clone(), environment.clone(), terminal);
        let (bytes, fds) = encode_launch(&sent).unwrap();
        let got = decode_launch(&bytes, nulls(fds.len())).unwrap();
        prop_assert_eq!(&got.arguments, &arguments);
        prop_assert_eq!(&got.environment, &environment);
        prop_assert_eq!(got.limits, sent.limits);
        prop_assert_eq!(got.uid, sent.uid);
        prop_assert_eq!(got.trees.len(), 1);
        let (again, _) = encode_launch(&got).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn a_cut_or_lengthened_launch_is_refused(cut in any::<prop::sample::Index>()) {
        let sent = launch(vec![c"sh".to_owned()], vec![], None);
        let (bytes, fds) = encode_launch(&sent).unwrap();
        let count = fds.len();
        let short = bytes.get(..cut.index(bytes.len())).unwrap();
        prop_assert!(decode_launch(short, nulls(count)).is_err());
        let mut long = bytes.clone();
        long.push(0);
        prop_assert!(decode_launch(&long, nulls(count)).is_err());
        prop_assert_eq!(decode_launch(&bytes, nulls(count - 1)).unwrap_err(), Refusal::Descriptors);
        prop_assert_eq!(decode_launch(&bytes, nulls(count + 1)).unwrap_err(), Refusal::Descriptors);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut message = MAGIC.to_vec();
        message.extend(&bytes);
        let _ = decode_launch(&message, nulls(6));
        let _ = decode_answer(&bytes, nulls(10));
        let _ = Reached::decode(&bytes);
    }
}

#[test]
fn refusals_survive() {
    for refusal in [
        Refusal::Message,
        Refusal::Descriptors,
        Refusal::Stream,
        Refusal::Human(33),
        Refusal::Exhausted,
        Refusal::Unprivileged,
        Refusal::Host {
            stage: Stage::Mount,
            errno: 13,
        },
    ] {
        let answer = Answer::Refused(refusal);
        let (bytes, fds) = encode_answer(&answer);
        assert!(fds.is_empty());
        let got = decode_answer(&bytes, vec![]);
        assert!(matches!(got, Some(Answer::Refused(r)) if r == refusal));
    }
}

#[test]
fn a_last_word_survives_and_half_of_one_is_none() {
    let reached = Reached {
        memory: 3,
        processes: u32::MAX,
    };
    assert_eq!(Reached::decode(&reached.encode()), Some(reached));
    assert_eq!(Reached::decode(&[0; 7]), None);
    assert_eq!(Reached::decode(&[]), None);
}

#[test]
fn bounds_that_no_host_leaves_unkept_are_no_answer() {
    assert_eq!(unkept([5]), Some(vec![Unkept::Memory, Unkept::Home]));
    assert_eq!(unkept([8]), None);
}

/// The search begins with messages that are read. `HOLDFAST_WRITE_SEEDS=1` writes them anew.
#[test]
fn the_seeds_of_the_search_are_messages() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let argv = vec![c"claude".to_owned(), c"-p".to_owned()];
    let environment = vec![c"HOME=/home/alice".to_owned()];
    let pipes = launch(argv.clone(), environment.clone(), None);
    let terminal = launch(argv, environment, Some(24));
    for (name, launch) in [("pipes", pipes), ("terminal", terminal)] {
        let seed = folder.join("launch_message").join(name);
        let (bytes, fds) = encode_launch(&launch).unwrap();
        if std::env::var_os("HOLDFAST_WRITE_SEEDS").is_some() {
            let count = u8::try_from(fds.len()).unwrap();
            std::fs::write(&seed, [&[count], &bytes[..]].concat()).unwrap();
        }
        let (count, bytes) = std::fs::read(&seed)
            .map(|seed| (seed[0], seed[1..].to_vec()))
            .unwrap();
        decode_launch(&bytes, nulls(count.into())).unwrap();
    }
}

#[test]
fn a_launch_that_is_too_large_is_not_sent() {
    let big = CString::new(vec![b'x'; MAX_MESSAGE]).unwrap();
    assert!(encode_launch(&launch(vec![big], vec![], None)).is_none());
}

#[test]
fn greetings_survive() {
    for present in 0..8 {
        let [event_log, ima_list, systemd_log] = [1, 2, 4].map(|bit| present & bit != 0);
        let greeting = Greeting {
            event_log: event_log.then(null),
            ima_list: ima_list.then(null),
            systemd_log: systemd_log.then(null),
        };
        let (bytes, fds) = encode_greeting(&greeting);
        let got = decode_greeting(&bytes, nulls(fds.len())).unwrap();
        assert_eq!(got.event_log.is_some(), event_log);
        assert_eq!(got.ima_list.is_some(), ima_list);
        assert_eq!(got.systemd_log.is_some(), systemd_log);
        assert!(decode_greeting(&bytes, nulls(fds.len() + 1)).is_none());
    }
    assert!(decode_greeting(b"HFL\x02\x00", vec![]).is_none());
}

proptest! {
    #[test]
    fn questions_survive(number: u64) {
        for request in [
            Request::Child { parent: number },
            Request::Remove { cgroup: number },
            Request::Describe { process: null() },
            Request::Map { trees: nulls(3) },
        ] {
            let (bytes, fds) = encode_question(&request).unwrap();
            let again = decode_request(&bytes, nulls(fds.len())).unwrap();
            match (&request, &again) {
                (Request::Child { parent: a }, Request::Child { parent: b })
                | (Request::Remove { cgroup: a }, Request::Remove { cgroup: b }) => {
                    prop_assert_eq!(a, b);
                }
                (Request::Describe { .. }, Request::Describe { .. }) => {}
                (Request::Map { trees: a }, Request::Map { trees: b }) => {
                    prop_assert_eq!(a.len(), b.len());
                }
                (_, _) => prop_assert!(false, "{request:?} became {again:?}"),
            }
            // Nothing left over, and no descriptor too many or too few.
            let mut longer = bytes.clone();
            longer.push(0);
            prop_assert!(decode_request(&longer, nulls(fds.len())).is_err());
            prop_assert!(decode_request(&bytes, nulls(fds.len() + 1)).is_err());
            if !fds.is_empty() {
                prop_assert!(decode_request(&bytes, vec![]).is_err());
            }
        }
    }
}

#[test]
fn what_a_process_runs_and_a_child_survive() {
    let described = Answer::Described(crate::message::Described {
        executable: null(),
        path: Some("/usr/bin/true".into()),
    });
    let (bytes, fds) = encode_answer(&described);
    let again = decode_answer(&bytes, nulls(fds.len()));
    let Some(Answer::Described(again)) = again else {
        panic!("{again:?}");
    };
    assert_eq!(again.path.unwrap(), std::path::Path::new("/usr/bin/true"));
    let child = Answer::Child(Child {
        cgroup_id: 7,
        cgroup: CgroupFiles {
            kill: null(),
            freeze: null(),
            events: null(),
            usage: null(),
            processes: null(),
        },
        processes: null(),
        bridge: null(),
    });
    let (bytes, fds) = encode_answer(&child);
    let again = decode_answer(&bytes, nulls(fds.len()));
    assert!(matches!(again, Some(Answer::Child(child)) if child.cgroup_id == 7));
}

#[test]
fn whether_trees_can_be_mapped_survives() {
    let said = vec![Idmap::Can, Idmap::Cannot, Idmap::Can];
    let answer = Answer::Mapped(said.clone());
    let (bytes, fds) = encode_answer(&answer);
    assert!(fds.is_empty());
    let again = decode_answer(&bytes, vec![]);
    assert!(matches!(again, Some(Answer::Mapped(again)) if again == said));
    assert!(decode_answer(&[9, 2], vec![]).is_none());
    let many = Request::Map {
        trees: nulls(MAX_TREES + 1),
    };
    assert!(encode_question(&many).is_none());
}
