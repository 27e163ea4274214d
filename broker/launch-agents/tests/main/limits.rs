//! What a session may take of its host, and what it is told when it wants more.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::Path;

use holdfast_launch_agents::{Ending, Limits};
use holdfast_protocol::bounds::Bound;

use crate::host::{Host, wait_until};
use crate::human::HUMAN;

fn small() -> Limits {
    Limits {
        processes: NonZeroU32::new(40),
        files: NonZeroU32::new(100),
        file_size: NonZeroU64::new(8 << 20),
        scratch: NonZeroU64::new(1 << 20),
        home: NonZeroU64::new(2 << 20),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_fork_bomb_stays_in_its_session() {
    let Some(mut host) = Host::new() else { return };
    host.limits = small();
    let perl = Path::new("/usr/bin/perl");
    let bomb = "$SIG{CHLD} = 'IGNORE'; while (1) { fork; }";
    let running = host
        .start_program(perl, &["-e", bomb], HUMAN)
        .await
        .unwrap();
    wait_until(|| host.pids().len() >= 30).await;
    for _ in 0..20 {
        let count = host.pids().len();
        assert!(count <= 40, "{count} processes");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // Another session of the same human is not touched by it.
    host.limits = Limits::default();
    let other = host
        .start("for i in 1 2 3 4 5; do sh -c true || exit 9; done")
        .await;
    let ended = host.next_ended().await;
    assert_eq!(
        (ended.id, ended.ending),
        (other.begun.id, Ending::Exited(0))
    );
    host.sessions.end(running.begun.id).unwrap();
    assert_eq!(host.next_ended().await.id, running.begun.id);
    assert_eq!(host.pids(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_session_cannot_lift_its_bounds() {
    let Some(mut host) = Host::new() else { return };
    host.limits = small();
    let script = "ulimit -Su; ulimit -Hu; ulimit -Hn; ulimit -u 41 2>/dev/null && echo LIFTED; \
                  ulimit -n 101 2>/dev/null && echo LIFTED; ulimit -f unlimited 2>/dev/null && echo LIFTED; \
                  exit 0";
    let bash = Path::new("/bin/bash");
    let running = host
        .start_program(bash, &["-c", script], HUMAN)
        .await
        .unwrap();
    let output = host.finish(running, "").await;
    assert_eq!(output.stdout, "40\n40\n100\n", "{}", output.stderr);
}

#[tokio::test]
async fn memory_that_is_written_to_as_files_is_bounded() {
    let Some(mut host) = Host::new() else { return };
    host.limits = small();
    let script = "for place in /tmp /dev/shm ~; do \
                    head -c 4000000 /dev/zero >$place/full 2>/dev/null && echo $place TOOK IT; \
                    stat -c %s $place/full; rm $place/full; done; \
                  i=0; while : >/tmp/$i 2>/dev/null && test $i -lt 3000; do i=$((i+1)); done; echo $i";
    let bash = Path::new("/bin/bash");
    let running = host
        .start_program(bash, &["-c", script], HUMAN)
        .await
        .unwrap();
    let output = host.finish(running, "").await;
    let lines: Vec<u64> = output
        .stdout
        .lines()
        .map(|line| line.parse().expect("a number, not a success"))
        .collect();
    let [tmp, shared, home, files] = lines.as_slice() else {
        panic!("{}", output.stdout);
    };
    assert!(*tmp <= 1 << 20 && *shared <= 1 << 20, "{lines:?}");
    assert!((1 << 20..=2 << 20).contains(home), "{lines:?}");
    // Names cost memory, too.
    assert!(*files < 1100, "{lines:?}");
}

#[tokio::test]
async fn one_file_on_the_hosts_disk_is_bounded() {
    let Some(mut host) = Host::new() else { return };
    host.limits = small();
    let output = host
        .run("head -c 20000000 /dev/zero >big; echo $?; stat -c %s big")
        .await;
    let lines: Vec<&str> = output.stdout.lines().collect();
    // 128 and SIGXFSZ, or the error of a program that ignores it.
    assert_ne!(lines[0], "0", "{lines:?}");
    assert_eq!(lines[1], (8 << 20).to_string());
}

#[tokio::test]
async fn what_this_host_cannot_bound_is_said() {
    let Some(mut host) = Host::new() else { return };
    host.limits = Limits {
        memory: NonZeroU64::new(64 << 20),
        cpu_weight: NonZeroU16::new(50),
        ..small()
    };
    let has = |file: &str| host.leaves().iter().all(|leaf| leaf.join(file).exists());
    let running = host.start("sleep 60").await;
    let expected: Vec<Bound> = [
        (Bound::Memory, has("memory.max")),
        (Bound::CpuWeight, has("cpu.weight")),
    ]
    .into_iter()
    .filter_map(|(bound, present)| (!present).then_some(bound))
    .collect();
    let session = host.sessions.session(running.begun.id).unwrap();
    assert_eq!(session.unkept, expected);
    let processes = || host.sessions.processes(running.begun.id).unwrap();
    wait_until(|| processes() >= 2).await;
    assert!(host.sessions.usage(running.begun.id).is_some());
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
    assert_eq!(host.sessions.processes(running.begun.id), None);
}

#[tokio::test]
async fn a_session_that_takes_all_memory_is_killed_whole_and_says_why() {
    let Some(mut host) = Host::new() else { return };
    host.limits = Limits {
        memory: NonZeroU64::new(64 << 20),
        ..Limits::default()
    };
    let running = host
        .start("sleep 0.2; exec perl -e '$x = \"a\" x (1 << 20); push @x, \"$x$_\" for 1..100000'")
        .await;
    let controlled = host
        .leaves()
        .iter()
        .all(|leaf| leaf.join("memory.max").exists());
    if !controlled {
        host.sessions.end(running.begun.id).unwrap();
        host.next_ended().await;
        // The one thing that CI may leave out: its machines need not have the controller.
        eprintln!("SKIPPED: cgroup v2 has no memory controller on this host");
        return;
    }
    let ended = host.next_ended().await;
    assert_ne!(ended.ending, Ending::Exited(0));
    assert!(ended.reached.memory > 0, "{ended:?}");
}
