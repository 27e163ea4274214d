//! Two sessions of two projects, at once: the second is at the first with all that leads from one program to another.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use holdfast_hardware_tests::world::World;

/// Leaves something of every kind that is its session's own, and says where.
const FIRST: &str = r"
import ctypes, os, pathlib, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
for place in ('file', '/tmp/apart', '/dev/shm/apart', os.path.expanduser('~/apart'), os.path.expanduser('~/.cache/apart')):
    pathlib.Path(place).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(place).write_text('APART')
assert libc.shmget(0x4807, 4096, 0o1666) >= 0
assert libc.msgget(0x4807, 0o1666) >= 0
name = socket.socket(socket.AF_UNIX); name.bind(chr(0) + 'apart'); name.listen()
server = socket.socket(); server.bind(('127.0.0.1', 4807)); server.listen()
print('up', os.getcwd(), flush=True)
time.sleep(120)
";

/// Tries to have it: each line of its output is something that it reached. Its own are there, as a control.
const SECOND: &str = r"
import ctypes, os, pathlib, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
project, sockets, pids = sys.argv[1], sys.argv[2], sys.argv[3].split(',')
def says(what, act):
    try:
        got = act()
    except OSError:
        return
    if got: print(what)
for place in (project + '/file', '/tmp/apart', '/dev/shm/apart', os.path.expanduser('~/apart'), os.path.expanduser('~/.cache/apart')):
    says(place, lambda: 'APART' in pathlib.Path(place).read_text())
says('project', lambda: os.listdir(project))
says('sockets', lambda: os.listdir(sockets))
says('shared memory', lambda: libc.shmget(0x4807, 4096, 0) >= 0)
says('message queue', lambda: libc.msgget(0x4807, 0) >= 0)
def connected(family, address):
    socket.socket(family).connect(address)
    return True
says('abstract name', lambda: connected(socket.AF_UNIX, chr(0) + 'apart'))
says('server', lambda: connected(socket.AF_INET, ('127.0.0.1', 4807)))
for pid in pids:
    says('pid', lambda: 'APART' in pathlib.Path('/proc/' + pid + '/environ').read_text())
    def signalled():
        os.kill(int(pid), 0)
        return int(pid) not in (os.getpid(), os.getppid())
    says('signal', signalled)
print('tried')
";

fn command(world: &World, project: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut command = world.broker.holdfast_command();
    command.current_dir(project).arg("run").arg("--project");
    command.arg(project).args(["--", "/usr/bin/python3", "-S"]);
    command.args(["-c", script]).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn started(world: &World, project: &Path) -> Child {
    let mut session = command(world, project, FIRST, &[]);
    let mut session = session.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let output = session.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, format!("up {}\n", project.display()));
    session
}

#[test]
fn two_sessions_of_two_projects_share_nothing() {
    let Some(world) = World::sealed() else { return };
    let (one, other) = (world.scratch.folder("one"), world.scratch.folder("other"));
    let mut first = started(&world, &one);
    let pids = world.launcher.as_ref().unwrap().pids();
    assert!(pids.len() >= 2, "{pids:?}");
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let folder = world.broker.socket().with_file_name("sessions");
    let folder = fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let arguments = [
        &one.display().to_string(),
        &folder.display().to_string(),
        &pids.join(","),
    ];
    let arguments = arguments.map(String::as_str);
    let tried = command(&world, &other, SECOND, &arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert_eq!(
        said,
        "tried\n",
        "{}",
        String::from_utf8_lossy(&tried.stderr)
    );

    // So that this can fail: what it looks for is found by who left it.
    let left = FIRST.replace(
        "print('up', os.getcwd(), flush=True)\ntime.sleep(120)\n",
        "",
    );
    assert_ne!(left, FIRST);
    let own = [&other.display().to_string(), "/run/holdfast", "1"];
    let mut found = command(&world, &other, &format!("{left}{SECOND}"), &own);
    let found = found.output().unwrap();
    let why = String::from_utf8_lossy(&found.stderr).into_owned();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    for what in [
        "/file",
        "/tmp/apart",
        "/dev/shm/apart",
        "/.cache/apart",
        "project",
        "sockets",
        "shared memory",
        "message queue",
        "abstract name",
        "server",
    ] {
        assert!(
            found.lines().any(|line| line.ends_with(what)),
            "{what}: {found}{why}"
        );
    }
    assert!(first.try_wait().unwrap().is_none(), "the first lives");
    first.kill().unwrap();
    first.wait().unwrap();
}
