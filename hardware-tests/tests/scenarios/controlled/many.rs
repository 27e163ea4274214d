//! Many sessions at once, and many after each other: what each takes, and that nothing of it stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Child;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::{Terms, World};

use super::{SOON, nothing_left, sockets, started};

fn count(few: usize, many: usize) -> usize {
    match std::env::var_os("HOLDFAST_TEST_LONG") {
        Some(_) => many,
        None => few,
    }
}

/// In KiB (proc_pid_smaps(5)): its own, and its share of what it shares.
fn memory(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.map(|line| line.trim().trim_end_matches(" kB"));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What a process holds that a session could have left in it.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    namespaces: usize,
    mounts: usize,
    threads_or_children: usize,
}

impl Held {
    fn by(pid: u32) -> Self {
        let folder = format!("/proc/{pid}/fd");
        let links = fs::read_dir(&folder).unwrap().filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            Some(target.display().to_string())
        });
        let links: Vec<String> = links.collect();
        let is_namespace = |link: &&String| {
            ["mnt:[", "net:[", "user:[", "pid:[", "ipc:[", "uts:["]
                .iter()
                .any(|kind| link.starts_with(kind))
        };
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        Self {
            descriptors: links.len(),
            namespaces: links.iter().filter(is_namespace).count(),
            mounts: mounts.lines().count(),
            threads_or_children: children.unwrap_or_default().split_whitespace().count(),
        }
    }
}

/// The uids of the sessions that are made one after another; no other test's sessions have them.
const UIDS: std::ops::Range<u32> = 72_000..73_000;

/// The processes of these uids, wherever they are.
fn alive() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses =
        processes.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    statuses
        .filter(|status| {
            let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
            let mut uids = uids.unwrap_or_default().split_whitespace();
            uids.any(|uid| uid.parse().is_ok_and(|uid: u32| UIDS.contains(&uid)))
        })
        .collect()
}

/// Files below `folder` that a session's uid owns.
fn owned(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(facts) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        if UIDS.contains(&facts.uid()) {
            found.push(entry.path().display().to_string());
        }
        if facts.is_dir() {
            owned(&entry.path(), found);
        }
    }
}

#[test]
fn many_sessions_live_at_once() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let broker = world.broker.pid().unwrap();
    let launcher = world.launcher.as_ref().unwrap();
    let idle = memory(broker);
    let most = count(12, 100);
    let script = "echo up; exec sleep 600";
    let running: Vec<Child> = (0..most)
        .map(|_| started(&world, &project, script))
        .collect();
    assert_eq!(launcher.sessions().len(), most);
    assert_eq!(sockets(&world), most);
    let own: u64 = launcher.pids().into_iter().map(memory).sum();
    let brokers = memory(broker).saturating_sub(idle);
    let most_kib = u64::try_from(most).unwrap();
    println!(
        "{most} sessions of `sleep`: {} KiB each in the broker, {} KiB each of their own",
        brokers / most_kib,
        own / most_kib
    );
    world
        .broker
        .holdfast(&["sessions", "end", "--all"])
        .success();
    for mut session in running {
        assert_eq!(session.wait().unwrap().code(), Some(137));
    }
    nothing_left(&world);
}

#[test]
fn nothing_is_left_of_sessions_that_ended() {
    let terms = Terms {
        uids: "72000-72999",
        ..Terms::default()
    };
    let Some(world) = World::sealed_as(terms) else {
        return;
    };
    let project = world.scratch.folder("project");
    let broker = world.broker.pid().unwrap();
    let launcher = world.launcher.as_ref().unwrap();
    let script = "mkdir -p d && echo x >d/f && echo y >/tmp/f && echo z >/dev/shm/f && echo w >~/f; \
                  sleep 100 >/dev/null 2>&1 &";
    let once = || {
        let ran = world.broker.run(&project, &["sh", "-c", script]);
        assert_eq!(ran.code, 0, "{ran:#?}");
    };
    // They are told by their uid while they live.
    let mut lives = started(&world, &project, "echo up; exec sleep 100");
    assert!(!alive().is_empty());
    lives.kill().unwrap();
    lives.wait().unwrap();
    // What is opened once and kept is opened by now.
    for _ in 0..3 {
        once();
    }
    nothing_left(&world);
    let launchers = Held::by(launcher.pid());
    let brokers = Held::by(broker);
    for _ in 0..count(40, 500) {
        once();
    }
    nothing_left(&world);
    assert_eq!(launcher.processes(), 0);
    wait_until(SOON, "no process under a session's uid", || {
        alive().is_empty()
    });
    wait_until(SOON, "the launcher holds what it held before", || {
        Held::by(launcher.pid()) == launchers
    });
    assert_eq!(launchers.namespaces, 0);
    // The broker may keep a connection or two of its own open.
    wait_until(SOON, "the broker holds what it held before", || {
        let now = Held::by(broker);
        now.descriptors <= brokers.descriptors + 2
            && now.namespaces == 0
            && now.mounts == brokers.mounts
    });
    let mut left = Vec::new();
    for folder in [
        world.scratch.path(),
        "/dev/shm".as_ref(),
        "/dev/mqueue".as_ref(),
        "/run".as_ref(),
    ] {
        owned(folder, &mut left);
    }
    assert_eq!(left, Vec::<String>::new(), "files of a session's uid");
}
