//! What the human's other processes can do to a session that shares their uid: look at nothing, be nobody; but signal.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_hardware_tests::harness::{skipped, wait_until};
use holdfast_hardware_tests::world::World;
use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookRequest};
use holdfast_protocol::session::SessionRequest;

use super::{PATH, project, start};
use crate::support::{ACCOMPLICE, Human, Kind};

const PERL: &str = "/usr/bin/perl";

/// Name, number on x86-64, number on arm64, arguments; `$pid` and `$fd` are there.
const DENIED: &[(&str, u32, u32, &str)] = &[
    ("ptrace(attach)", 101, 117, "16,$pid,0,0"),
    ("ptrace(seize)", 101, 117, "0x4206,$pid,0,0"),
    ("process_vm_readv", 310, 270, "$pid,$local,1,$remote,1,0"),
    ("process_vm_writev", 311, 271, "$pid,$local,1,$remote,1,0"),
    ("pidfd_getfd", 438, 438, "$fd,0,0"),
    ("setns(all of them)", 308, 268, "$fd,0x6C020000"),
    ("setns(user)", 308, 268, "$fd,0x10000000"),
    ("setns(mnt)", 308, 268, "$fd,0x20000"),
    ("prlimit(core)", 302, 261, "$pid,4,$limits,0"),
    ("kcmp", 312, 272, "$pid,$$+0,0,0,0"),
    ("process_madvise", 440, 440, "$fd,$local,1,20,0"),
    ("perf_event_open", 298, 241, "$event,$pid,-1,-1,0"),
    ("move_pages", 279, 239, "$pid,1,$pages,0,$zero,0"),
];

/// What SECURITY.md says is not stopped.
const NOT_STOPPED: &[(&str, u32, u32, &str)] = &[
    ("signal", 62, 129, "$pid,18"),
    ("slow down", 141, 140, "0,$pid,19"),
    // Of message queues, which the program has none of.
    ("lower a limit", 302, 261, "$pid,12,$none,0"),
];

/// What would bring a core.
const DUMP: &[(&str, u32, u32, &str)] = &[
    ("prlimit(core)", 302, 261, "$pid,4,$limits,0"),
    ("signal", 62, 129, "$pid,11"),
];

/// A script that makes each call on each pid that it is given, and prints those that are not refused.
fn script(calls: &[(&str, u32, u32, &str)]) -> String {
    let mut script = String::from(
        "use strict; my $buffer = \"\\0\" x 64; my $local = pack('PQ', $buffer, 16); \
         my $remote = pack('QQ', 0x400000, 16); my $limits = pack('QQ', ~0, ~0); my $none = pack('QQ', 0, 0); \
         my $zero = \"\\0\" x 64; my $event = pack('LLQ', 1, 128, 0) . \"\\0\" x 112; my $pages = pack('Q', 0x400000); \
         for my $pid (@ARGV) { my $fd = syscall(434, $pid + 0, 0); die 'no pidfd' if $fd < 0; $pid += 0; ",
    );
    for (name, x86, arm, arguments) in calls {
        let number = if cfg!(target_arch = "aarch64") {
            arm
        } else {
            x86
        };
        script.push_str(&format!(
            "{{ $! = 0; my $r = syscall({number},{arguments}); \
             print \"{name}\\n\" if $r >= 0 || ($! != 1 && $! != 13 && $! != 38); }} "
        ));
    }
    script.push_str("} print \"done\\n\";");
    script
}

fn as_human(human: &Human<'_>, script: &str, pids: &[u32]) -> Vec<String> {
    let mut attacker = human.command(PERL.as_ref(), human.home(), PATH);
    attacker.args(["-e", script]);
    let output = attacker.args(pids.iter().map(ToString::to_string)).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    let (last, said) = said.split_last().expect("it ran to its end");
    assert_eq!(last, "done", "{output:?}");
    said.to_vec()
}

/// Each file of a process's that shows what it has, read or written by the human.
const FILES: &str = "for my $pid (@ARGV) { for my $file (qw(environ maps mem auxv stack syscall io)) { \
    my $path = \"/proc/$pid/$file\"; \
    if (open(my $f, '<', $path)) { print \"read $file\\n\" if defined sysread($f, my $b, 16) } } \
    for my $link (qw(exe root cwd fd/0 fd/1 ns/user ns/mnt ns/net)) { print \"link $link\\n\" if defined readlink(\"/proc/$pid/$link\") } \
    if (open(my $f, '+<', \"/proc/$pid/mem\")) { print \"mem\\n\" } \
    print \"root\\n\" if -e \"/proc/$pid/root/run/holdfast/session.sock\"; } print \"done\\n\";";

fn pids(world: &World) -> Vec<u32> {
    let pids = world.launcher.as_ref().unwrap().pids();
    assert!(pids.len() >= 2, "{pids:?}");
    pids
}

