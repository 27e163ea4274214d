//! Attacks that need a system call of their own: made for real, by a process of the human's outside,
//! and from inside.

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use holdfast_launch_agents::peer::{Peer, PeerError};
use holdfast_launch_agents::state::{Phase, Stranger};

use crate::host::Host;
use crate::human::HUMAN;
use crate::skip::skipped;

const PERL: &str = "/usr/bin/perl";

/// Name, number on x86-64, number on arm64, arguments; `$pid`, `$fd` and `$read` are there.
///
/// Each of them is had of a process of one's own that nothing keeps: see the control below.
const OUTSIDE: &[(&str, u32, u32, &str)] = &[
    ("ptrace(attach)", 101, 117, "16,$pid,0,0"),
    ("ptrace(seize)", 101, 117, "0x4206,$pid,0,0"),
    ("process_vm_readv", 310, 270, "$pid,$local,1,$remote,1,0"),
    ("process_vm_writev", 311, 271, "$pid,$local,1,$remote,1,0"),
    ("pidfd_getfd", 438, 438, "$fd,0,0"),
    ("pidfd_send_signal(KILL)", 424, 424, "$fd,9,0,0"),
    ("kill(SEGV)", 62, 129, "$pid,11"),
    ("kill(ABRT)", 62, 129, "$pid,6"),
    ("kill(STOP)", 62, 129, "$pid,19"),
    ("kill(CONT)", 62, 129, "$pid,18"),
    ("setns(all of them)", 308, 268, "$fd,0x7C020000"),
    ("setns(user)", 308, 268, "$fd,0x10000000"),
    ("prlimit(core)", 302, 261, "$pid,4,$limits,0"),
    ("prlimit(read)", 302, 261, "$pid,4,0,$limits"),
    ("setpriority", 141, 140, "0,$pid,19"),
    ("sched_setaffinity", 203, 122, "$pid,8,$mask"),
    ("sched_setscheduler(idle)", 144, 119, "$pid,5,$zero"),
    ("ioprio_set", 251, 30, "1,$pid,0x6000"),
    ("kcmp", 312, 272, "$pid,$$+0,0,0,0"),
    ("move_pages", 279, 239, "$pid,1,$pages,0,$zero,0"),
];

/// Files of a process that are opened for writing.
const FILES: [&str; 5] = [
    "oom_score_adj",
    "coredump_filter",
    "comm",
    "clear_refs",
    "mem",
];

/// Makes these calls on, and opens these files of, each process that it is given, and prints what was
/// not refused. An argument that the kernel does not like is no refusal: it had been let that far.
fn attack(calls: &[(&str, u32, u32, &str)], files: &[&str]) -> String {
    let mut script = String::from(
        "use strict; my $buffer = \"\\0\" x 64; my $local = pack('PQ', $buffer, 16); \
         my $remote = pack('QQ', 0x400000, 16); my $limits = pack('QQ', 0, 0); \
         my $mask = pack('Q', 1); my $zero = \"\\0\" x 64; my $pages = pack('Q', 0x400000); \
         for my $pid (@ARGV) { my $fd = syscall(434, $pid + 0, 0); die 'no pidfd' if $fd < 0; $pid += 0; ",
    );
    for (name, x86, arm, arguments) in calls {
        let number = if cfg!(target_arch = "aarch64") {
            arm
        } else {
            x86
        };
        script.push_str(&format!(
            "{{ $! = 0; my $r = syscall({number},{arguments}); print \"no {name}\\n\" if $! == 38; \
             print \"{name}\\n\" if $r >= 0 || ($! != 1 && $! != 13 && $! != 3 && $! != 38); }} "
        ));
    }
    for file in files {
        script.push_str(&format!(
            "print \"{file}\\n\" if open(my $f, '>', \"/proc/$pid/{file}\"); "
        ));
    }
    script.push_str("} print \"done\\n\";");
    script
}

#[tokio::test]
async fn no_system_call_of_the_humans_reaches_in() {
    let Some(mut host) = Host::new() else { return };
    let running = host.start("echo up; exec sleep 60").await;
    let mut output = running.output.try_clone().unwrap();
    std::io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    let pids = host.pids();
    assert!(pids.len() >= 2, "{pids:?}");
    let calls: Vec<_> = OUTSIDE.iter().map(|call| call.0).collect();
    // Also with every capability that one can give oneself.
    for before in [&[PERL][..], &["/usr/bin/unshare", "-Ur", PERL]] {
        let mut attacker = Command::new(before[0]);
        attacker.args(&before[1..]).uid(HUMAN).gid(HUMAN);
        attacker.args(["-e", &attack(OUTSIDE, &FILES)]);
        let attacker = attacker.args(pids.iter().map(ToString::to_string));
        let output = attacker.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.starts_with("unshare:") {
            skipped(&format!("a human has no user namespaces here: {errors}"));
            continue;
        }
        let reached: Vec<&str> = said
            .lines()
            .filter(|line| !calls.iter().any(|call| *line == format!("no {call}")))
            .collect();
        assert_eq!(reached, ["done"], "{before:?}: {errors}");
    }
    assert_eq!(host.pids(), pids, "all of it lives");
    let files = fs::read_dir(host.project()).unwrap().count();
    assert_eq!(files, 0, "it dumped");
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
}

