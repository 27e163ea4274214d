#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::fmt::Write;

use holdfast_protocol::Timestamp;
use holdfast_protocol::call::{Caller, HumanUid};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{CallId, HostId, SessionId, SpiffeId};
use serde_json::json;

use super::*;

fn arrival() -> Arrival {
    let kind = "claude".parse().unwrap();
    let session = SessionId::from_random([7; 16]);
    let domain = "example.org".parse().unwrap();
    Arrival {
        id: CallId::from_random([9; 16]),
        caller: Caller {
            session,
            spiffe_id: SpiffeId::session(&domain, HostId::from_random([1; 16]), &kind, session),
            kind,
            level: Level::L3,
            human: HumanUid(1000),
            runs_as: SessionUid::Own,
        },
        received: Timestamp::from_secs(1),
    }
}

fn payload(tool: &str, input: Value) -> Value {
    json!({
        "session_id": "b2f0", "transcript_path": "/x", "cwd": "/home/ann/app", "permission_mode": "default",
        "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input, "tool_use_id": "toolu_1",
    })
}

#[test]
fn tools_become_effects() {
    let mut table = String::new();
    for (tool, input) in [
        (
            "Bash",
            json!({"command": "git push origin main", "description": "harmless"}),
        ),
        ("Bash", json!({"cmd": "ls"})),
        ("Read", json!({"file_path": "/home/ann/app/a"})),
        (
            "Edit",
            json!({"file_path": "a", "old_string": "x", "new_string": "y"}),
        ),
        ("Write", json!({"file_path": "a", "content": "x"})),
        ("MultiEdit", json!({"file_path": "a", "edits": []})),
        ("NotebookEdit", json!({"notebook_path": "a.ipynb"})),
        ("Glob", json!({"pattern": "**/*.rs", "path": "src"})),
        ("Glob", json!({"pattern": "/home/ann/.ssh/*"})),
        ("Grep", json!({"pattern": "x"})),
        (
            "Grep",
            json!({"pattern": "x", "path": "src", "glob": ".env"}),
        ),
        (
            "WebFetch",
            json!({"url": "https://u:p@Docs.example.com:8443/a", "prompt": "x"}),
        ),
        ("WebFetch", json!({"url": "file:///etc/passwd"})),
        ("WebSearch", json!({"query": "x"})),
        ("Task", json!({"prompt": "rm -rf /"})),
        ("TodoWrite", json!({"todos": []})),
        ("mcp__github__create_issue", json!({"title": "x"})),
        ("Teleport", json!({})),
    ] {
        let Heard::Call { call, .. } =
            hear(&payload(tool, input), arrival(), &World::default()).unwrap()
        else {
            panic!("{tool}");
        };
        writeln!(
            table,
            "{tool}: {}",
            serde_json::to_string(&call.effects).unwrap()
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn other_events_decide_nothing() {
    for event in ["SessionStart", "UserPromptSubmit", "Stop"] {
        let message = json!({"hook_event_name": event, "cwd": "/x", "session_id": "y"});
        assert_eq!(
            hear(&message, arrival(), &World::default()).unwrap(),
            Heard::Nothing
        );
    }
    let ended = json!({"hook_event_name": "PostToolUse", "cwd": "/x", "tool_name": "Bash", "tool_use_id": "toolu_1"});
    assert_eq!(
        hear(&ended, arrival(), &World::default()).unwrap(),
        Heard::Ended {
            tool_use_id: "toolu_1".into()
        }
    );
}

#[test]
fn what_is_not_a_hooks_message_is_refused() {
    for message in [
        json!(null),
        json!([]),
        json!({"hook_event_name": "PreToolUse"}),
        json!({"hook_event_name": "PreToolUse", "cwd": "relative", "tool_name": "Bash"}),
        json!({"hook_event_name": "PreToolUse", "cwd": "/x"}),
        json!({"hook_event_name": "PreToolUse", "cwd": "/x", "tool_name": "Ba\nsh"}),
        json!({"hook_event_name": "PreToolUse", "cwd": "/x", "tool_name": 5}),
    ] {
        assert!(
            hear(&message, arrival(), &World::default()).is_err(),
            "{message}"
        );
    }
}
