//! What another process of the same human can do to a session: nothing that matters.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::host::{Host, wait_until};
use crate::human::{HUMAN, act_as};

/// What can only be opened by who may read that process's memory, and what can only be looked at.
const OPENED: [&str; 4] = ["environ", "maps", "mem", "auxv"];
const LINKED: [&str; 5] = ["fd/0", "exe", "root", "cwd", "ns/user"];

/// What this thread gets of a process. An `open` is enough: the kernel asks then.
fn reached(pid: i32) -> Vec<&'static str> {
    let at = |file: &str| format!("/proc/{pid}/{file}");
    let opened = OPENED
        .into_iter()
        .filter(|file| File::open(at(file)).is_ok());
    let linked = LINKED
        .into_iter()
        .filter(|file| fs::read_link(at(file)).is_ok());
    let mut reached: Vec<&str> = opened.chain(linked).collect();
    if fs::read_dir(at("fd")).is_ok() {
        reached.push("fd");
    }
    let pid = Pid::from_raw(pid).unwrap();
    let core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    for (what, done) in [
        ("CONT", kill_process(pid, Signal::CONT)),
        (
            "limit",
            prlimit(Some(pid), Resource::Core, core).map(|_| ()),
        ),
        ("KILL", kill_process(pid, Signal::KILL)),
    ] {
        if done.is_ok() {
            reached.push(what);
        }
    }
    reached
}

#[tokio::test]
async fn the_humans_other_processes_cannot_reach_in() {
    let Some(host) = Host::new() else { return };
    let running = host.start("echo up; sleep 60").await;
    let mut output = running.output.try_clone().unwrap();
    io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    let (pids, leaves) = (host.pids(), host.leaves());
    assert!(pids.len() >= 2, "{pids:?}");
    let sealed = act_as(HUMAN, move || {
        let mut got = Vec::new();
        for pid in pids {
            let of = reached(pid).into_iter();
            got.extend(of.map(|what| format!("{what} of {pid}")));
        }
        for leaf in leaves {
            for file in ["cgroup.procs", "cgroup.freeze", "cgroup.kill"] {
                let open = fs::OpenOptions::new().write(true).open(leaf.join(file));
                match open.map_err(|error| error.kind()) {
                    Err(ErrorKind::PermissionDenied) => {}
                    _ => got.push(format!("{file} of {}", leaf.display())),
                }
            }
        }
        got
    });
    assert_eq!(sealed, Vec::<String>::new());
    host.sessions.end(running.begun.id).unwrap();

    // So that this can fail: of a process that is not sealed, all of it is had.
    let mut bare = Command::new("/bin/sleep");
    let mut bare = bare.arg("60").uid(HUMAN).gid(HUMAN).spawn().unwrap();
    let pid = bare.id().cast_signed();
    let had = act_as(HUMAN, move || reached(pid));
    bare.wait().unwrap();
    let all = OPENED.into_iter().chain(LINKED);
    let all: Vec<&str> = all.chain(["fd", "CONT", "limit", "KILL"]).collect();
    assert_eq!(had, all);
}

#[tokio::test]
async fn one_session_cannot_reach_another() {
    let Some(mut host) = Host::new() else { return };
    let first = host.start("echo s >/tmp/secret; echo up; sleep 60").await;
    let mut output = first.output.try_clone().unwrap();
    io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    let second = host
        .start("cat /tmp/secret; ls /proc | grep -c '^[0-9]'; kill -9 -1")
        .await;
    let second = host.finish(second, "").await;
    assert!(
        second.stdout.trim().parse::<u32>().unwrap() <= 4,
        "{}",
        second.stdout
    );
    wait_until(|| host.leaves().len() == 1).await;
    assert!(host.pids().len() >= 2, "the first session lives");
    host.sessions.end(first.begun.id).unwrap();
    host.next_ended().await;
}
