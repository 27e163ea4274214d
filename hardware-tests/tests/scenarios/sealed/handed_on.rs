//! A session hands an open connection out of its walls: identity does not go along.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use holdfast_hardware_tests::world::World;
use holdfast_issue_credentials::workload::api::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use holdfast_issue_credentials::workload::api::{JwtsvidRequest, X509svidRequest};
use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookRequest};
use holdfast_protocol::session::SessionRequest;
use hyper_util::rt::TokioIo;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// In the session: opens a connection for whoever comes to the project's socket, hands it on, and
/// writes on it what that one asks it to.
const ACCOMPLICE: &str = "
import os, socket, threading
endpoint = os.environ['SPIFFE_ENDPOINT_SOCKET'].removeprefix('unix://')
door = socket.socket(socket.AF_UNIX)
door.bind('door.sock')
os.chmod('door.sock', 0o666)
door.listen()
print('ready', flush=True)
def serve(outsider):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(endpoint)
    socket.send_fds(outsider, [b'.'], [connection.fileno()])
    while said := outsider.recv(65536):
        connection.sendall(said)
while True:
    outsider, _ = door.accept()
    threading.Thread(target=serve, args=(outsider,), daemon=True).start()
";

/// A connection to the session's socket in an outsider's hand, which reads all that comes; it
/// writes itself, or has the session write.
struct Handed {
    connection: UnixStream,
    accomplice: UnixStream,
    outside: Arc<AtomicBool>,
}

impl Handed {
    fn take(project: &Path) -> Self {
        // The folder's path may be too long for a socket's.
        let folder = File::open(project).unwrap();
        let door = format!("/proc/self/fd/{}/door.sock", folder.as_raw_fd());
        let accomplice = Blocking::connect(door).unwrap();
        let connection = Blocking::from(descriptor(&accomplice));
        let to_tokio = |stream: Blocking| {
            stream.set_nonblocking(true).unwrap();
            UnixStream::from_std(stream).unwrap()
        };
        Self {
            connection: to_tokio(connection),
            accomplice: to_tokio(accomplice),
            outside: Arc::default(),
        }
    }

    /// A client on it, and what makes the outsider write.
    async fn client(self) -> (SpiffeWorkloadApiClient<Channel>, Arc<AtomicBool>) {
        let outside = Arc::clone(&self.outside);
        let mut handed = Some(self);
        let connector = tower::service_fn(move |_| {
            let handed = handed.take().ok_or(io::ErrorKind::NotConnected);
            async move { Ok::<_, io::Error>(TokioIo::new(handed?)) }
        });
        let endpoint = Endpoint::from_static("http://session");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        (SpiffeWorkloadApiClient::new(channel), outside)
    }

    fn writer(&mut self) -> Pin<&mut UnixStream> {
        Pin::new(if self.outside.load(Ordering::SeqCst) {
            &mut self.connection
        } else {
            &mut self.accomplice
        })
    }

    /// What a hook's frame is answered, if anything is before the connection is closed.
    async fn ask_as_hook(mut self) -> Vec<u8> {
        let payload = serde_json::json!({
            "hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "s",
            "cwd": "/", "tool_input": {"command": "true"},
        });
        let request = SessionRequest::Hook(HookRequest {
            dialect: Dialect::Claude,
            payload,
        });
        let asked = frame::encode(&request).unwrap();
        self.writer().write_all(&asked).await.unwrap();
        let mut answer = Vec::new();
        let read = self.connection.read_to_end(&mut answer);
        // What was not read is a reset: a close, too.
        let _ = tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("the connection is closed in time");
        answer
    }
}

fn descriptor(accomplice: &Blocking) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    recvmsg(
        accomplice,
        &mut into,
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    let mut descriptors = ancillary.drain().flat_map(|message| {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptors.collect()
        } else {
            vec![]
        }
    });
    descriptors.next().expect("a descriptor came")
}

impl AsyncRead for Handed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buf)
    }
}

impl AsyncWrite for Handed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(cx)
    }
}

fn secured<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = request.metadata_mut();
    header.insert("workload.spiffe.io", "true".parse().unwrap());
    request
}

fn jwt(audience: &str) -> Request<JwtsvidRequest> {
    secured(JwtsvidRequest {
        audience: vec![audience.to_owned()],
        spiffe_id: String::new(),
    })
}

fn assert_no_identity(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(status.message(), "no identity issued");
}

fn session_with_accomplice(world: &World, project: &Path) -> Child {
    fs::write(project.join("accomplice.py"), ACCOMPLICE).unwrap();
    let mut session = world
        .broker
        .holdfast_command()
        .arg("run")
        .arg("--project")
        .arg(project)
        .args(["--", "/usr/bin/python3", "-S", "accomplice.py"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(session.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    session
}

#[tokio::test]
async fn a_connection_that_a_session_hands_on_takes_no_identity_along() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let mut session = session_with_accomplice(&world, &project);

    // Fresh from the session: root outside writes its first byte.
    let (mut client, outside) = {
        let handed = Handed::take(&project);
        handed.outside.store(true, Ordering::SeqCst);
        handed.client().await
    };
    assert!(outside.load(Ordering::SeqCst));
    assert_no_identity(
        &client
            .fetch_jwtsvid(jwt("fresh.example"))
            .await
            .unwrap_err(),
    );
    let refused = client.fetch_x509svid(secured(X509svidRequest {})).await;
    assert_no_identity(&refused.unwrap_err());

    // One on which the session has fetched, and has a stream open.
    let (mut client, outside) = Handed::take(&project).client().await;
    let stream = client.fetch_x509svid(secured(X509svidRequest {})).await;
    let mut stream = stream.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.svids[0].spiffe_id.contains("/agent/shell/"));
    client.fetch_jwtsvid(jwt("own.example")).await.unwrap();
    outside.store(true, Ordering::SeqCst);
    for audience in ["own.example", "used.example"] {
        assert_no_identity(&client.fetch_jwtsvid(jwt(audience)).await.unwrap_err());
    }
    assert_no_identity(&stream.message().await.unwrap_err());

    // A hook's frame: the session is answered, the outsider is not.
    let handed = Handed::take(&project);
    assert!(!handed.ask_as_hook().await.is_empty());
    let handed = Handed::take(&project);
    handed.outside.store(true, Ordering::SeqCst);
    assert_eq!(handed.ask_as_hook().await, b"");

    // The session goes on as before, and nothing else was issued than what it asked for.
    let (mut client, _) = Handed::take(&project).client().await;
    client.fetch_jwtsvid(jwt("again.example")).await.unwrap();
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    for issued in ["own.example", "again.example"] {
        assert!(record.contains(issued), "{issued} is missing:\n{record}");
    }
    for refused in ["fresh.example", "used.example"] {
        assert!(!record.contains(refused), "{refused}:\n{record}");
    }
    session.kill().unwrap();
    session.wait().unwrap();
}
