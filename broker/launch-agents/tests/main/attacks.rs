//! Attacks that need a system call of their own: made for real, by a process of the human's outside,
//! and from inside.

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use holdfast_launch_agents::peer::{Peer, PeerError};

use crate::host::Host;
use crate::human::HUMAN;

const PERL: &str = "/usr/bin/perl";

/// Name, number on x86-64, number on arm64, arguments; `$pid`, `$fd` and `$read` are there.
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
    ("setns(all of them)", 308, 268, "$fd,0x6C020000"),
    ("setns(user)", 308, 268, "$fd,0x10000000"),
    ("prlimit(core)", 302, 261, "$pid,4,$limits,0"),
    ("prlimit(read)", 302, 261, "$pid,4,0,$limits"),
    ("setpriority", 141, 140, "0,$pid,5"),
    ("sched_setaffinity", 203, 122, "$pid,8,$mask"),
    ("sched_setscheduler(idle)", 144, 119, "$pid,5,$zero"),
    ("ioprio_set", 251, 30, "1,$pid,0x6000"),
    ("kcmp", 312, 272, "$pid,$$,0,0,0"),
    ("process_madvise", 440, 440, "$fd,$local,1,20,0"),
    ("perf_event_open", 298, 241, "$event,$pid,-1,-1,0"),
    ("move_pages", 279, 239, "$pid,1,$pages,0,$zero,0"),
];

#[tokio::test]
async fn no_system_call_of_the_humans_reaches_in() {
    let Some(mut host) = Host::new() else { return };
    if !Path::new(PERL).exists() {
        eprintln!("SKIPPED: needs {PERL} to make system calls");
        return;
    }
    let running = host.start("echo up; exec sleep 60").await;
    let mut output = running.output.try_clone().unwrap();
    std::io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    let pids = host.pids();
    assert!(pids.len() >= 2, "{pids:?}");
    let mut script = String::from(
        "use strict; my $buffer = \"\\0\" x 64; my $local = pack('PQ', $buffer, 16); \
         my $remote = pack('QQ', 0x400000, 16); my $limits = pack('QQ', ~0, ~0); \
         my $mask = pack('Q', 1); my $zero = \"\\0\" x 64; my $event = pack('LLQ', 1, 128, 0) . \"\\0\" x 112; \
         my $pages = pack('Q', 0x400000); my $reached = 0; \
         for my $pid (@ARGV) { my $fd = syscall(434, $pid + 0, 0); die 'no pidfd' if $fd < 0; $pid += 0; ",
    );
    for (name, x86, arm, arguments) in OUTSIDE {
        let number = if cfg!(target_arch = "aarch64") {
            arm
        } else {
            x86
        };
        script.push_str(&format!(
            "{{ $! = 0; my $r = syscall({number},{arguments}); \
             print \"{name} of $pid: $r $!\\n\" if $r >= 0 || ($! != 1 && $! != 13 && $! != 3 && $! != 38); }} "
        ));
    }
    for file in [
        "oom_score_adj",
        "coredump_filter",
        "comm",
        "clear_refs",
        "mem",
        "timerslack_ns",
    ] {
        script.push_str(&format!(
            "if (open(my $f, '>', \"/proc/$pid/{file}\")) {{ print \"wrote {file} of $pid\\n\" if syswrite($f, '0'); }} "
        ));
    }
    script.push_str("} print \"done\\n\";");
    let mut attacker = Command::new(PERL);
    attacker.args(["-e", &script]).uid(HUMAN).gid(HUMAN);
    let output = attacker
        .args(pids.iter().map(ToString::to_string))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "done\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(host.pids(), pids, "all of it lives");
    assert_eq!(
        fs::read_dir(host.project()).unwrap().count(),
        0,
        "it dumped"
    );
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
}

#[tokio::test]
async fn the_same_calls_reach_a_process_that_is_not_sealed() {
    if !rustix::process::geteuid().is_root() || !Path::new(PERL).exists() {
        eprintln!("SKIPPED: needs root and {PERL}");
        return;
    }
    // So that the test above can fail: what it tries is possible where nothing is in the way.
    let mut victim = Command::new("/bin/sleep");
    let mut victim = victim.arg("60").uid(HUMAN).gid(HUMAN).spawn().unwrap();
    let script = "my $pid = shift; $pid += 0; my $limits = pack('QQ', 0, 0); my $reached = 0; \
                  $reached++ if syscall(302, $pid, 4, $limits, 0) == 0; \
                  $reached++ if kill(18, $pid); $reached++ if setpriority(0, $pid, 5); \
                  $reached++ if open(my $f, '<', \"/proc/$pid/environ\"); print $reached;";
    let mut attacker = Command::new(PERL);
    attacker.args(["-e", script, &victim.id().to_string()]);
    let output = attacker.uid(HUMAN).gid(HUMAN).output().unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let reached: u32 = String::from_utf8_lossy(&output.stdout).parse().unwrap();
    if cfg!(target_arch = "x86_64") {
        assert_eq!(reached, 4);
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
    assert_eq!(
        host.sessions.who(Peer::of(&inside).unwrap()).unwrap(),
        holdfast_launch_agents::state::Party {
            session: running.begun.id,
            sub: None
        }
    );
    let child = *host.pids().iter().max().unwrap();
    inside.shutdown(std::net::Shutdown::Both).unwrap();
    let mut output = running.output.try_clone().unwrap();
    std::io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
    let same_pid = |_| {
        fs::write("/proc/sys/kernel/ns_last_pid", (child - 1).to_string()).ok()?;
        let script = format!(
            "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
             connect($s, sockaddr_un('{}')) or die $!; <$s>;",
            path.display()
        );
        let mut outsider = Command::new(PERL);
        let outsider = outsider.args(["-e", &script]).spawn().unwrap();
        let (stream, _) = socket.accept().unwrap();
        let taken = outsider.id() == child.cast_unsigned();
        let refused = host.sessions.who(Peer::of(&stream).unwrap());
        drop(stream);
        let mut outsider = outsider;
        outsider.wait().unwrap();
        assert!(
            matches!(refused, Err(PeerError::Stranger(_))),
            "{refused:?}"
        );
        taken.then_some(())
    };
    // Somebody else may take the number first.
    if (0..50).find_map(same_pid).is_none() {
        eprintln!("SKIPPED: the pid {child} could not be had again");
    }
    host.sessions.end(running.begun.id).unwrap();
    host.next_ended().await;
}
