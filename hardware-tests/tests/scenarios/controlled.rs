//! A session is in its human's hand: it ends when it is to, with all that it held, whatever fails around it.

mod crashed;
mod filled;
mod followed;
mod held;
mod many;
mod memory;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;
use serde_json::Value;

/// For what takes moments on a machine that has nothing else to do.
const SOON: Duration = Duration::from_secs(20);

/// A session of a shell with this script, once it has said its first line.
fn started(world: &World, project: &Path, script: &str) -> Child {
    let mut session = session(world, project, script)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = session.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    session
}

fn session(world: &World, project: &Path, script: &str) -> Command {
    let mut command = world.broker.holdfast_command();
    command.current_dir(project).arg("run").arg("--project");
    command.arg(project).args(["--", "sh", "-c", script]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The folders of the sessions' sockets.
fn sockets(world: &World) -> usize {
    fs::read_dir(world.broker.socket().with_file_name("sessions")).map_or(0, Iterator::count)
}

/// Waits until nothing of any session is left: no cgroup, no socket.
fn nothing_left(world: &World) {
    let launcher = world.launcher.as_ref().unwrap();
    wait_until(SOON, "every session to be gone", || {
        launcher.sessions().is_empty() && sockets(world) == 0
    });
}

#[test]
fn a_session_is_warned_and_then_ended_when_its_time_is_over() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.declare("[limits]\nlifetime-seconds = 4\n[limits.kinds.claude]\nidle-seconds = 2\nlifetime-seconds = 0");
    let project = world.scratch.folder("project");
    // It works all the time, which does not help it.
    let busy = ["sh", "-c", "while :; do :; done"];
    let ran = world.broker.run(&project, &busy);
    assert_eq!(ran.code, 137, "{ran:#?}");
    assert!(ran.stderr.contains("this session ends in 1 s"), "{ran:#?}");
    let why = "killed: it has lived as long as it may (4 s)";
    assert!(ran.stderr.contains(why), "{ran:#?}");

    // A native program's kind is its name.
    let claude = world.scratch.folder("bin").join("claude");
    fs::copy("/bin/sleep", &claude).unwrap();
    let mut idle = world.broker.holdfast_command();
    idle.current_dir(&project).args(["run", "--"]);
    idle.arg(&claude).arg("100");
    let output = idle.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(137), "{said}");
    let why = "killed: it has done nothing for as long as it may (2 s)";
    assert!(said.contains("unless it does something"), "{said}");
    assert!(said.contains(why), "{said}");

    let record = world.broker.holdfast(&["audit", "tail"]).success();
    for event in [
        "is ended: it has lived as long as it may",
        "is ended: it has done nothing",
        why,
        "has its bounds",
    ] {
        assert!(record.contains(event), "{event} is missing:\n{record}");
    }
    nothing_left(&world);
}

#[test]
fn sessions_are_shown_whole_and_stopped_one_by_one_or_all_at_once() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.declare("[limits]\nper-human = 3\nprocesses = 77");
    let project = world.scratch.folder("project");
    let script = "echo up; while :; do date +%N >beat; sleep 0.02; done";
    let mut running: Vec<Child> = (0..3).map(|_| started(&world, &project, script)).collect();

    // No more than policy gives one human.
    let one_more = world.broker.run(&project, &["true"]);
    assert_eq!(one_more.code, 3, "{one_more:#?}");
    assert!(
        one_more.stderr.contains("has 3 sessions already"),
        "{one_more:#?}"
    );

    let first = world.sessions()[0].clone();
    let id = first["session"].as_str().unwrap().to_owned();
    let details = &first["details"];
    assert_eq!(first["level"], "L3");
    assert!((70_000..71_000).contains(&details["uid"].as_u64().unwrap()));
    assert!(details["processes"].as_u64().unwrap() >= 2, "{details}");
    assert_eq!(details["bounds"]["processes"], 77);
    let shown = world.broker.holdfast(&["sessions", "show", &id]).success();
    for fact in ["L3", "host uid 70", "77 processes", "ends by", "running"] {
        assert!(shown.contains(fact), "{fact} is missing:\n{shown}");
    }
    let unkept = details["unkept"].as_array().unwrap();
    assert_eq!(!unkept.is_empty(), shown.contains("not bounded"), "{shown}");
    let one: Value = serde_json::from_str(
        &world
            .broker
            .holdfast(&["sessions", "show", &id, "--json"])
            .success(),
    )
    .unwrap();
    assert_eq!(one["session"], first["session"]);
    let unknown = "a".repeat(26);
    assert_eq!(
        world.broker.holdfast(&["sessions", "show", &unknown]).code,
        1
    );

    world
        .broker
        .holdfast(&["sessions", "pause", "--all"])
        .success();
    let phases = |world: &World| -> Vec<String> {
        let listed = world.sessions().into_iter();
        listed
            .map(|session| session["phase"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(phases(&world), ["frozen"; 3]);
    let beat = fs::read(project.join("beat")).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(fs::read(project.join("beat")).unwrap(), beat);
    world
        .broker
        .holdfast(&["sessions", "resume", "--all"])
        .success();
    assert_eq!(phases(&world), ["running"; 3]);

    let ended = world
        .broker
        .holdfast(&["sessions", "end", "--all"])
        .success();
    assert!(ended.contains(&id), "{ended}");
    for session in &mut running {
        // Told last: by then its record is durable, its socket is closed and nothing of it runs.
        assert_eq!(session.wait().unwrap().code(), Some(137));
    }
    assert_eq!(sockets(&world), 0);
    assert_eq!(phases(&world), ["ended"; 3]);
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "100"])
        .success();
    assert_eq!(record.matches("ended: killed").count(), 3, "{record}");
    let either = world.broker.holdfast(&["sessions", "end"]);
    assert_eq!(either.code, 2, "{either:#?}");
    nothing_left(&world);
}

#[test]
fn the_humans_other_programs_do_not_reach_a_sessions_socket() {
    const HUMAN: u32 = 4242;
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let mut session = started(&world, &project, "echo up; sleep 60");
    // The way there is open, as it is on a host: only the broker's own folder is in it.
    let socket_dir = world.scratch.socket_dir();
    for (folder, mode) in [(world.scratch.path(), 0o711), (&socket_dir, 0o755)] {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    let sockets = world.broker.socket().with_file_name("sessions");
    let mode = fs::metadata(&sockets).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let folder = fs::read_dir(sockets).unwrap().next().unwrap().unwrap();
    let connect = |socket: &Path| {
        let script = format!(
            "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
             print connect($s, sockaddr_un('{}')) ? 'REACHED' : $!+0",
            socket.display()
        );
        let mut outside = Command::new("/usr/bin/perl");
        outside.uid(HUMAN).gid(HUMAN).args(["-e", &script]);
        String::from_utf8(outside.output().unwrap().stdout).unwrap()
    };
    assert_eq!(connect(world.broker.socket()), "REACHED");
    assert_eq!(connect(&folder.path().join("session.sock")), "13");
    session.kill().unwrap();
    session.wait().unwrap();
    nothing_left(&world);
}