#[test]
fn the_humans_other_processes_look_at_nothing_of_it_and_join_nothing() {
    let Some(world) = World::sealed() else { return };
    if !Path::new(PERL).exists() {
        return skipped("perl makes the system calls");
    }
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    let mut session = start(
        &world,
        &human,
        &project,
        &["sh", "-c", "echo up; exec sleep 60"],
    );
    let pids = pids(&world);
    for pid in &pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    }
    let none = Vec::<String>::new();
    assert_eq!(as_human(&human, &script(DENIED), &pids), none);
    assert_eq!(as_human(&human, FILES, &pids), none);
    let mut join = String::from("print STDERR ''; ");
    for cgroup in world.launcher.as_ref().unwrap().sessions() {
        for file in ["cgroup.procs", "cgroup.freeze", "cgroup.kill"] {
            let path = cgroup.join(file);
            join.push_str(&format!(
                "print \"{file}\\n\" if open(my $f, '>', '{}'); ",
                path.display()
            ));
        }
    }
    join.push_str("print \"done\\n\";");
    assert_eq!(as_human(&human, &join, &[]), none);

    // And so that this can fail: the same reaches a process of theirs that is not sealed.
    let mut bare = human.command("/bin/sleep".as_ref(), human.home(), PATH);
    let mut bare = bare.arg("60").spawn().unwrap();
    wait_until(Duration::from_secs(5), "it runs", || {
        let name = fs::read_to_string(format!("/proc/{}/comm", bare.id()));
        name.is_ok_and(|name| name == "sleep\n")
    });
    let reached = as_human(&human, FILES, &[bare.id()]);
    for file in ["read environ", "link exe", "link ns/mnt", "mem"] {
        assert!(reached.iter().any(|one| one == file), "{reached:?}");
    }
    let reached = as_human(&human, &script(DENIED), &[bare.id()]);
    assert!(
        reached.iter().any(|one| one == "pidfd_getfd"),
        "{reached:?}"
    );
    bare.kill().unwrap();
    bare.wait().unwrap();

    session.kill().unwrap();
    session.wait().unwrap();
}

#[test]
fn a_signal_of_theirs_ends_it_and_brings_no_core() {
    let Some(world) = World::sealed() else { return };
    if !Path::new(PERL).exists() {
        return skipped("perl makes the system calls");
    }
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    let program = ["sh", "-c", "echo up; sleep 60"];
    let mut session = start(&world, &human, &project, &program);
    let found = pids(&world);
    let sleeps = found.iter().copied().filter(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name != "holdfast-launch\n")
    });
    let sleeps: Vec<u32> = sleeps.collect();
    // What SECURITY.md says is not stopped is not.
    let allowed = as_human(&human, &script(NOT_STOPPED), &sleeps);
    for (name, ..) in NOT_STOPPED {
        assert!(allowed.iter().any(|one| one == name), "{allowed:?}");
    }
    as_human(&human, &script(DUMP), &sleeps);
    let exit = session.wait().unwrap();
    assert!(!exit.success() && exit.signal().is_none(), "{exit:?}");
    let left: Vec<PathBuf> = fs::read_dir(&project)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "it dumped");
    let launcher = world.launcher.as_ref().unwrap();
    wait_until(Duration::from_secs(5), "nothing of it is left", || {
        launcher.sessions().is_empty()
    });
}

/// How nice a process is (proc_pid_stat(5)): the 19th field, the second may have spaces.
fn nice(pid: u32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(16).unwrap().parse().unwrap()
}

#[test]
fn what_it_does_to_its_own_uid_reaches_nobody_outside() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    let mut bare = human.command("/bin/sleep".as_ref(), human.home(), PATH);
    let mut bare = bare.arg("60").spawn().unwrap();
    let script = "renice -n 19 -u 1000 >/dev/null && nice; kill -9 -1; exit 1";
    let ran = human.run(&project, &["--"], &["bash", "-c", script], PATH);
    assert_eq!(ran.stdout, "19\n", "{ran:#?}");
    assert_eq!(nice(bare.id()), 0);
    assert!(bare.try_wait().unwrap().is_none(), "it was killed");
    bare.kill().unwrap();
    bare.wait().unwrap();
}

/// Writes a hook's frame: on a connection of its own, on one that a session hands out, and has the session write it.
const CALLER: &str = "
import os, socket, sys
folder, project, uid, frame = sys.argv[1], sys.argv[2], int(sys.argv[3]), open(sys.argv[4], 'rb').read()
os.chdir(folder)
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
def answer(connection):
    connection.settimeout(10)
    said = b''
    try:
        while part := connection.recv(65536):
            said += part
    except ConnectionError:
        pass
    return len(said) > 0
own = socket.socket(socket.AF_UNIX); own.connect('session.sock')
try: own.sendall(frame)
except OSError: pass
print('own', answer(own))
os.chdir(project)
for who in ('outsider', 'session'):
    door = socket.socket(socket.AF_UNIX); door.connect('door.sock')
    _, fds, _, _ = socket.recv_fds(door, 1, 1)
    handed = socket.socket(fileno=fds[0])
    try: (handed if who == 'outsider' else door).sendall(frame)
    except OSError: pass
    print(who, answer(handed))
";

#[test]
fn the_humans_other_processes_are_nobody_at_its_socket() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    let accomplice = ACCOMPLICE.replace("'ready'", "'up'");
    human.put("app/accomplice.py", &accomplice);
    let program = ["/usr/bin/python3", "-S", "accomplice.py"];
    let mut session = start(&world, &human, &project, &program);
    let payload = serde_json::json!({
        "hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "s",
        "cwd": "/", "tool_input": {"command": "true"},
    });
    let request = SessionRequest::Hook(HookRequest {
        dialect: Dialect::Claude,
        payload,
    });
    let frame = world.scratch.join("frame");
    fs::write(&frame, frame::encode(&request).unwrap()).unwrap();
    let sockets = world.broker.socket().with_file_name("sessions");
    let folder = fs::read_dir(&sockets).unwrap().next().unwrap().unwrap();
    // The folder of all of them is closed to the human; here they are helped past it.
    let mut closed = human.command("ls".as_ref(), human.home(), PATH);
    assert!(!closed.arg(&sockets).output().unwrap().status.success());
    let output = std::process::Command::new("/usr/bin/python3")
        .args(["-c", CALLER])
        .arg(folder.path())
        .arg(&project)
        .arg(human.uid().to_string())
        .arg(&frame)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said, "own False\noutsider False\nsession True\n",
        "{output:?}"
    );
    session.kill().unwrap();
    session.wait().unwrap();
}
