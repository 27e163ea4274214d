//! How long an agent waits for a tool call's decision: the shim's whole life, with a record on the disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::world::World;
use serde_json::json;

use crate::own_program;
use crate::samples::{tell, time, told};
use crate::table::{Figure, Row};

const SHIM: &str = "/opt/holdfast/libexec/holdfast-hook";
const CALL: &str = "call.json";
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
    let [shim, empty, sync] = ["hook", "true", "fdatasync"].map(|name| told(&output, name));
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
    assert!(
        answer.contains(r#""permissionDecision":"allow""#),
        "{answer}"
    );

    let file = File::create("synced").unwrap();
    let (mut shim, mut empty, mut sync) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        shim.push(spawn(Command::new(SHIM).arg("claude")));
        empty.push(spawn(&mut Command::new("/bin/true")));
        let offset = run as u64 * 4096;
        file.write_all_at(&[run as u8; 4096], offset).unwrap();
        sync.push(time(|| file.sync_data().unwrap()).1);
    }
    tell("hook", &shim);
    tell("true", &empty);
    tell("fdatasync", &sync);
}

fn spawn(command: &mut Command) -> Duration {
    command
        .stdin(File::open(CALL).unwrap())
        .stdout(Stdio::null());
    let (exit, took) = time(|| command.status().unwrap());
    assert!(exit.success());
    took
}
