//! A connection that the session made and a stranger writes on: it gets no identity.
//!
//! The stranger is `cat` as another user, whose standard output is the session's connection. That
//! takes root; without it these tests say so loudly and show nothing, but for the first.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_issue_credentials::workload::api;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use spiffe::WorkloadApiError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use crate::support;
use crate::support::pen::{Hand, Pen, channel};
use crate::support::{Door, Served, SoftwareAuthority, TRUST_DOMAIN, secured, skipped};

/// `nobody`.
const STRANGER: u32 = 65534;

/// Longer than whoever is not admitted may stay.
const STAY: Duration = Duration::from_secs(8);

const FRAME: &[u8] = b"\0\0\0\x02{}";

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("a stranger is another user's process, which takes root");
    }
    root
}

/// Writes what it is given to a connection of the session's.
struct Stranger {
    process: Child,
    ear: Option<ChildStdin>,
}

impl Stranger {
    fn on(connection: impl AsFd) -> Self {
        let connection = connection.as_fd().try_clone_to_owned().unwrap();
        let mut process = Command::new("cat")
            .uid(STRANGER)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(connection))
            .spawn()
            .unwrap();
        let ear = process.stdin.take();
        Self { process, ear }
    }

    /// Has it write that, and go away.
    fn says(mut self, bytes: &[u8]) {
        self.ear.take().unwrap().write_all(bytes).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    /// What writes through it, for a client.
    fn into_ear(mut self) -> OwnedFd {
        self.ear.take().unwrap().into()
    }
}

/// A connection of the session's whose writer can change.
async fn pen(served: &Served) -> Pen {
    let connection = served.connect().await;
    let stranger = Stranger::on(&connection).into_ear();
    Pen::new(connection, stranger)
}

fn jwt(audience: &str) -> tonic::Request<api::JwtsvidRequest> {
    secured(api::JwtsvidRequest {
        audience: vec![audience.to_owned()],
        spiffe_id: String::new(),
    })
}

#[tokio::test]
async fn bytes_that_bear_another_uid_get_no_identity() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    let served = Served::with(authority, 1, Door::Other);
    let client = served.client().await;
    let denied = |error| matches!(error, WorkloadApiError::NoIdentityIssued);
    assert!(denied(client.fetch_x509_svid().await.unwrap_err()));
    assert!(denied(client.fetch_jwt_bundles().await.unwrap_err()));
    let mut frames = served.connect().await;
    frames.write_all(FRAME).await.unwrap();
    assert_eq!(answer(frames).await, b"");
    assert_eq!(served.memory.count(), 0);
}

