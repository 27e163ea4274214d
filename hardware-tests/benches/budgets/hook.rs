//! How long an agent waits for a tool call's decision: the shim's whole life, with a record on the disk.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::world::World;
use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookRequest};
use holdfast_protocol::session::SessionRequest;
use serde_json::json;

use crate::own_program;
use crate::samples::{tell, time, told};
use crate::table::{Figure, Row};

const SHIM: &str = "/opt/holdfast/libexec/holdfast-hook";
const CALL: &str = "call.json";
const ALLOWED: &str = r#""permissionDecision":"allow""#;
const RUNS: usize = 300;

pub fn measure() -> Vec<Row> {
    let Some(world) = World::sealed() else {
        return Vec::new();
    };
    let project = world.scratch.folder("project");
    let call = json!({
        "hook_event_name": "PreToolUse",
        "cwd": project,
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "tool_input": {"command": "cargo test"},
    });
    std::fs::write(project.join(CALL), call.to_string()).unwrap();
    let ran = (world.broker).run(&project, &[&own_program(), "inside", "hook"]);
    let output = ran.success();
    let names = ["hook", "idle", "answer", "true", "fdatasync"];
    let [shim, idle, answer, empty, sync] = names.map(|name| told(&output, name));
    let (Figure::Time(spawn), Figure::Time(durable)) = (empty.median(), sync.median()) else {
        return Vec::new();
    };
    vec![
        Row {
            name: "hook decision, allow, whole process".to_owned(),
            median: shim.median(),
            p99: shim.p99(),
            reference: (
                "spawn /bin/true + fdatasync".to_owned(),
                Figure::Time(spawn + durable),
            ),
            goal: "ratio <= 1.5",
        },
        Row {
            name: "  of it: the shim's start".to_owned(),
            median: idle.median(),
            p99: idle.p99(),
            reference: ("spawn /bin/true".to_owned(), empty.median()),
            goal: "-",
        },
        Row {
            name: "  of it: the broker's answer".to_owned(),
            median: answer.median(),
            p99: answer.p99(),
            reference: ("one fdatasync".to_owned(), sync.median()),
            goal: "-",
        },
        Row {
            name: "  of it: one fdatasync".to_owned(),
            median: sync.median(),
            p99: sync.p99(),
            reference: ("spawn /bin/true".to_owned(), empty.median()),
            goal: "-",
        },
    ]
}

/// In the session: each in turn, so that all meet the same machine.
pub fn inside() {
    let allowed = Command::new(SHIM)
        .arg("claude")
        .stdin(File::open(CALL).unwrap())
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&allowed.stdout).into_owned();
    assert!(answer.contains(ALLOWED), "{answer}");

    let file = File::create("synced").unwrap();
    let [mut shim, mut idle, mut answer, mut empty, mut sync] = [const { Vec::new() }; 5];
    let question = question();
    for run in 0..RUNS {
        shim.push(succeed(Command::new(SHIM).arg("claude")));
        // It refuses to be asked for nothing, and has started all the same.
        idle.push(spawn(&mut Command::new(SHIM)).1);
        answer.push(time(|| ask(&question)).1);
        empty.push(succeed(&mut Command::new("/bin/true")));
        let offset = run as u64 * 4096;
        file.write_all_at(&[run as u8; 4096], offset).unwrap();
        sync.push(time(|| file.sync_data().unwrap()).1);
    }
    tell("hook", &shim);
    tell("idle", &idle);
    tell("answer", &answer);
    tell("true", &empty);
    tell("fdatasync", &sync);
}

fn succeed(command: &mut Command) -> Duration {
    let (exit, took) = spawn(command);
    assert!(exit.success());
    took
}

fn spawn(command: &mut Command) -> (ExitStatus, Duration) {
    command
        .stdin(File::open(CALL).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    time(|| command.status().unwrap())
}

/// What the shim sends for the call.
fn question() -> Vec<u8> {
    let payload = serde_json::from_reader(File::open(CALL).unwrap()).unwrap();
    let request = SessionRequest::Hook(HookRequest {
        dialect: Dialect::Claude,
        payload,
    });
    frame::encode(&request).unwrap()
}

fn ask(question: &[u8]) {
    let endpoint = std::env::var("SPIFFE_ENDPOINT_SOCKET").unwrap();
    let mut stream = UnixStream::connect(endpoint.trim_start_matches("unix://")).unwrap();
    stream.write_all(question).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains(ALLOWED), "{answer}");
}
