//! Ctrl-Z at `holdfast run`: it is a job of its human's shell, as the program would be by itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Tmux, bin, wait_until};
use holdfast_hardware_tests::world::World;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A human's shell in a terminal, where `run` is `holdfast run --` and `modes` shows the terminal's.
fn shell(world: &World, project: &Path) -> Tmux {
    let mut shell = Command::new("bash");
    let state = world.scratch.folder("state");
    shell
        .args(["--norc", "--noprofile", "-i"])
        .current_dir(project)
        .env("PS1", "at: ")
        .env("TERM", "tmux-256color")
        .env("XDG_STATE_HOME", state);
    let terminal = Tmux::open(&world.scratch, "shell", &shell, (80, 24));
    terminal.shows("at:");
    let run = format!(
        "alias run='{} --socket {} run --no-snapshot --'; clear",
        bin("holdfast").display(),
        world.broker.socket().display()
    );
    terminal.line(&run);
    terminal.line("stty -g > before; clear");
    terminal
}

/// The shell has its terminal as it had it before.
fn is_as_before(terminal: &Tmux) {
    terminal.line("clear; stty -g | cmp before && echo as be\"\"fore");
    terminal.shows("as before\n");
}

/// Ctrl-Z, which the shell says has stopped its job.
fn suspend(terminal: &Tmux) {
    terminal.key("C-z");
    terminal.shows("Stopped");
}

/// The process id of this world's `holdfast run`.
fn command_line(world: &World) -> String {
    let socket = world.broker.socket().display().to_string();
    let is_it = |entry: &std::fs::DirEntry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = words.split(|byte| *byte == 0).collect();
        words.contains(&socket.as_bytes()) && words.contains(&&b"--no-snapshot"[..])
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
    let found = processes.find(is_it).expect("it runs");
    found.file_name().into_string().unwrap()
}

fn no_session_is_left(world: &World) {
    wait_until(PATIENCE, "the session's end", || {
        let listed = world.sessions();
        listed.iter().all(|session| session["phase"] != "running")
    });
}

#[test]
fn ctrl_z_stops_it_for_its_shell_and_fg_brings_it_back() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let terminal = shell(&world, &project);
    terminal
        .line("run sh -c 'echo re\"\"ady; read -r word; echo \"heard $word\"; stty size; exit 7'");
    terminal.shows("ready\n");
    for _ in 0..2 {
        suspend(&terminal);
        is_as_before(&terminal);
        terminal.resize(90, 30);
        terminal.line("clear; fg");
        terminal.shows("read -r word");
    }
    terminal.line("words");
    terminal.shows("heard words");
    terminal.shows("30 90\nat:");
    terminal.line("echo code $?");
    terminal.shows("code 7");
    is_as_before(&terminal);
    no_session_is_left(&world);
}

#[test]
fn a_full_screen_program_that_was_stopped_is_drawn_anew() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    std::fs::write(project.join("long"), "a line of rock\n".repeat(200)).unwrap();
    let terminal = shell(&world, &project);
    terminal.line("run less long");
    terminal.shows("a line of rock");
    suspend(&terminal);
    is_as_before(&terminal);
    // In the background it would draw over the shell: it stops again instead.
    terminal.line("clear; bg");
    terminal.line("sleep 2; clear; jobs");
    terminal.shows("Stopped");
    assert!(
        !terminal.screen().contains("a line of rock"),
        "{}",
        terminal.screen()
    );
    terminal.line("clear; fg");
    terminal.shows("a line of rock");
    terminal.key("q");
    terminal.shows("less long\nat:");
    is_as_before(&terminal);
    no_session_is_left(&world);
}

#[test]
fn a_job_goes_on_in_the_background_and_comes_back() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let terminal = shell(&world, &project);
    terminal.line("run sh -c 'echo re\"\"ady; until [ -e on ]; do sleep 0.1; done; echo we\"\"nt on; read -r word; exit 5'");
    terminal.shows("ready\n");
    suspend(&terminal);
    terminal.line("clear; bg; touch on");
    terminal.shows("went on");
    is_as_before(&terminal);
    terminal.line("clear; fg");
    terminal.shows("exit 5'");
    std::thread::sleep(Duration::from_secs(1));
    terminal.line("word");
    terminal.shows("at:");
    terminal.line("echo code $?");
    terminal.shows("code 5");
    is_as_before(&terminal);
}

#[test]
fn a_stopped_session_is_ended_by_its_shells_kill_and_by_the_broker() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let terminal = shell(&world, &project);
    for end in ["kill %1", "kill -HUP %1"] {
        terminal.line("clear; run sh -c 'echo re\"\"ady; sleep 1000'");
        terminal.shows("ready\n");
        suspend(&terminal);
        terminal.line(&format!("clear; {end}; wait; echo ov\"\"er"));
        terminal.shows("over\n");
        no_session_is_left(&world);
        is_as_before(&terminal);
    }
    terminal.line("clear; run sh -c 'echo re\"\"ady; sleep 1000'");
    terminal.shows("ready\n");
    suspend(&terminal);
    for act in ["pause", "resume", "end"] {
        world.broker.holdfast(&["sessions", act, "--all"]).success();
    }
    no_session_is_left(&world);
    terminal.line("clear; fg; echo code $?");
    terminal.shows("code 137");
    is_as_before(&terminal);
}

#[test]
fn one_that_stops_itself_or_is_told_to_from_outside_is_a_stopped_job() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let terminal = shell(&world, &project);
    // Raw, and never cooked again: its human's terminal is all the same.
    terminal.line("run sh -c 'stty raw -echo; kill -STOP $$; stty sane; echo we\"\"nt on; exit 6'");
    terminal.shows("Stopped");
    is_as_before(&terminal);
    terminal.line("clear; fg; echo code $?");
    terminal.shows("went on");
    terminal.shows("code 6");
    terminal.line("clear; run sh -c 'echo re\"\"ady; read -r word; exit 4'");
    terminal.shows("ready\n");
    let told = Command::new("kill")
        .args(["-TSTP", &command_line(&world)])
        .status();
    assert!(told.unwrap().success());
    terminal.shows("Stopped");
    is_as_before(&terminal);
    terminal.line("clear; fg");
    terminal.shows("exit 4'");
    terminal.line("word");
    terminal.shows("at:");
    terminal.line("echo code $?");
    terminal.shows("code 4");
}

#[test]
fn one_with_pipes_stops_with_the_rest_of_its_job() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let terminal = shell(&world, &project);
    terminal.line("run sh -c 'echo re\"\"ady; until [ -e on ]; do sleep 0.1; done; echo we\"\"nt on; exit 3' | cat");
    terminal.shows("ready\n");
    suspend(&terminal);
    terminal.line("clear; touch on; sleep 1; echo sle\"\"pt");
    terminal.shows("slept");
    assert!(
        !terminal.screen().contains("went on"),
        "{}",
        terminal.screen()
    );
    terminal.line("fg; echo code ${PIPESTATUS[0]}");
    terminal.shows("went on");
}
