//! A command line of somebody's own, which says and lends what it likes.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use holdfast_hardware_tests::world::World;
use holdfast_protocol::frame;
use holdfast_protocol::run::{RunAim, RunEvent, RunKept, RunRequest, RunStdio};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{lent, project, question, questions, record};

fn opened(path: &Path, flags: OFlags) -> OwnedFd {
    open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// A session of `sh` in `project`, and nothing of what guards that.
fn bare(project: &Path) -> RunRequest {
    let project = project.display().to_string();
    RunRequest {
        agent: None,
        purpose: None,
        program: "sh".to_owned(),
        arguments: vec!["-c".to_owned(), "echo evil > .mcp.json".to_owned()],
        environment: vec![],
        user: "ann".to_owned(),
        home: "/home/ann".to_owned(),
        directory: project.clone(),
        project,
        trees: vec![],
        path: vec!["/usr/bin".to_owned()],
        stdio: RunStdio::Pipes,
        widenings: vec![],
        aim: RunAim::Session,
        kept: RunKept::Fresh,
        profile: None,
        package: None,
    }
}

fn ask(world: &World, request: &RunRequest) -> UnixStream {
    let stream = UnixStream::connect(world.broker.socket().with_file_name("run.sock")).unwrap();
    let null = || opened(Path::new("/dev/null"), OFlags::RDWR);
    let owned = [
        opened(Path::new("/bin/sh"), OFlags::RDONLY),
        opened(Path::new(&request.project), OFlags::PATH),
        null(),
        null(),
        null(),
    ];
    let descriptors: Vec<_> = owned.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let bytes = frame::encode(request).unwrap();
    let sent = sendmsg(
        &stream,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    );
    (&stream).write_all(&bytes[sent.unwrap()..]).unwrap();
    stream
}

fn next(mut stream: &UnixStream) -> RunEvent {
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; frame::body_length(prefix).unwrap()];
    stream.read_exact(&mut body).unwrap();
    frame::decode(&body).unwrap()
}

#[test]
fn a_guard_that_is_left_out_without_a_word_is_asked_about_all_the_same() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    std::fs::write(project.join(".mcp.json"), "theirs").unwrap();
    let stream = ask(&world, &bare(&project));
    let RunEvent::Waiting(waiting) = next(&stream) else {
        panic!("it did not wait");
    };
    let asked = "Let `.mcp.json` be changed, which decides what runs outside the session";
    assert_eq!(waiting.effects, [asked]);
    let id = question(&world);
    world.broker.holdfast(&["approvals", "deny", &id]).success();
    let event = next(&stream);
    assert!(matches!(event, RunEvent::Failed(_)), "{event:?}");
    assert_eq!(
        std::fs::read_to_string(project.join(".mcp.json")).unwrap(),
        "theirs"
    );
    assert!(!record(&world).contains("\"Launch\""));
}

#[test]
fn what_is_lent_is_known_by_its_descriptor_alone() {
    let Some(world) = World::sealed() else { return };
    let data = lent(&world, "data");
    let said = RunRequest {
        widenings: vec![format!("--rw {data}").parse().unwrap()],
        ..bare(&project(&world))
    };
    let RunEvent::Failed(failure) = next(&ask(&world, &said)) else {
        panic!("it was believed");
    };
    assert!(failure.message.contains("descriptor"), "{failure:?}");
    assert!(questions(&world).is_empty());
}
