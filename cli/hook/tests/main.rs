//! The hook's program over real sockets: what is said, and that every failure is a no.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookExit, HookRequest, HookResponse};
use serde_json::{Value, json};

const SAID: &str =
    r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"}}"#;

fn hook(socket: &Path, arguments: &[&str], said: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast-hook"))
        .args(arguments)
        .env("HOLDFAST_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(said.as_bytes());
    child.wait_with_output().unwrap()
}

fn folder(test: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("holdfast-hook-{}-{test}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn is_denied(output: &Output) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["hookSpecificOutput"]["permissionDecision"], "deny");
    assert!(!output.stderr.is_empty());
}

/// A broker that answers one connection with these bytes.
fn broker(socket: &Path, answer: Vec<u8>) -> thread::JoinHandle<HookRequest> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut prefix = [0; frame::PREFIX];
        stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; frame::body_length(prefix).unwrap()];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(&answer).unwrap();
        frame::decode(&body).unwrap()
    })
}

#[test]
fn what_the_broker_answers_is_what_the_agent_hears() {
    let folder = folder("answers");
    let socket = folder.join("s");
    let stdout = json!({"hookSpecificOutput": {"permissionDecision": "allow"}});
    let answer = HookResponse {
        stdout: stdout.clone(),
        exit: HookExit::Answered,
    };
    let asked = broker(&socket, frame::encode(&answer).unwrap());
    let output = hook(&socket, &["claude"], SAID);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        stdout
    );
    let request = asked.join().unwrap();
    assert_eq!(request.dialect, Dialect::Claude);
    assert_eq!(
        request.payload,
        serde_json::from_str::<Value>(SAID).unwrap()
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_block_stops_the_agent() {
    let folder = folder("block");
    let socket = folder.join("s");
    let answer = HookResponse {
        stdout: json!({}),
        exit: HookExit::Block,
    };
    let asked = broker(&socket, frame::encode(&answer).unwrap());
    assert_eq!(hook(&socket, &["claude"], SAID).status.code(), Some(2));
    asked.join().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_failure_is_a_no() {
    let folder = folder("failures");
    is_denied(&hook(&folder.join("absent"), &["claude"], SAID));
    is_denied(&hook(&folder.join("absent"), &["nobody"], SAID));
    is_denied(&hook(&folder.join("absent"), &[], SAID));
    is_denied(&hook(&folder.join("absent"), &["claude"], "not json"));
    for (name, answer) in [
        ("silent", vec![]),
        ("cut", vec![0, 0, 0, 9, b'{']),
        ("huge", vec![0xff; 8]),
        ("wrong", frame::encode(&json!({"yes": true})).unwrap()),
    ] {
        let socket = folder.join(name);
        let asked = broker(&socket, answer);
        is_denied(&hook(&socket, &["claude"], SAID));
        asked.join().unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}
