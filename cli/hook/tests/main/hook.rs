//! The hook binary against a real socket: what it sends, what it prints, and that every failure is a denial.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Output;

use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookExit, HookRequest, HookResponse};
use holdfast_protocol::session::SessionRequest;
use serde_json::{Value, json};

use crate::support;
use crate::support::{answer, read_request, shim};

const CALL: &str =
    r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"}}"#;

/// Runs the shim as Claude's hook while `broker` serves one connection.
fn run(input: &[u8], broker: impl FnOnce(UnixStream) + Send + 'static) -> Output {
    support::run(&["claude"], input, broker)
}

/// The reason of a denial; panics if the output is anything else.
fn denied(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        !output.stderr.is_empty(),
        "exit 2 without a word lets some agents go on"
    );
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let decision = &said["hookSpecificOutput"];
    assert_eq!(decision["hookEventName"], "PreToolUse");
    assert_eq!(decision["permissionDecision"], "deny");
    decision["permissionDecisionReason"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_agents_words_go_out_and_the_brokers_come_back() {
    let answer = json!({"hookSpecificOutput": {"permissionDecision": "allow"}});
    let sent = answer.clone();
    let output = run(CALL.as_bytes(), move |mut stream| {
        let SessionRequest::Hook(HookRequest { dialect, payload }) = read_request(&mut stream)
        else {
            panic!("not a hook's question");
        };
        assert_eq!(dialect, Dialect::Claude);
        assert_eq!(payload, serde_json::from_str::<Value>(CALL).unwrap());
        let response = HookResponse {
            stdout: sent,
            exit: HookExit::Answered,
        };
        // In pieces: an answer may arrive slowly.
        for byte in frame::encode(&response).unwrap() {
            stream.write_all(&[byte]).unwrap();
        }
    });
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        answer
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn a_block_is_exit_2() {
    let output = run(CALL.as_bytes(), |mut stream| {
        read_request(&mut stream);
        let response = HookResponse {
            stdout: json!({"x": 1}),
            exit: HookExit::Block,
        };
        stream
            .write_all(&frame::encode(&response).unwrap())
            .unwrap();
    });
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        json!({"x": 1})
    );
}

#[test]
fn a_broker_that_fails_is_a_denial() {
    let check = |broker: fn(UnixStream), word: &str| {
        let reason = denied(&run(CALL.as_bytes(), broker));
        assert!(reason.contains(word), "{reason}");
    };
    check(|_| {}, "broker");
    check(
        |mut stream| {
            read_request(&mut stream);
        },
        "hung up",
    );
    check(|stream| answer(stream, &[0, 0, 0, 9, b'{']), "hung up");
    check(|stream| answer(stream, &[0xff; 64]), "not valid");
    check(
        |stream| answer(stream, &frame::encode(&json!({"stdout": {}})).unwrap()),
        "not valid",
    );
    check(
        |stream| {
            let more = json!({"stdout": {}, "exit": "answered", "more": 1});
            answer(stream, &frame::encode(&more).unwrap());
        },
        "not valid",
    );
}

#[test]
fn without_a_broker_it_is_a_denial() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing.sock");
    assert!(denied(&shim(&missing, &["claude"], CALL.as_bytes())).contains("cannot be reached"));
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(denied(&shim(&stale, &["claude"], CALL.as_bytes())).contains("cannot be reached"));
}

#[test]
fn bad_input_is_a_denial_and_reaches_no_broker() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("session.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let long = vec![b' '; frame::MAX_FRAME + 1];
    for (arguments, input, word) in [
        (vec!["claude"], b"".as_slice(), "not JSON"),
        (vec!["claude"], b"{".as_slice(), "not JSON"),
        (vec!["claude"], b"\xff\xfe".as_slice(), "not JSON"),
        (vec!["claude"], long.as_slice(), "too long"),
        (vec![], CALL.as_bytes(), "configured wrongly"),
        (vec!["emacs"], CALL.as_bytes(), "configured wrongly"),
        (vec!["claude", "x"], CALL.as_bytes(), "configured wrongly"),
    ] {
        let reason = denied(&shim(&socket, &arguments, input));
        assert!(reason.contains(word), "{reason}");
    }
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}
