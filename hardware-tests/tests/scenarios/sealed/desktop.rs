//! A human's desktop, with the real programs that hold it together: none of them is to be had from inside, whatever the
//! session's environment was told.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{skipped, wait_until};
use holdfast_hardware_tests::world::World;
use rustix::process::{Pid, Signal, kill_process};

/// Connects to each of its arguments, a path or `@` and an abstract name; prints those it reached. The launcher's
/// socket is the one that has bounds between messages.
const CONNECT: &str = r"
import socket, sys
for name in sys.argv[1:]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            s = socket.socket(socket.AF_UNIX, kind); s.connect(chr(0) + name[1:] if name[0] == '@' else name); print('REACHED', name)
        except OSError:
            pass
print('tried')
";

struct Desktop(Vec<Child>);

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Told, so that the display takes its socket along.
            kill_process(Pid::from_child(child), Signal::TERM).ok();
            child.wait().ok();
        }
    }
}

impl Desktop {
    fn add(&mut self, command: &mut Command, socket: &Path) {
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.0.push(quiet.spawn().unwrap());
        wait_until(Duration::from_secs(30), "a server of the desktop", || {
            socket.exists()
        });
    }
}

fn connects(
    world: &World,
    project: Option<&Path>,
    names: &[String],
    environment: &[(&str, String)],
) -> String {
    let mut command = match project {
        Some(project) => {
            let mut command = world.broker.holdfast_command();
            command
                .current_dir(project)
                .arg("run")
                .arg("--project")
                .arg(project);
            command.args(["--", "/usr/bin/python3"]);
            command
        }
        None => Command::new("/usr/bin/python3"),
    };
    command
        .args(["-S", "-c", CONNECT])
        .args(names)
        .stdin(Stdio::null());
    let environment = environment.iter().map(|(name, value)| (name, value));
    let output = command.envs(environment).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.ends_with("tried\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn no_part_of_the_humans_desktop_is_reached_from_inside() {
    let Some(world) = World::sealed() else { return };
    for program in ["ssh-agent", "dbus-daemon", "Xvfb"] {
        if !Path::new("/usr/bin").join(program).exists() {
            skipped(&format!("a desktop needs {program}"));
            return;
        }
    }
    let project = world.scratch.folder("project");
    let runtime = world.scratch.folder("r");
    let at = |name: &str| -> PathBuf { runtime.join(name) };
    let mut desktop = Desktop(Vec::new());
    desktop.add(
        Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(at("agent")),
        &at("agent"),
    );
    let bus = format!("unix:path={}", at("bus").display());
    desktop.add(
        Command::new("dbus-daemon").args(["--session", "--nofork", "--address", &bus]),
        &at("bus"),
    );
    // It says which display it took.
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    desktop.0.push(server);
    let mut display = String::new();
    said.read_line(&mut display).unwrap();
    let display = display.trim().to_owned();
    let _wayland = UnixListener::bind(at("wayland-0")).unwrap();
    let x11 = format!("/tmp/.X11-unix/X{display}");
    let mut names: Vec<String> = ["agent", "bus", "wayland-0"]
        .map(|name| at(name).display().to_string())
        .into();
    names.extend([x11.clone(), format!("@{x11}")]);
    let environment = [
        ("SSH_AUTH_SOCK", names[0].clone()),
        ("DBUS_SESSION_BUS_ADDRESS", bus),
        ("XDG_RUNTIME_DIR", runtime.display().to_string()),
        ("WAYLAND_DISPLAY", "wayland-0".to_owned()),
        ("DISPLAY", format!(":{display}")),
    ];
    let all: String = names
        .iter()
        .map(|name| format!("REACHED {name}\n"))
        .collect();
    assert_eq!(
        connects(&world, None, &names, &environment),
        format!("{all}tried\n")
    );
    assert_eq!(
        connects(&world, Some(&project), &names, &environment),
        "tried\n"
    );
}

#[test]
fn none_of_the_brokers_sockets_is_reached_from_inside() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    // With a service that may ask, there is a socket for services.
    world.declare(
        "[[workload]]\nname = \"mqtt-bridge\"\nselectors = [\"systemd:id:mqtt-bridge.service\"]",
    );
    let project = world.scratch.folder("project");
    let folders = [world.scratch.socket_dir(), world.scratch.folder("l")];
    let entries = folders.iter().flat_map(|at| fs::read_dir(at).unwrap());
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.is_dir())
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    let called = |name: &String| name.rsplit('/').next().unwrap().to_owned();
    assert_eq!(
        names.iter().map(called).collect::<Vec<_>>(),
        [
            "launcher.sock",
            "management.sock",
            "run.sock",
            "workload.sock"
        ]
    );
    let all: String = names
        .iter()
        .map(|name| format!("REACHED {name}\n"))
        .collect();
    assert_eq!(connects(&world, None, &names, &[]), format!("{all}tried\n"));
    assert_eq!(connects(&world, Some(&project), &names, &[]), "tried\n");
}

#[test]
fn a_connection_to_the_broker_is_not_handed_in() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    // Opened by the human, who may manage: whoever writes on it might.
    let ask = "import socket; s = socket.socket(fileno=0); ask = b'{\"do\":\"status\"}'; \
               s.sendall(len(ask).to_bytes(4, 'big') + ask); print('ANSWER', s.recv(4096))";
    let python = ["/usr/bin/python3", "-S", "-c", ask];
    let handed = |mut command: Command| {
        let connection = UnixStream::connect(world.broker.socket()).unwrap();
        let output = command
            .stdin(std::os::fd::OwnedFd::from(connection))
            .output();
        let output = output.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let mut outside = Command::new(python[0]);
    outside.args(&python[1..]);
    let (said, _) = handed(outside);
    assert!(said.contains("attested"), "{said}");
    let mut inside = world.broker.holdfast_command();
    inside
        .current_dir(&project)
        .args(["run", "--"])
        .args(python);
    let (said, why) = handed(inside);
    assert_eq!(said, "", "{why}");
    assert!(why.contains("no connection to a server"), "{why}");
}
