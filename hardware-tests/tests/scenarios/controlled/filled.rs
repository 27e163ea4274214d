//! A disk that is filled: the session that fills it is ended, whatever else fills it pauses them, and the record goes on.

use std::fs;
use std::io::Read;
use std::path::Path;

use holdfast_hardware_tests::harness::{SmallDisk, wait_until};
use holdfast_hardware_tests::world::World;

use super::{SOON, nothing_left, started};

/// Asks the hook for one command once it may, as Claude Code would, and prints its answer.
const ASK: &str = "echo up; while ! test -e go; do sleep 0.05; done; \
                   /opt/holdfast/libexec/holdfast-hook claude < call.json; echo \"exit $?\"; sleep 100";

/// Takes all that there is in one moment, and does not stop there.
const FILL: &str =
    "echo up; cd \"$0\"; fallocate -l 300M x || fallocate -l 250M x; cat /dev/zero >y; sleep 100";

fn call() -> String {
    serde_json::json!({
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": { "command": "echo hello" },
        "cwd": "/",
    })
    .to_string()
}

/// Does what a human does whose disk is full: the files that fill it go.
fn free(homes: &Path) {
    for entry in fs::read_dir(homes).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            free(&path);
        } else if path.ends_with("x") || path.ends_with("y") {
            fs::remove_file(&path).unwrap();
        }
    }
}

/// A world whose broker keeps all that it keeps on a disk of its own.
fn world() -> Option<(World, SmallDisk)> {
    let mut world = World::sealed()?;
    world.broker.stop();
    let disk = SmallDisk::under(world.broker.state(), 320)?;
    world.broker.resume(&world.scratch);
    world.attested();
    Some((world, disk))
}

#[test]
fn one_session_that_fills_a_disk_is_ended_and_no_other() {
    let Some((world, _disk)) = world() else {
        return;
    };
    let beside = world.scratch.folder("beside");
    fs::write(beside.join("call.json"), call()).unwrap();
    let mut other = started(&world, &beside, ASK);

    // Its home, where the audit log lies as well; then its project, on a disk of the human's.
    let project = world.scratch.folder("project");
    let humans = SmallDisk::under(&project, 320).unwrap();
    let inside = project.display().to_string();
    for place in ["$HOME", &inside] {
        let fill = FILL.replace("$0", place);
        let filler = started(&world, &project, &fill);
        let output = filler.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(137), "{place}: {said}");
        let why = "killed: too little room is left on a disk that it writes to";
        assert!(said.contains(why), "{place}: {said}");
        // What it wrote to its home stays there. Where that is all that there was, the others stand still until their
        // human has freed some; where a look came in between, they never stood still.
        free(&world.broker.state().join("homes"));
    }
    drop(humans);

    fs::write(beside.join("go"), "").unwrap();
    let mut answer = String::new();
    let mut output = other.stdout.take().unwrap();
    wait_until(SOON, "the other's hook is answered", || {
        let mut some = [0; 4096];
        let read = output.read(&mut some).unwrap();
        answer.push_str(&String::from_utf8_lossy(&some[..read]));
        answer.contains("exit ")
    });
    assert!(answer.contains("exit 0"), "{answer}");
    assert_eq!(
        world
            .sessions()
            .iter()
            .filter(|s| s["phase"] == "running")
            .count(),
        1
    );
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    let event = "is ended: too little room is left on a disk";
    assert_eq!(record.matches(event).count(), 2, "{record}");
    world.broker.holdfast(&["audit", "verify"]).success();
    world
        .broker
        .holdfast(&["sessions", "end", "--all"])
        .success();
    other.wait().unwrap();
    nothing_left(&world);
}

#[test]
fn what_somebody_else_fills_pauses_sessions_until_there_is_room() {
    let Some((world, disk)) = world() else { return };
    let project = world.scratch.folder("project");
    let session = started(
        &world,
        &project,
        "echo up; while ! test -e go; do sleep 0.05; done; exit 7",
    );
    let phase = || world.sessions()[0]["phase"].as_str().unwrap().to_owned();
    disk.fill();
    wait_until(SOON, "it stands still", || phase() == "frozen");
    // Its human's word does not give it room.
    let id = world.sessions()[0]["session"].as_str().unwrap().to_owned();
    world
        .broker
        .holdfast(&["sessions", "resume", &id])
        .success();
    wait_until(SOON, "it stands still again", || phase() == "frozen");
    disk.clear();
    wait_until(SOON, "it goes on", || phase() == "running");
    fs::write(project.join("go"), "").unwrap();
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(
        said.contains("stands still: too little room is left"),
        "{said}"
    );
    assert!(said.contains("goes on: there is room again"), "{said}");
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(record.contains("there is room again"), "{record}");
    nothing_left(&world);
}
