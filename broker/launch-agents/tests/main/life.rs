//! The life of a session: beginning, signals, freezing, ending, and nothing left of it.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_launch_agents::task::{SessionError, Sessions};
use holdfast_launch_agents::{Ending, PassedSignal, Stdio, WindowSize};

use crate::host::{Host, clock, wait_until};
use crate::human::{HUMAN, act_as};
use crate::running::pipes;

#[tokio::test]
async fn input_output_and_endings_pass_through() {
    let Some(mut host) = Host::new() else { return };
    let cat = host.start("cat; echo end >&2").await;
    let output = host.finish(cat, "one\ntwo\n").await;
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("one\ntwo\n", "end\n")
    );
    assert_eq!(output.ending, Ending::Exited(0));
    assert_eq!(host.run("exit 250").await.ending, Ending::Exited(250));
    assert_eq!(host.run("kill -9 $$").await.ending, Ending::Signaled(9));
    // A child that outlives the program dies with the session.
    let output = host.run("sleep 100 >/dev/null 2>&1 & echo $!").await;
    assert_eq!(output.ending, Ending::Exited(0));
    assert_eq!(host.pids(), Vec::<i32>::new());
}

#[tokio::test]
async fn nothing_runs_before_it_is_begun() {
    let Some(mut host) = Host::new() else { return };
    let (stdio, _input, _output, _errors) = pipes();
    let prepared = host
        .prepare(Path::new("/bin/sh"), &["-c", "echo x >ran"], stdio, HUMAN)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!host.project().join("ran").exists());
    assert_eq!(host.pids().len(), 1);
    drop(prepared);
    wait_until(|| host.leaves().is_empty()).await;
    assert!(!host.project().join("ran").exists());
    assert_eq!(host.run("echo x >ran").await.ending, Ending::Exited(0));
    assert!(host.project().join("ran").exists());
}

#[tokio::test]
async fn a_program_that_cannot_run_says_so() {
    let Some(mut host) = Host::new() else { return };
    let script = host.scratch.path().join("broken");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let running = host.start_program(&script, &[], HUMAN).await.unwrap();
    let output = host.finish(running, "").await;
    assert!(
        matches!(output.ending, Ending::NotStarted(_)),
        "{:?}",
        output.ending
    );
    assert_eq!(output.ending.code(), 127);
}

