//! What another process of the same human can do to a session: nothing that matters.

use std::fs;
use std::io::{self, ErrorKind};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::host::{Host, wait_until};
use crate::human::{HUMAN, act_as};

#[tokio::test]
async fn the_humans_other_processes_cannot_reach_in() {
    let Some(host) = Host::new() else { return };
    let running = host.start("echo up; sleep 60").await;
    let mut output = running.output.try_clone().unwrap();
    io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    let (pids, leaves) = (host.pids(), host.leaves());
    assert!(pids.len() >= 2, "{pids:?}");
    let reached = act_as(HUMAN, move || {
        let mut reached = Vec::new();
        for pid in pids {
            for file in [
                "environ", "maps", "mem", "auxv", "stack", "fd/0", "exe", "root", "cwd", "ns/user",
            ] {
                let path = format!("/proc/{pid}/{file}");
                if fs::read(&path).is_ok() || fs::read_link(&path).is_ok() {
                    reached.push(path);
                }
            }
            if fs::read_dir(format!("/proc/{pid}/fd")).is_ok() {
                reached.push(format!("{pid} fd"));
            }
            let pid = Pid::from_raw(pid).unwrap();
            let core = Rlimit {
                current: None,
                maximum: None,
            };
            if kill_process(pid, Signal::CONT).is_ok()
                || kill_process(pid, Signal::KILL).is_ok()
                || prlimit(Some(pid), Resource::Core, core).is_ok()
            {
                reached.push(format!("signal or limit {pid:?}"));
            }
        }
        for leaf in leaves {
            for file in ["cgroup.procs", "cgroup.freeze", "cgroup.kill"] {
                let open = fs::OpenOptions::new().write(true).open(leaf.join(file));
                match open.map_err(|error| error.kind()) {
                    Err(ErrorKind::PermissionDenied) => {}
                    _ => reached.push(format!("{file} of {}", leaf.display())),
                }
            }
        }
        reached
    });
    assert_eq!(reached, Vec::<String>::new());
    host.sessions.end(running.begun.id).unwrap();
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
