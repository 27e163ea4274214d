//! Two launchers, and launchers that are killed at any point of a launch: no session escapes, and no
//! right of it is left.

use std::fs;
use std::path::Path;
use std::process::Stdio as Output;
use std::time::Duration;

use crate::host::{Host, launcher, own_cgroup, wait_until};
use crate::human::HUMAN;
use crate::running::pipes;

/// How many points of a launch the launcher is killed at; a launch takes some 10 ms.
fn points() -> u32 {
    match std::env::var_os("HOLDFAST_TEST_LONG") {
        Some(_) => 200,
        None => 16,
    }
}

#[tokio::test]
async fn a_second_launcher_is_refused_in_words() {
    let Some(mut host) = Host::new() else { return };
    let running = host.start("sleep 60").await;
    let refused = |cgroup: &Path, socket: &Path| {
        let mut second = launcher(cgroup, socket);
        second.args(["--broker-uid", "0"]);
        let output = second.stdout(Output::null()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // Where its sessions are: it would have killed them.
    let elsewhere = host.scratch.path().join("other.sock");
    let words = refused(&host.cgroup, &elsewhere);
    assert!(
        words.contains("another launcher runs in this cgroup"),
        "{words}"
    );
    // Where its broker connects.
    let cgroup = own_cgroup();
    let words = refused(&cgroup, &host.socket());
    assert!(words.contains("another launcher listens at"), "{words}");
    fs::remove_dir(cgroup.join("holdfast-sessions")).ok();
    fs::remove_dir(cgroup.join("supervisor")).ok();
    fs::remove_dir(cgroup).unwrap();
    assert!(host.pids().len() >= 2, "the session lives");
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
}

#[tokio::test]
async fn two_launchers_of_one_range_never_share_a_uid() {
    let (Some(one), Some(other)) = (Host::new(), Host::new()) else {
        return;
    };
    let mut uids = Vec::new();
    let mut running = Vec::new();
    for host in [&one, &other, &one, &other] {
        let session = host.start("sleep 60").await;
        let state = host.sessions.session(session.begun.id).unwrap();
        let holdfast_launch_agents::state::Phase::Running(identity) = state.phase else {
            panic!("{state:?}");
        };
        uids.push(identity.uid);
        running.push(session);
    }
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 4);
}

#[tokio::test]
async fn a_launcher_killed_at_any_point_leaves_nothing() {
    let Some(mut host) = Host::new() else { return };
    host.run("true").await;
    for point in 0..points() {
        // Over 12 ms: before the message comes, through all of it, and after.
        let after = Duration::from_micros(u64::from(point) * 12_000 / u64::from(points()));
        let (stdio, _input, _output, _errors) = pipes();
        let asked = host.prepare(
            Path::new("/bin/sh"),
            &["-c", "echo x >ran; sleep 60"],
            stdio,
            HUMAN,
        );
        let kill = async {
            tokio::time::sleep(after).await;
            let pid = rustix::process::Pid::from_raw(host.launcher.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        };
        let (prepared, ()) = tokio::join!(asked, kill);
        host.launcher.wait().unwrap();
        wait_until(|| host.pids().is_empty() && forked(&host).is_empty()).await;
        assert!(!host.project().join("ran").exists(), "it ran unbegun");
        drop(prepared);
        host.restart_launcher();
        // What was left of cgroups went with the new one's start; the broker's next wish is heard.
        assert_eq!(host.leaves().len(), 0, "after {after:?}");
        assert_eq!(forked(&host), Vec::<String>::new(), "after {after:?}");
    }
    let output = host.run("echo again").await;
    assert_eq!(output.stdout, "again\n");
    assert_eq!(host.pids(), Vec::<i32>::new());
}

/// Whatever a launcher of this host forked, and still is it, beside the one that runs.
fn forked(host: &Host) -> Vec<String> {
    let socket = host.socket().display().to_string();
    let is_ours = |pid: &str| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&line).contains(&socket);
        (ours && pid != host.launcher.id().to_string()).then(|| pid.to_owned())
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| is_ours(entry.ok()?.file_name().to_str()?))
        .collect()
}
