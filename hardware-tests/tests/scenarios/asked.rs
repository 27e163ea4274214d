//! Promise 3: what matters happens only with a human's proof over that very call.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(15);

/// Asks the hook for one command, as Claude Code would, and prints its answer.
const ASK: &str = "/opt/holdfast/libexec/holdfast-hook claude < call.json; echo \"exit $?\"";

fn project(world: &World) -> PathBuf {
    let project = world.scratch.folder("project");
    fs::write(project.join("ask"), ASK).unwrap();
    project
}

fn wants(project: &Path, command: &str) {
    let call = json!({
        "hook_event_name": "PreToolUse",
        "cwd": project,
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "tool_input": {"command": command},
    });
    fs::write(project.join("call.json"), call.to_string()).unwrap();
}

/// Starts a session that asks for `command`, and gives what it was answered later.
fn asking(world: &World, project: &Path, command: &str) -> Child {
    wants(project, command);
    let mut run = world.broker.holdfast_command();
    run.current_dir(project)
        .args(["run", "--", "sh", "./ask"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn answered(session: Child) -> Value {
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().next().unwrap_or_default();
    let mut answer: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}"));
    answer["hookSpecificOutput"].take()
}

pub fn questions(world: &World) -> Vec<Value> {
    let listed = world.broker.holdfast(&["approvals", "--json"]).success();
    serde_json::from_str(&listed).unwrap()
}

/// The one question that waits; its name.
pub fn question(world: &World) -> String {
    wait_until(PATIENCE, "a question", || !questions(world).is_empty());
    let questions = questions(world);
    assert_eq!(questions.len(), 1, "{questions:#?}");
    questions[0]["call"].as_str().unwrap().to_owned()
}

#[test]
fn the_harmless_is_allowed_and_the_forbidden_denied_with_a_reason() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    for (command, decision) in [
        ("echo hello > file", "allow"),
        ("cargo test", "allow"),
        ("cat ~/.ssh/id_ed25519", "deny"),
        ("cat /root/.aws/credentials", "deny"),
    ] {
        let answer = answered(asking(&world, &project, command));
        assert_eq!(
            answer["permissionDecision"], decision,
            "{command}: {answer}"
        );
        let reason = answer["permissionDecisionReason"].as_str().unwrap();
        assert!(reason.contains("Holdfast"), "{answer}");
    }
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(record.contains("denied by policy"), "{record}");
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn a_push_waits_for_the_pin_and_its_receipt_is_on_record() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let (right, wrong) = (
        world.scratch.private("right", "kelp-and-rock"),
        world.scratch.private("wrong", "not-the-pin"),
    );
    let factors = ["factors", "enroll", "--pin-file", &right];
    world.broker.holdfast(&factors).success();
    // One human, one key.
    assert_eq!(world.broker.holdfast(&factors).code, 1);

    let session = asking(&world, &project, "git push origin main");
    let id = question(&world);
    let approve = |pin: &str| {
        world
            .broker
            .holdfast(&["approvals", "approve", &id, "--pin-file", pin])
    };
    let refused = approve(&wrong);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("PIN is wrong"), "{refused:#?}");
    assert_eq!(questions(&world).len(), 1, "it waits on");
    approve(&right).success();
    let answer = answered(session);
    assert_eq!(answer["permissionDecision"], "allow", "{answer}");
    assert!(questions(&world).is_empty());
    // It was for that call, once.
    assert_ne!(approve(&right).code, 0);

    let exported = world.scratch.join("log.jsonl");
    let file = exported.display().to_string();
    world
        .broker
        .holdfast(&["audit", "export", "--ocsf", &file])
        .success();
    let log = fs::read_to_string(&exported).unwrap();
    let approval = log
        .lines()
        .find(|line| line.contains("approved call"))
        .expect("the receipt is on record");
    assert!(approval.contains(&id), "{approval}");
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn spelled_otherwise_a_push_waits_all_the_same() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    for command in [
        "git -C . push",
        "sh -c 'git push'",
        "g=git; $g push",
        "echo 'git push' | sh",
        "if true; then git push; fi",
        // Not shell at all: what cannot be read is asked about.
        "git push '",
    ] {
        let session = asking(&world, &project, command);
        let id = question(&world);
        world.broker.holdfast(&["approvals", "deny", &id]).success();
        let answer = answered(session);
        assert_eq!(answer["permissionDecision"], "deny", "{command}: {answer}");
    }
}

#[test]
fn a_click_is_not_enough_and_nobody_elses_pin_helps() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let session = asking(&world, &project, "git push --force origin main");
    let id = question(&world);
    // No approval key is enrolled: any PIN is nobody's.
    let file = world.scratch.private("pin", "kelp-and-rock");
    let refused = world
        .broker
        .holdfast(&["approvals", "approve", &id, "--pin-file", &file]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("factors enroll"), "{refused:#?}");
    // The PIN's file must be its owner's alone.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = world
        .broker
        .holdfast(&["approvals", "approve", &id, "--pin-file", &file]);
    assert_eq!(refused.code, 2, "{refused:#?}");
    world.broker.holdfast(&["approvals", "deny", &id]).success();
    assert_eq!(answered(session)["permissionDecision"], "deny");
}

#[test]
fn a_session_that_ends_takes_its_questions_with_it() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let mut session = asking(&world, &project, "git push");
    question(&world);
    session.kill().unwrap();
    session.wait().unwrap();
    wait_until(PATIENCE, "no question is left", || {
        questions(&world).is_empty()
    });
}