#[test]
fn the_same_calls_reach_a_process_that_is_not_sealed() {
    if !rustix::process::geteuid().is_root() {
        skipped("needs root: the attacker is another human");
        return;
    }
    let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if !["", "0"].contains(&yama.trim()) {
        skipped("Yama keeps every process from tracing here, sealed or not");
        return;
    }
    // So that the test above can fail: what it tries is possible where nothing is in the way.
    let reaches = |script: &str| {
        let mut victim = Command::new("/bin/sleep");
        let mut victim = victim.arg("60").uid(HUMAN).gid(HUMAN).spawn().unwrap();
        let mut attacker = Command::new(PERL);
        attacker.args(["-e", script, &victim.id().to_string()]);
        let output = attacker.uid(HUMAN).gid(HUMAN).output().unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for call in OUTSIDE {
        let said = reaches(&attack(std::slice::from_ref(call), &[]));
        if said.starts_with("no ") {
            eprintln!("this kernel has {said}");
            continue;
        }
        assert_eq!(said, format!("{}\ndone\n", call.0));
    }
    for file in FILES {
        assert_eq!(reaches(&attack(&[], &[file])), format!("{file}\ndone\n"));
    }
}

#[tokio::test]
async fn abstract_sockets_lead_neither_out_nor_in() {
    let Some(mut host) = Host::new() else { return };
    let name = format!("holdfast-attack-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
    };
    let outside = UnixListener::bind_addr(&address).unwrap();
    outside.set_nonblocking(true).unwrap();
    let script = format!(
        "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
         print connect($s, pack('S a*', AF_UNIX, \"\\0{name}\")) ? 'OUT' : $!+0, \"\\n\"; \
         socket(my $l, AF_UNIX, SOCK_STREAM, 0) or die; \
         bind($l, pack('S a*', AF_UNIX, \"\\0{name}-in\")) && listen($l, 1) or die $!; \
         $| = 1; print \"up\\n\"; sleep 60;"
    );
    let running = host
        .start_program(Path::new(PERL), &["-e", &script], HUMAN)
        .await
        .unwrap();
    let mut output = running.output.try_clone().unwrap();
    let mut said = [0; 7];
    std::io::Read::read_exact(&mut output, &mut said).unwrap();
    // Nobody listens there, as far as the session sees.
    assert_eq!(String::from_utf8_lossy(&said), "111\nup\n");
    assert!(outside.accept().is_err());
    let inner = {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("{name}-in");
        std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap()
    };
    let reached = std::os::unix::net::UnixStream::connect_addr(&inner);
    assert!(reached.is_err(), "{reached:?}");
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
}

#[tokio::test]
async fn a_pid_that_is_used_again_brings_no_identity() {
    let Some(mut host) = Host::new() else { return };
    let path = host.scratch.path().join("sockets/broker.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&path, everybody).unwrap();
    // A child of the session's connects and ends; the session lives on.
    let script = "use Socket; if (!fork) { socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
                  connect($s, sockaddr_un('/run/holdfast/broker.sock')) or die $!; <$s>; exit 0 } \
                  wait; $| = 1; print \"up\\n\"; sleep 60;";
    let running = host
        .start_program(Path::new(PERL), &["-e", script], HUMAN)
        .await
        .unwrap();
    let (inside, _) = socket.accept().unwrap();
    let peer = Peer::of(&inside).unwrap();
    if peer.told.is_none() {
        skipped("the kernel tells a caller's cgroup from Linux 6.5 on");
        return;
    }
    assert_eq!(
        host.sessions.who(peer).unwrap(),
        holdfast_launch_agents::state::Party {
            session: running.begun.id,
            sub: None
        }
    );
    let child = *host.pids().iter().max().unwrap();
    inside.shutdown(std::net::Shutdown::Both).unwrap();
    let mut output = running.output.try_clone().unwrap();
    std::io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    // Of the session's own uid: all that is not the session's is where it runs.
    let uid = host
        .sessions
        .session(running.begun.id)
        .map(|session| session.phase);
    let Some(Phase::Running(own)) = uid else {
        panic!("it does not run: {uid:?}")
    };
    let same_pid = |_| {
        fs::write("/proc/sys/kernel/ns_last_pid", (child - 1).to_string()).ok()?;
        let script = format!(
            "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
             connect($s, sockaddr_un('{}')) or die $!; <$s>;",
            path.display()
        );
        let mut outsider = Command::new(PERL);
        let outsider = outsider.args(["-e", &script]).uid(own.uid).gid(own.uid);
        let mut outsider = outsider.spawn().unwrap();
        let (stream, _) = socket.accept().unwrap();
        let taken = outsider.id() == child.cast_unsigned();
        let peer = Peer::of(&stream).unwrap();
        drop(stream);
        outsider.wait().unwrap();
        let refused = host.sessions.who(peer);
        assert!(
            matches!(refused, Err(PeerError::Stranger(Stranger::Cgroup(id))) if id == running.begun.id),
            "{peer:?}: {refused:?}"
        );
        taken.then_some(())
    };
    // Somebody else may take the number first.
    if (0..50).find_map(same_pid).is_none() {
        skipped(&format!("the pid {child} could not be had again"));
    }
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
}
