//! `holdfast-approve` as its human meets it: a program at a terminal, and a broker at its socket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use holdfast_protocol::approval::{HumanAnswer, PinOnX11, Question, Quoted, Surface, Waits};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::management::{Request, Response};
use holdfast_protocol::{Sha256Digest, Timestamp, frame};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const PIN: &str = "kelp-and-rock";

/// The end of the PIN's prompt: what is typed before it is dropped, and the text above speaks of a PIN, too.
const PIN_PROMPT: &str = "leaves it unanswered): ";

fn question(tier: Tier) -> Question {
    Question {
        call: CallId::from_random([7; 16]),
        session: SessionId::from_random([8; 16]),
        agent: "claude".parse().unwrap(),
        human: HumanUid(1000),
        headline: "Push `main` to `origin`".to_owned(),
        effects: vec!["Push `main` to `origin`".to_owned()],
        tier,
        why: "the branch is protected".to_owned(),
        quoted: Quoted {
            tool: "Bash".to_owned(),
            arguments: "{\"command\":\"git push\u{1b}[2J\"}".to_owned(),
            omitted: 0,
        },
        directory: "/home/ada/kelp".to_owned(),
        digest: Sha256Digest::new([7; 32]),
        position: 1,
        waits: Waits::Late {
            gone: Timestamp::from_secs(1),
        },
        pin_on_x11: PinOnX11::Refuse,
    }
}

/// A broker with one question; it gives on what it is answered.
fn broker(folder: &Path, tier: Tier) -> (PathBuf, Receiver<HumanAnswer>) {
    let socket = folder.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut prefix = [0; frame::PREFIX];
            stream.read_exact(&mut prefix).unwrap();
            let mut body = vec![0; frame::body_length(prefix).unwrap()];
            stream.read_exact(&mut body).unwrap();
            let response = match frame::decode::<Request>(&body).unwrap() {
                Request::Approvals => Response::Approvals(vec![question(tier)]),
                Request::AnswerCall { answer, .. } => {
                    sender.send(answer).unwrap();
                    Response::Answered
                }
                other => panic!("{other:?}"),
            };
            stream
                .write_all(&frame::encode(&response).unwrap())
                .unwrap();
        }
    });
    (socket, answers)
}

fn program(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-approve"));
    command.arg("--socket").arg(socket);
    command
}

/// Runs it at a terminal of its own and types `keys`; gives what stood on that terminal.
fn at_a_terminal(mut command: Command, prompt: &str, keys: &str) -> (i32, String) {
    let human = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&human).unwrap();
    unlockpt(&human).unwrap();
    let name = ptsname(&human, Vec::new()).unwrap();
    let terminal = open(
        name.as_c_str(),
        OFlags::RDWR | OFlags::NOCTTY,
        Mode::empty(),
    )
    .unwrap();
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut child: Child = command
        .stdin(end(&terminal))
        .stdout(end(&terminal))
        .stderr(end(&terminal))
        .spawn()
        .unwrap();
    drop((terminal, command));
    let mut human = std::fs::File::from(human);
    let (mut shown, mut typed) = (String::new(), false);
    let mut bytes = [0; 4096];
    // The terminal ends with an error once nobody holds its other side.
    while let Ok(read @ 1..) = human.read(&mut bytes) {
        shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        if !typed && shown.contains(prompt) {
            human.write_all(keys.as_bytes()).unwrap();
            typed = true;
        }
    }
    assert!(typed, "it never asked `{prompt}`: {shown}");
    (child.wait().unwrap().code().unwrap(), shown)
}

fn id() -> String {
    question(Tier::R2).call.to_string()
}

#[test]
fn a_pin_is_taken_without_echo_and_said_to_be_typed_at_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, answers) = broker(folder.path(), Tier::R2);
    let mut command = program(&socket);
    command.arg(id());
    let (code, shown) = at_a_terminal(command, PIN_PROMPT, &format!("{PIN}\n"));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("approved"), "{shown}");
    assert!(!shown.contains(PIN), "{shown}");
    // What the agent wrote cannot clear the screen.
    assert!(!shown.contains("\u{1b}"), "{shown}");
    assert!(
        shown.contains("<U+001B>") || shown.contains("\\u001b"),
        "{shown}"
    );
    match answers.recv_timeout(Duration::from_secs(5)).unwrap() {
        HumanAnswer::Pin { pin, surface } => {
            assert_eq!(*pin.expose(), PIN);
            assert_eq!(surface, Surface::Terminal);
        }
        other @ (HumanAnswer::Deny | HumanAnswer::Click) => panic!("{other:?}"),
    }
}

#[test]
fn whatever_is_no_clear_yes_leaves_the_question_waiting() {
    for (tier, prompt, keys) in [
        (Tier::R2, PIN_PROMPT, "\n"),
        (Tier::R1, "[y/N]", "\n"),
        (Tier::R1, "[y/N]", "why\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (socket, answers) = broker(folder.path(), tier);
        let mut command = program(&socket);
        command.arg(id());
        let (code, shown) = at_a_terminal(command, prompt, keys);
        assert_eq!(code, 4, "{shown}");
        assert!(answers.try_recv().is_err(), "{shown}");
    }
}

#[test]
fn a_yes_approves_what_is_of_low_risk() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, answers) = broker(folder.path(), Tier::R1);
    let mut command = program(&socket);
    command.arg(id());
    let (code, shown) = at_a_terminal(command, "[y/N]", "y\n");
    assert_eq!(code, 0, "{shown}");
    assert!(matches!(answers.try_recv().unwrap(), HumanAnswer::Click));
}

#[test]
fn without_a_terminal_it_lists_and_denies_and_approves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, answers) = broker(folder.path(), Tier::R1);
    let run = |arguments: &[&str]| -> Output {
        let mut command = program(&socket);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let listed = run(&[]);
    assert!(
        String::from_utf8(listed.stdout)
            .unwrap()
            .contains("Push `main`")
    );
    assert_eq!(run(&[&id()]).status.code(), Some(2));
    assert!(answers.try_recv().is_err());
    assert_eq!(run(&["--deny", &id()]).status.code(), Some(0));
    assert!(matches!(answers.try_recv().unwrap(), HumanAnswer::Deny));
    assert_eq!(
        run(&[&CallId::from_random([9; 16]).to_string()])
            .status
            .code(),
        Some(2)
    );
}
