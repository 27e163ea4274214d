//! The credential helper against a real socket, asked by hand and by git itself: what git reads, and that no failure lets
//! it look elsewhere.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};

use holdfast_protocol::frame;
use holdfast_protocol::secret::Secret;
use holdfast_protocol::session::{
    GitCredentialOperation, GitCredentialRequest, GitCredentialResponse, SessionRequest,
};
use zeroize::Zeroizing;

use crate::support;
use crate::support::{answer, read_request, shim};

const ASKED: &[u8] = b"protocol=https\nhost=git.example\npath=org/repo.git\n\n";

fn placeholder(username: &str, password: &str) -> Vec<u8> {
    frame::encode(&GitCredentialResponse::Placeholder {
        username: username.to_owned(),
        password: Secret::new(Zeroizing::new(password.to_owned())),
    })
    .unwrap()
}

fn refused(why: &str) -> Vec<u8> {
    let why = why.to_owned();
    frame::encode(&GitCredentialResponse::Refused { why }).unwrap()
}

fn get(bytes: Vec<u8>) -> Output {
    support::run(&["credential", "git", "get"], ASKED, move |stream| {
        answer(stream, &bytes);
    })
}

/// The reason why git was told to ask nobody else; panics if it was not.
fn quit(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"quit=1\n");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_git_wrote_goes_out_as_it_came() {
    for (word, operation) in [
        ("get", GitCredentialOperation::Get),
        ("store", GitCredentialOperation::Store),
        ("erase", GitCredentialOperation::Erase),
    ] {
        let output = support::run(&["credential", "git", word], ASKED, move |mut stream| {
            let SessionRequest::GitCredential(GitCredentialRequest {
                operation: asked,
                attributes,
            }) = read_request(&mut stream)
            else {
                panic!("not git's question");
            };
            assert_eq!(asked, operation);
            assert_eq!(attributes.as_bytes(), ASKED);
            let nothing = frame::encode(&GitCredentialResponse::Nothing).unwrap();
            stream.write_all(&nothing).unwrap();
        });
        assert_eq!(output.status.code(), Some(0));
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
}

#[test]
fn git_reads_a_placeholder() {
    let output = get(placeholder("x-access-token", "hf_abc"));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"username=x-access-token\npassword=hf_abc\n");
    assert!(output.stderr.is_empty());
}

#[test]
fn a_refusal_ends_the_asking_and_says_why() {
    let output = get(refused("policy says no\u{1b}[31m\nusername=root"));
    let why = quit(&output);
    assert_eq!(why, "holdfast: policy says no [31m username=root\n");
}

#[test]
fn a_placeholder_cannot_smuggle_a_line_in() {
    for (username, password) in [
        ("a\nquit=0", "b"),
        ("a", "b\nhost=evil.example"),
        ("a", "b\0c"),
    ] {
        assert!(quit(&get(placeholder(username, password))).contains("not a credential"));
    }
}

#[test]
fn a_broker_that_fails_ends_the_asking() {
    assert!(quit(&get(Vec::new())).contains("hung up"));
    assert!(quit(&get(vec![0xff; 64])).contains("not valid"));
    let other = frame::encode(&serde_json::json!({"stdout": {}, "exit": "answered"})).unwrap();
    assert!(quit(&get(other)).contains("not valid"));
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing.sock");
    let output = shim(&missing, &["credential", "git", "get"], ASKED);
    assert!(quit(&output).contains("cannot be reached"));
    // Git reads nothing after these; the reason is visible all the same.
    let output = shim(&missing, &["credential", "git", "store"], ASKED);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}

#[test]
fn what_is_not_gits_reaches_no_broker() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("session.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let long = vec![b'x'; 16 * 1024 + 1];
    let get = ["credential", "git", "get"];
    assert!(quit(&shim(&socket, &get, &long)).contains("too long"));
    assert!(quit(&shim(&socket, &get, b"host=\xff\n")).contains("not UTF-8"));
    // An operation of a later git is ignored, as gitcredentials(7) has it.
    let output = shim(&socket, &["credential", "git", "capability"], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    for wrong in [
        &["credential"][..],
        &["credential", "git"],
        &["credential", "hg", "get"],
        &["credential", "git", "get", "more"],
    ] {
        let output = shim(&socket, wrong, ASKED);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty());
    }
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

/// Stock git, with the shim as its helper.
fn git(bytes: Vec<u8>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("session.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _): (UnixStream, _) = listener.accept().unwrap();
        answer(stream, &bytes);
    });
    let helper = format!("{} credential git", env!("CARGO_BIN_EXE_holdfast-hook"));
    let mut child = Command::new("git")
        .args(["-c", "credential.helper=", "-c"])
        .arg(format!("credential.helper={helper}"))
        // A second helper, which must not be asked after a refusal.
        .args([
            "-c",
            "credential.helper=!echo password=other; echo username=other; :",
        ])
        .args(["credential", "fill"])
        .current_dir(&folder)
        .env("HOLDFAST_SOCKET", &socket)
        .env("HOME", folder.path())
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(ASKED).unwrap();
    let output = child.wait_with_output().unwrap();
    server.join().unwrap();
    output
}

#[test]
fn git_itself_takes_the_placeholder() {
    let output = git(placeholder("dev", "hf_abc"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("username=dev\n") && said.contains("password=hf_abc\n"),
        "{said}"
    );
}

#[test]
fn git_itself_stops_at_a_refusal() {
    let output = git(refused("policy says no"));
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("policy says no"), "{said}");
}