#[tokio::test]
async fn a_script_runs_from_the_store() {
    let Some(mut host) = Host::new() else { return };
    let script = host.scratch.path().join("greet");
    fs::write(&script, "#!/bin/sh\necho \"$0 $1\"\n").unwrap();
    let running = host.start_program(&script, &["you"], HUMAN).await.unwrap();
    let output = host.finish(running, "").await;
    assert_eq!(
        output.stdout, "/opt/holdfast/bin/greet you\n",
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn the_end_is_quick_and_whole() {
    let Some(mut host) = Host::new() else { return };
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do setsid sleep 100 & (trap '' TERM HUP INT; \
                  sleep 100) & done; echo up; wait";
    let running = host.start(script).await;
    wait_for_line(&running.output, "up");
    let count = host.pids().len();
    assert!(count > 15, "{count} processes");
    let before = Instant::now();
    host.sessions.end(running.begun.id).unwrap();
    let ended = host.next_ended().await;
    let took = before.elapsed();
    assert_eq!(ended.ending, Ending::Killed);
    assert_eq!(host.pids(), Vec::<i32>::new());
    eprintln!("ended {count} processes in {took:?}");
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn frozen_is_still_and_goes_on() {
    let Some(mut host) = Host::new() else { return };
    let script = "echo up; i=0; while :; do i=$((i+1)); echo $i >count; done";
    let running = host.start(script).await;
    wait_for_line(&running.output, "up");
    let id = running.begun.id;
    let count = host.project().join("count");
    wait_until(|| count.exists()).await;
    let before = Instant::now();
    host.sessions.freeze(id).await.unwrap();
    eprintln!("froze in {:?}", before.elapsed());
    assert!(before.elapsed() < Duration::from_millis(100));
    let still = fs::read_to_string(&count).unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(fs::read_to_string(&count).unwrap(), still);
    assert!(matches!(
        host.sessions.freeze(id).await,
        Err(SessionError::State(_))
    ));
    host.sessions.resume(id).unwrap();
    wait_until(|| fs::read_to_string(&count).unwrap() != still).await;
    // A frozen session dies as fast as any.
    host.sessions.freeze(id).await.unwrap();
    host.sessions.end(id).unwrap();
    assert_eq!(host.next_ended().await.id, id);
    assert!(matches!(
        host.sessions.resume(id),
        Err(SessionError::State(_))
    ));
}

#[tokio::test]
async fn signals_reach_the_program() {
    let Some(mut host) = Host::new() else { return };
    let script = "trap 'echo caught; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let running = host.start(script).await;
    wait_for_line(&running.output, "up");
    host.sessions
        .signal(running.begun.id, PassedSignal::Terminate)
        .unwrap();
    let output = host.finish(running, "").await;
    assert_eq!(
        (output.stdout.as_str(), output.ending),
        ("caught\n", Ending::Exited(3))
    );
}

#[tokio::test]
async fn a_terminal_of_its_own_works_as_one() {
    let Some(mut host) = Host::new() else { return };
    let size = WindowSize {
        rows: 31,
        columns: 97,
    };
    let script = "trap 'exit 5' INT; tty; stty size; read line; echo got $line; \
                  while :; do sleep 0.05; done";
    let prepared = host
        .prepare(
            Path::new("/bin/sh"),
            &["-c", script],
            Stdio::Terminal(size),
            HUMAN,
        )
        .await
        .unwrap();
    let begun = prepared.begin().unwrap();
    let mut master = fs::File::from(begun.terminal.unwrap());
    wait_for_line(&master, "/dev/pts/0");
    wait_for_line(&master, "31 97");
    master.write_all(b"hello\n").unwrap();
    wait_for_line(&master, "got hello");
    // Ctrl-C: the terminal, not the broker, makes a signal of it.
    master.write_all(b"\x03").unwrap();
    assert_eq!(host.next_ended().await.ending, Ending::Exited(5));
}

#[tokio::test]
async fn sessions_end_with_their_broker() {
    let Some(mut host) = Host::new() else { return };
    let running = host.start("echo up; sleep 100").await;
    wait_for_line(&running.output, "up");
    host.stop.cancel();
    while host.watcher.join_next().await.is_some() {}
    assert_eq!(host.next_ended().await.ending, Ending::Killed);
    assert_eq!(host.pids(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_broker_without_any_right_holds_its_sessions() {
    const BROKER: u32 = 977;
    let Some(mut host) = Host::of_broker(BROKER, &[]) else {
        return;
    };
    let running = host.start("echo up; sleep 100").await;
    wait_for_line(&running.output, "up");
    let (sessions, id) = (host.sessions.clone(), running.begun.id);
    host.sessions.freeze(id).await.unwrap();
    act_as(BROKER, move || {
        sessions.resume(id).unwrap();
        sessions.signal(id, PassedSignal::Hangup).unwrap();
        sessions.end(id).unwrap();
    });
    assert_eq!(host.next_ended().await.id, id);
    // Nobody else may ask the launcher for anything.
    let socket = host.scratch.path().join("launcher.sock");
    assert!(
        Sessions::connect(&socket, clock()).is_err(),
        "root is not the broker"
    );
    let refused = act_as(HUMAN, move || Sessions::connect(&socket, clock()).is_err());
    assert!(refused);
}

#[tokio::test]
async fn sessions_end_with_the_launcher() {
    let Some(mut host) = Host::new() else { return };
    let running = host.start("echo up; sleep 100").await;
    wait_for_line(&running.output, "up");
    host.launcher.kill().unwrap();
    assert_eq!(host.next_ended().await.ending, Ending::Killed);
    assert_eq!(host.pids(), Vec::<i32>::new());
}

#[tokio::test]
async fn nothing_is_left_after_many() {
    let Some(mut host) = Host::new() else { return };
    host.run("true").await;
    wait_until(|| host.leaves().is_empty()).await;
    let left = |host: &Host| {
        let fds = fs::read_dir(format!("/proc/{}/fd", host.launcher.id())).unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        (fds.count(), mounts.lines().count())
    };
    let before = left(&host);
    let mut times = Vec::new();
    for _ in 0..30 {
        let start = Instant::now();
        host.run("true").await;
        times.push(start.elapsed());
    }
    wait_until(|| host.leaves().is_empty()).await;
    assert_eq!(left(&host), before);
    times.sort();
    eprintln!(
        "a whole session: median {:?}, worst {:?}",
        times[15], times[29]
    );
}

fn wait_for_line(file: &fs::File, wanted: &str) {
    let mut file = file;
    let mut seen = Vec::new();
    let mut byte = [0];
    while file.read(&mut byte).unwrap() == 1 {
        seen.push(byte[0]);
        if byte == *b"\n" {
            if String::from_utf8_lossy(&seen).trim_end().ends_with(wanted) {
                return;
            }
            seen.clear();
        }
    }
    panic!("`{wanted}` never came");
}
