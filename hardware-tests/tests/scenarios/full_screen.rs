//! Promise 5, as a human sees it: a sealed agent's own interface works as it does without.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Agent, ModelServer, Tmux, Turn, git, wait_until};
use holdfast_hardware_tests::world::World;

/// The agent in a sealed session, as its human would start it in a terminal.
fn run(world: &World, agent: &Path) -> Command {
    let project = world.scratch.folder("project");
    git(&project, &["init", "-q"]);
    let mut run = world.broker.holdfast_command();
    run.current_dir(&project)
        .env("HOME", world.scratch.folder("home"))
        .env("TERM", "tmux-256color")
        .args(["run", "--project"])
        .arg(&project)
        .arg("--")
        .arg(agent);
    run
}

/// The longest line on the screen: a full-screen program draws as wide as its window is.
fn width(terminal: &Tmux) -> usize {
    let screen = terminal.screen();
    screen
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or_default()
}

/// Presses Ctrl-C until the program takes it for an end, as their own interfaces ask for.
fn interrupt(terminal: &Tmux) {
    wait_until(Duration::from_secs(60), "Ctrl-C ends it", || {
        terminal.key("C-c");
        std::thread::sleep(Duration::from_millis(300));
        terminal.screen().contains("[exit ")
    });
}

fn no_session_is_left(world: &World) {
    let listed = world.broker.holdfast(&["sessions", "--json"]).success();
    assert!(!listed.contains("\"running\""), "{listed}");
}

/// A model that answers, with a key that only the vault has.
fn model(world: &World) -> ModelServer {
    const KEY: &str = "sk-ant-api03-not-a-real-one";
    let model = ModelServer::start(KEY, [Turn::Text("The rock holds.".to_owned())]);
    let holdfast = |arguments: &[&str]| world.broker.holdfast(arguments).success();
    holdfast(&["secrets", "init", "--headless"]);
    let (url, value) = (model.url(), world.scratch.private("value", KEY));
    let add = [
        "secrets",
        "add",
        "anthropic",
        "--anthropic-key",
        "--base-url",
    ];
    holdfast(&[&add[..], &[&url, "--value-file", &value]].concat());
    model
}

#[test]
fn claude_codes_own_screen_takes_keys_sizes_and_ctrl_c() {
    let Some(agent) = Agent::Claude.program() else {
        return;
    };
    let Some(world) = World::sealed() else { return };
    let model = model(&world);
    let terminal = Tmux::open(&world.scratch, "full", &run(&world, &agent), (100, 30));
    terminal.shows("trust this folder");
    assert!(width(&terminal) > 70, "{}", terminal.screen());
    // It draws its question more than once as it starts, with the first answer chosen again.
    wait_until(Duration::from_secs(60), "its own prompt", || {
        if terminal.screen().contains("❯ Yes") {
            terminal.key("Enter");
        } else if terminal.screen().contains("❯ No") {
            terminal.key("Down");
        }
        std::thread::sleep(Duration::from_millis(300));
        terminal.screen().contains("shift+tab")
    });
    terminal.text("on rock");
    terminal.shows("on rock");
    terminal.resize(60, 20);
    wait_until(Duration::from_secs(30), "it draws anew", || {
        width(&terminal) <= 60 && terminal.screen().contains("on rock")
    });
    terminal.key("Enter");
    terminal.shows("The rock holds.");
    interrupt(&terminal);
    no_session_is_left(&world);
    drop(model);
}

#[test]
fn opencodes_own_screen_takes_keys_sizes_and_ctrl_c() {
    let Some(agent) = Agent::Opencode.program() else {
        return;
    };
    let Some(world) = World::sealed() else { return };
    let terminal = Tmux::open(&world.scratch, "full", &run(&world, &agent), (100, 30));
    terminal.shows("Ask anything");
    terminal.text("on rock");
    terminal.shows("on rock");
    terminal.resize(70, 24);
    wait_until(Duration::from_secs(30), "it draws anew", || {
        width(&terminal) <= 70 && terminal.screen().contains("on rock")
    });
    interrupt(&terminal);
    no_session_is_left(&world);
}

/// What a shell is used to: a job stops and goes on, a size is asked for, an exit code comes back.
#[test]
fn a_sealed_shell_has_job_control_and_its_windows_size() {
    let Some(world) = World::sealed() else { return };
    let mut shell = run(&world, Path::new("/bin/bash"));
    shell.args(["--norc", "-i"]);
    let terminal = Tmux::open(&world.scratch, "full", &shell, (80, 24));
    terminal.shows("bash-");
    terminal.text("stty size; tty\n");
    terminal.shows("24 80");
    terminal.shows("/dev/pts/0");
    terminal.resize(90, 30);
    terminal.text("\n");
    wait_until(Duration::from_secs(30), "the shell's own size", || {
        terminal.text("stty size\n");
        std::thread::sleep(Duration::from_millis(200));
        terminal.screen().contains("30 90")
    });
    terminal.text("sleep 500\n");
    std::thread::sleep(Duration::from_millis(500));
    terminal.key("C-z");
    terminal.shows("Stopped");
    terminal.text("kill %1; wait %1; cat\n");
    terminal.text("echoed\n");
    std::thread::sleep(Duration::from_millis(500));
    terminal.key("C-c");
    terminal.text("exit 42\n");
    terminal.shows("[exit 42]");
    no_session_is_left(&world);
}
