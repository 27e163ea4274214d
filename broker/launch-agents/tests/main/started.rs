//! How the launcher is started, and what it hands over of the boot.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_launch_agents::task::Sessions;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

use crate::build;
use crate::host::{Host, clock, own_cgroup};

/// In its cgroup, with the socket of the service manager's as descriptor 3 instead of 0.
const ACTIVATED: &str = "echo $$ >\"$0/cgroup.procs\"; exec 3<&0 </dev/null; \
                         exec env LISTEN_PID=PID LISTEN_FDS=COUNT \"$@\"";

/// As a service manager starts it once somebody connects: says whom the socket is for, and how many there are.
fn activated(cgroup: &Path, socket: OwnedFd, (pid, count): (&str, &str)) -> Child {
    let script = ACTIVATED
        .replace("PID=PID", &format!("PID={pid}"))
        .replace("COUNT", count);
    Command::new("/bin/sh")
        .args(["-c", &script])
        .arg(cgroup)
        .arg(build::launcher())
        .args(["--uid-range", "70000-70999", "--broker-uid", "0"])
        .stdin(Stdio::from(socket))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn listening(at: &Path) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(at).unwrap()).unwrap();
    listen(&socket, 4).unwrap();
    socket
}

#[tokio::test]
async fn a_service_manager_may_hold_the_launchers_socket() {
    let start = |cgroup: &Path, socket: &Path| activated(cgroup, listening(socket), ("$$", "1"));
    let Some(mut host) = Host::started(0, start) else {
        return;
    };
    assert_eq!(host.run("echo ok").await.stdout, "ok\n");
}

#[test]
fn what_was_passed_to_another_process_is_not_taken() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root: the launcher is root's");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let cgroup = own_cgroup();
    for (n, passed) in [("1", "1"), ("$$", "2"), ("$$", "0"), ("", "1")]
        .iter()
        .enumerate()
    {
        let socket = listening(&scratch.path().join(n.to_string()));
        let output = activated(&cgroup, socket, *passed)
            .wait_with_output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{passed:?}");
        assert!(said.contains("no socket was passed"), "{passed:?}: {said}");
    }
    gone(&cgroup);
}

/// In a mount namespace with records of a boot that this host never had.
const BOOTED: &str = "echo $$ >\"$0/cgroup.procs\"; \
    mount -t tmpfs -o mode=0700 none /sys/kernel/security && mount -t tmpfs none /run/log && \
    mkdir -p /sys/kernel/security/tpm0 /sys/kernel/security/ima /run/log/systemd && umask 377 && \
    printf 'events\\0\\377' >/sys/kernel/security/tpm0/binary_bios_measurements && \
    printf 'list\\0\\376' >/sys/kernel/security/ima/binary_runtime_measurements && \
    printf 'systemd\\0\\375' >/run/log/systemd/tpm2-measure.log && exec \"$@\"";

#[tokio::test]
async fn the_records_of_the_boot_are_handed_over_as_they_are_and_read_alone() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root: another boot's records are mounted");
        return;
    }
    for place in ["/sys/kernel/security", "/run/log"] {
        assert!(Path::new(place).is_dir(), "{place} is to be mounted over");
    }
    let scratch = tempfile::tempdir().unwrap();
    let (cgroup, socket) = (own_cgroup(), scratch.path().join("launcher.sock"));
    let mut launcher = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            BOOTED,
        ])
        .arg(&cgroup)
        .arg(build::launcher())
        .args(["--uid-range", "70000-70999", "--broker-uid", "0", "--bind"])
        .arg(&socket)
        .spawn()
        .unwrap();
    let mut tries = (0..500).filter_map(|_| {
        let connected = Sessions::connect(&socket, clock());
        std::thread::sleep(Duration::from_millis(10));
        connected.ok()
    });
    let (_sessions, _watcher, greeting) = tries.next().expect("the launcher answers");
    let records = [greeting.event_log, greeting.ima_list, greeting.systemd_log];
    let expected: [&[u8]; 3] = [b"events\0\xff", b"list\0\xfe", b"systemd\0\xfd"];
    for (record, expected) in records.into_iter().zip(expected) {
        let mut record = File::from(record.expect("it is there"));
        let mut bytes = Vec::new();
        record.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, expected);
        std::io::Write::write(&mut record, b"x").unwrap_err();
    }
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    gone(&cgroup);
}

/// Removes the cgroup of a launcher that has ended.
fn gone(cgroup: &Path) {
    for _ in 0..200 {
        for inner in ["holdfast-sessions", "supervisor"] {
            fs::remove_dir(cgroup.join(inner)).ok();
        }
        if fs::remove_dir(cgroup).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("left behind: {}", cgroup.display());
}