#[tokio::test]
async fn a_stranger_with_a_fresh_connection_gets_no_identity() {
    if !is_root() {
        return;
    }
    let served = Served::start();
    let pen = pen(&served).await;
    pen.give_to(Hand::Stranger);
    let mut client = channel(pen).await;
    let refused = client.fetch_jwtsvid(jwt("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "no identity issued");
    let refused = client
        .fetch_x509svid(secured(api::X509svidRequest {}))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(served.memory.count(), 0);
    assert_eq!(served.authority.jwt_signed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_session_had_open_ends_when_a_stranger_writes() {
    if !is_root() {
        return;
    }
    let served = Served::start();
    let pen = pen(&served).await;
    let mut client = channel(pen.clone()).await;
    let streams = client
        .fetch_x509svid(secured(api::X509svidRequest {}))
        .await;
    let mut x509 = streams.unwrap().into_inner();
    x509.message().await.unwrap().unwrap();
    client.fetch_jwtsvid(jwt("a")).await.unwrap();
    let recorded = served.memory.count();

    pen.give_to(Hand::Stranger);
    for audience in ["a", "b"] {
        let refused = client.fetch_jwtsvid(jwt(audience)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{audience}");
    }
    let ended = x509.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert_eq!(served.memory.count(), recorded);

    // It may not come back, and does not stay.
    pen.give_to(Hand::Session);
    let refused = client.fetch_jwtsvid(jwt("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    tokio::time::timeout(STAY, pen.closed()).await.unwrap();
    // The session itself is as it was.
    served.client().await.fetch_x509_svid().await.unwrap();
}

#[tokio::test]
async fn a_stranger_may_not_write_the_body_of_the_sessions_request() {
    if !is_root() {
        return;
    }
    let served = Served::start();
    let pen = pen(&served).await;
    let mut client = channel(pen.clone()).await;
    client.fetch_jwtsvid(jwt("a")).await.unwrap();
    let recorded = served.memory.count();
    pen.give_to(Hand::StrangerFromData);
    let refused = client.fetch_jwtsvid(jwt("stolen")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(served.memory.count(), recorded);
}

#[tokio::test]
async fn a_request_that_waits_is_refused_when_a_stranger_writes() {
    if !is_root() {
        return;
    }
    let served = Served::start();
    let pen = pen(&served).await;
    let mut client = channel(pen.clone()).await;
    client.fetch_jwtsvid(jwt("a")).await.unwrap();
    served.authority.set_conduct(support::Conduct::Silent);
    let mut other = client.clone();
    let (waiting, ()) = tokio::join!(client.fetch_jwtsvid(jwt("b")), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        pen.give_to(Hand::Stranger);
        other.fetch_jwtsvid(jwt("c")).await.unwrap_err();
    });
    assert_eq!(waiting.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_frame_that_a_stranger_wrote_any_part_of_has_no_answer() {
    if !is_root() {
        return;
    }
    let served = Served::start();
    for own in [0, 1, 4, 5] {
        let (session, strange) = FRAME.split_at(own);
        let mut stream = served.connect().await;
        stream.write_all(session).await.unwrap();
        Stranger::on(&stream).says(strange);
        stream.shutdown().await.unwrap();
        assert_eq!(answer(stream).await, b"", "{own} bytes were the session's");
    }
}

#[tokio::test]
async fn bytes_from_before_the_connection_was_accepted_are_judged_as_well() {
    if !is_root() {
        return;
    }
    // Nothing is accepted before the first await.
    let served = Served::start();
    let mut own = Blocking::connect(&served.path).unwrap();
    own.write_all(FRAME).unwrap();
    own.shutdown(std::net::Shutdown::Write).unwrap();
    let strange = Blocking::connect(&served.path).unwrap();
    Stranger::on(&strange).says(FRAME);
    strange.shutdown(std::net::Shutdown::Write).unwrap();

    let name = served.session.identity().session.to_string();
    let to_tokio = |stream: Blocking| {
        stream.set_nonblocking(true).unwrap();
        tokio::net::UnixStream::from_std(stream).unwrap()
    };
    let expected = [name.as_bytes(), FRAME].concat();
    assert_eq!(answer(to_tokio(own)).await, expected);
    assert_eq!(answer(to_tokio(strange)).await, b"");
}

#[tokio::test]
async fn a_descriptor_that_comes_along_is_not_taken_in() {
    let served = Served::start();
    let mut stream = served.connect().await;
    let (mut reader, writer) = std::io::pipe().unwrap();
    send_with(&stream, b"\0", &writer);
    drop(writer);
    // The other end goes away although the connection is open, and its handler waits for more.
    let end = tokio::task::spawn_blocking(move || reader.read(&mut [0]));
    let end = tokio::time::timeout(STAY, end).await.unwrap();
    assert_eq!(end.unwrap().unwrap(), 0);
    stream.write_all(b"rest").await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(answer(stream).await.ends_with(b"\0rest"));
}

fn send_with(stream: impl AsFd, bytes: &[u8], descriptor: impl AsFd) {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let sent = sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::empty(),
    );
    assert_eq!(sent.unwrap(), bytes.len());
}

/// What comes back until the server closes.
async fn answer(mut stream: tokio::net::UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a close, too.
    let _ = tokio::time::timeout(STAY, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes in time");
    bytes
}
