//! A human's own shell in a running session, and terminals and pipes as shells' users expect them.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Tmux, bin, wait_until};
use holdfast_hardware_tests::world::World;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session that waits until the file `end` is there; the program itself says where it runs.
const WAITING: &str = "echo $HOLDFAST_SESSION > session; echo $$ > pid; readlink /proc/self/ns/pid > namespace; echo secret > /tmp/own; \
    until [ -e end ]; do sleep 0.1; done; exit 3";

struct Waiting {
    child: Child,
    project: PathBuf,
}

impl Waiting {
    fn start(world: &World, name: &str) -> Self {
        let project = world.scratch.folder(name);
        let mut command = world.broker.holdfast_command();
        let child = command
            .arg("run")
            .arg("--project")
            .arg(&project)
            .args(["--", "sh", "-c", WAITING])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(PATIENCE, "what is told", || {
            project.join("namespace").exists()
        });
        wait_until(PATIENCE, "what is told", || {
            !read(&project, "namespace").is_empty()
        });
        Self { child, project }
    }

    fn session(&self) -> String {
        read(&self.project, "session")
    }

    fn end(mut self) -> i32 {
        fs::write(self.project.join("end"), "").unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Runs `holdfast shell` with these lines on its standard input.
fn shell(world: &World, arguments: &[&str], lines: &str) -> (i32, String, String) {
    let mut command = world.broker.holdfast_command();
    piped(command.arg("shell").args(arguments), lines)
}

fn piped(command: &mut Command, lines: &str) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses may not read it.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_shell_is_in_the_session_and_on_record_and_is_the_humans_alone() {
    let Some(world) = World::sealed() else { return };
    let first = Waiting::start(&world, "first");
    let lines = "readlink /proc/self/ns/pid; cat /tmp/own; pwd; echo $HOLDFAST_SESSION; ls /root/.ssh /dev/tpm0; \
        grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status; cat /proc/self/cgroup; \
        ls /proc/self/fd | tr '\\n' ' '; echo; kill -0 $(cat pid) && echo SIGNALLED; exit 7\n";
    let (code, out, err) = shell(&world, &[], lines);
    assert_eq!(code, 7, "{out}{err}");
    let said: Vec<&str> = out.lines().collect();
    assert_eq!(said[0], read(&first.project, "namespace"));
    assert_eq!(said[1], "secret");
    assert_eq!(said[2], first.project.display().to_string());
    assert_eq!(said[3], first.session());
    // It has its three descriptors, and `ls` the folder that it reads.
    for wall in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "0::/",
        "0 1 2 3 ",
        "SIGNALLED",
    ] {
        assert!(said.contains(&wall), "{wall} is missing:\n{out}{err}");
    }
    // Its end is not the session's.
    let listing = world.broker.holdfast(&["sessions"]).success();
    assert!(listing.contains("running"), "{listing}");
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(
        record.contains("shell opened by uid 0 in session"),
        "{record}"
    );

    // With two, one has to be named.
    let second = Waiting::start(&world, "second");
    let (code, _, err) = shell(&world, &[], "");
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains(&first.session()) && err.contains(&second.session()),
        "{err}"
    );
    let (code, out, err) = shell(&world, &[&second.session()], "cat session\n");
    assert_eq!((code, out.trim()), (0, second.session().as_str()), "{err}");

    // Of somebody else's nothing is told, not even that it is there.
    let program = world.scratch.join("holdfast-cli");
    fs::copy(bin("holdfast"), &program).unwrap();
    fs::set_permissions(world.scratch.path(), Permissions::from_mode(0o711)).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger
        .args(["--reuid", "4242", "--regid", "4242", "--clear-groups"])
        .arg(&program)
        .arg("--socket")
        .arg(world.broker.socket())
        .args(["shell", &second.session()]);
    let (code, out, err) = piped(&mut stranger, "echo IN\n");
    assert_eq!(code, 2, "{err}");
    assert!(
        !out.contains("IN") && err.contains("you have no session"),
        "{err}"
    );

    // One that stands still opens none; it goes on as it was.
    world
        .broker
        .holdfast(&["sessions", "pause", &second.session()])
        .success();
    assert_eq!(shell(&world, &[&second.session()], "").0, 2);
    world
        .broker
        .holdfast(&["sessions", "resume", &second.session()])
        .success();
    assert_eq!((first.end(), second.end()), (3, 3));
    let (code, _, err) = shell(&world, &[], "");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("you have no session that runs"), "{err}");
}

