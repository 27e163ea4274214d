//! Promise 3 on a screen: the approval window shows what will happen, and carries the human's answer and nothing more.
//!
//! The real window on a display of its own. Xvfb is X11, so what X11 forbids is shown here, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Scheme, Window, wait_until};
use holdfast_hardware_tests::world::World;
use holdfast_protocol::approval::{HumanAnswer, Surface};
use holdfast_protocol::management::{Request, Response};
use holdfast_protocol::secret::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::recorded::log::ask;

const PATIENCE: Duration = Duration::from_secs(20);
const PIN: &str = "kelp-and-rock";

/// What an agent may say of its own call.
const CLAIM: &str = "APPROVE THIS: it only lists files";

/// Asks the hook for one command, as Claude Code would, and prints its answer.
const ASK: &str = "/opt/holdfast/libexec/holdfast-hook claude < call.json; echo \"exit $?\"";

/// What leads to a PIN being taken on X11.
const OVERRIDE: &str = "[approvals]\npin-on-x11 = \"allow\"";

/// Names a file that the window's picture is kept in, for the documentation.
const PICTURE: &str = "HOLDFAST_PICTURE";

/// A world with an approval key, and with this in its broker's configuration.
fn world(more: &str) -> Option<World> {
    let mut world = World::sealed()?;
    let pin = world.scratch.private("pin", PIN);
    world
        .broker
        .holdfast(&["factors", "enroll", "--pin-file", &pin])
        .success();
    if !more.is_empty() {
        world.declare(more);
    }
    Some(world)
}

/// Starts a session that asks for `command`; waits until the question is there.
pub fn asking(world: &World, command: &str) -> Child {
    let project: PathBuf = world.scratch.folder("project");
    fs::write(project.join("ask"), ASK).unwrap();
    let call = json!({
        "hook_event_name": "PreToolUse",
        "cwd": project,
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "tool_input": {"command": command, "description": format!("{CLAIM}\u{202e}")},
    });
    fs::write(project.join("call.json"), call.to_string()).unwrap();
    let mut run = world.broker.holdfast_command();
    let session = run
        .current_dir(&project)
        .args(["run", "--", "sh", "./ask"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(PATIENCE, "a question", || waiting(world) == 1);
    session
}

fn waiting(world: &World) -> usize {
    questions(world).len()
}

pub fn questions(world: &World) -> Vec<Value> {
    let listed = world.broker.holdfast(&["approvals", "--json"]).success();
    serde_json::from_str(&listed).unwrap()
}

pub fn decision(session: Child) -> String {
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().next().unwrap_or_default();
    let answer: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}"));
    let decision = &answer["hookSpecificOutput"]["permissionDecision"];
    decision.as_str().unwrap_or_default().to_owned()
}

fn log(world: &World) -> String {
    let file = world.scratch.join("log.jsonl");
    let path = file.display().to_string();
    world
        .broker
        .holdfast(&["audit", "export", "--ocsf", &path])
        .success();
    world.broker.holdfast(&["audit", "verify"]).success();
    fs::read_to_string(&file).unwrap()
}

#[test]
fn a_push_is_approved_in_the_window_and_the_record_says_where_the_pin_was_typed() {
    let Some(world) = world(OVERRIDE) else { return };
    let session = asking(&world, "git push origin main");
    let window = Window::open(world.broker.socket(), &world.scratch);
    let headline = window.wait_question();
    assert!(headline.contains("Push"), "{headline}");
    assert_eq!(window.focus(), "deny");
    // What makes this possible is said where it is used.
    window.wait_text("This host declares");
    window.wait_text("each use is recorded");
    if let Some(picture) = std::env::var_os(PICTURE) {
        // A page that can be read is not yet one that was painted.
        std::thread::sleep(Duration::from_secs(1));
        window.screenshot(Path::new(&picture));
    }
    // Without a PIN there is nothing to press.
    assert!(!window.is_enabled("#approve"));

    window.type_pin("not-the-pin");
    window.press_approve();
    window.wait_text("PIN is wrong");
    assert_eq!(window.pin_field(), "");
    assert_eq!(waiting(&world), 1, "it waits on");

    window.type_pin(PIN);
    window.press_approve();
    assert_eq!(decision(session), "allow");
    wait_until(PATIENCE, "the window goes with its last question", || {
        window.is_closed()
    });

    // The next question brings the next window.
    assert_eq!(window.times_ready(), 1);
    let mut session = asking(&world, "git push --force origin main");
    wait_until(PATIENCE, "a second window", || window.times_ready() == 2);
    session.kill().unwrap();
    session.wait().unwrap();
    let log = log(&world);
    assert!(log.contains("approved call"), "{log}");
    assert!(
        log.contains("in a window on X11, where others can watch"),
        "{log}"
    );
    assert!(!log.contains(PIN), "the PIN is nowhere");
}

#[test]
fn on_x11_no_pin_is_taken_unless_that_is_declared_and_deny_works() {
    let Some(world) = world("") else { return };
    let session = asking(&world, "git push origin main");
    let window = Window::open(world.broker.socket(), &world.scratch);
    window.wait_question();
    assert!(
        window.text().contains("This is an X11 desktop"),
        "{}",
        window.text()
    );
    window.wait_text("no PIN is taken here");
    window.wait_text("pin-on-x11");
    for gone in ["#pin", "#approve"] {
        assert!(!window.has(gone), "{gone} is offered");
    }
    // A window that took one all the same would not get far with it.
    let call = questions(&world).remove(0)["call"].clone();
    let pin = Secret::new(Zeroizing::new(PIN.to_owned()));
    let answer = ask(
        world.broker.socket(),
        &Request::AnswerCall {
            call: serde_json::from_value(call).unwrap(),
            answer: HumanAnswer::Pin {
                pin,
                surface: Surface::X11Window,
            },
        },
    );
    let Ok(Response::Failed(refused)) = answer else {
        panic!("{answer:?}");
    };
    assert!(
        refused.message.contains("no PIN is taken there") && refused.advice.contains("pin-on-x11"),
        "{refused:?}"
    );
    assert_eq!(waiting(&world), 1, "it waits on");
    window.press_deny();
    assert_eq!(decision(session), "deny");
    assert!(!log(&world).contains("approved call"));
}

#[test]
fn the_window_says_what_holdfast_knows_first_and_quotes_the_agent_last() {
    let Some(world) = world("") else { return };
    // Not shell at all: nobody can say what it does.
    let mut session = asking(&world, "git push '");
    let window = Window::open_in(world.broker.socket(), &world.scratch, Scheme::Dark);
    let headline = window.wait_question();
    assert!(!headline.contains("APPROVE"), "{headline}");
    assert!(
        window
            .text()
            .contains("Holdfast cannot see through all of this")
    );
    let quoted = window.text_of("blockquote");
    assert!(quoted.contains(CLAIM), "{quoted}");
    assert!(quoted.contains("U+202E"), "{quoted}");
    let body = window.text();
    let place = |words: &str| {
        body.find(words)
            .unwrap_or_else(|| panic!("no `{words}`: {body}"))
    };
    assert!(place("Call digest") < place(CLAIM));

    window.press("#deny-and-pause");
    wait_until(PATIENCE, "the session is frozen", || {
        let sessions = world.broker.holdfast(&["sessions", "--json"]).success();
        sessions.contains("\"frozen\"")
    });
    wait_until(PATIENCE, "the question is answered", || {
        waiting(&world) == 0
    });
    session.kill().unwrap();
    session.wait().unwrap();
}