#[test]
fn a_shell_has_a_terminal_of_its_own_with_jobs_and_ends_with_its_session() {
    let Some(world) = World::sealed() else { return };
    let waiting = Waiting::start(&world, "project");
    let holdfast = format!(
        "{} --socket {}",
        bin("holdfast").display(),
        world.broker.socket().display()
    );
    let tmux = Tmux::start(
        &world.scratch,
        "tmux",
        &format!("{holdfast} shell; echo \"code $?\"; stty -a | grep -o ' icanon'; exec cat"),
    );
    tmux.line("PS1='in: '; tty; stty size; echo $TERM | cut -c1-4");
    tmux.shows("/dev/pts/");
    tmux.shows("24 80");
    tmux.resize(100, 30);
    tmux.line("clear; until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; echo re\"\"sized");
    tmux.shows("resized");
    // Ctrl-C ends what runs, and not the shell.
    tmux.line("clear; echo ru\"\"ns; sleep 1000");
    tmux.shows("runs\n");
    tmux.key("C-c");
    tmux.shows("^C\nin:");
    tmux.line("echo co\"\"de $?");
    tmux.shows("code 130");
    // Ctrl-Z stops it, and it can be brought back.
    tmux.line("clear; echo ag\"\"ain; sleep 1000");
    tmux.shows("again\n");
    tmux.key("C-z");
    tmux.shows("Stopped                 sleep 1000\nin:");
    tmux.line("bg; jobs; kill %1; wait; echo g\"\"one");
    tmux.shows("gone");
    // What is left in the background holds nobody up.
    tmux.line("sleep 1000 & exit 5");
    tmux.shows("code 5");
    tmux.shows("icanon");

    let tmux = Tmux::start(
        &world.scratch,
        "tmux2",
        &format!("{holdfast} shell; echo \"code $?\"; exec cat"),
    );
    tmux.line("echo re\"\"ady");
    tmux.shows("ready");
    assert_eq!(waiting.end(), 3);
    tmux.shows("the session ended: the shell went with it");
    tmux.shows("code 137");
}

#[test]
fn a_shell_hears_that_its_human_has_gone() {
    let Some(world) = World::sealed() else { return };
    let waiting = Waiting::start(&world, "project");
    let mut command = world.broker.holdfast_command();
    let mut child = command
        .arg("shell")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(
            b"trap 'echo heard > hangup; exit' HUP; echo up > up; while :; do sleep 0.1; done\n",
        )
        .unwrap();
    wait_until(PATIENCE, "what is told", || {
        waiting.project.join("up").exists()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until(PATIENCE, "what is told", || {
        read(&waiting.project, "hangup") == "heard"
    });
    assert_eq!(waiting.end(), 3);
}

#[test]
fn a_run_from_a_terminal_can_be_piped_and_redirected() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let run = format!(
        "{} --socket {} run --",
        bin("holdfast").display(),
        world.broker.socket().display()
    );
    let tmux = Tmux::start(
        &world.scratch,
        "tmux",
        &format!(
            "cd {}; {run} sh -c 'echo out; echo err >&2; tty' | tr a-z A-Z; \
             echo piped | {run} sh -c 'cat; exit 4'; echo \"code $?\"; \
             {run} cat > typed; echo \"code $?\"; \
             {run} sh -c 'echo ready; sleep 1000' < /dev/null; echo \"code $?\"; exec cat",
            project.display()
        ),
    );
    for shown in ["OUT", "err", "NOT A TTY", "piped", "code 4"] {
        tmux.shows(shown);
    }
    tmux.line("some words");
    tmux.key("C-d");
    tmux.shows("code 0");
    assert_eq!(read(&project, "typed"), "some words");
    tmux.shows("ready");
    tmux.key("C-c");
    tmux.shows("code 130");
}

#[test]
fn a_program_that_stops_itself_is_not_left_standing() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let ran = world.broker.run(
        &project,
        &["sh", "-c", "kill -STOP $$; echo went on; exit 7"],
    );
    assert_eq!(
        (ran.code, ran.stdout.trim()),
        (7, "went on"),
        "{}",
        ran.stderr
    );
}
