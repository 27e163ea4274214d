//! Connections to a session's socket, handed out of the session by an accomplice in it.

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
use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookRequest};
use holdfast_protocol::session::SessionRequest;
use hyper_util::rt::TokioIo;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// In the session: opens a connection for whoever comes to the project's socket, hands it on, and
/// writes on it what that one asks it to.
pub const ACCOMPLICE: &str = "
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
pub struct Handed {
    connection: UnixStream,
    accomplice: UnixStream,
    pub outside: Arc<AtomicBool>,
}

impl Handed {
    pub fn take(project: &Path) -> Self {
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
    pub async fn client(self) -> (SpiffeWorkloadApiClient<Channel>, Arc<AtomicBool>) {
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
    pub async fn ask_as_hook(mut self, command: &str) -> Vec<u8> {
        let payload = serde_json::json!({
            "hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "s",
            "cwd": "/", "tool_input": {"command": command},
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
        let outside = self.outside.load(Ordering::SeqCst);
        match self.writer().poll_write(cx, bytes) {
            // Its accomplice is dead. What nobody says any more does not keep it from hearing how the broker ends it.
            Poll::Ready(Err(error)) if !outside && error.kind() == io::ErrorKind::BrokenPipe => {
                Poll::Ready(Ok(bytes.len()))
            }
            polled @ (Poll::Ready(_) | Poll::Pending) => polled,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(cx)
    }
}

/// With the header that the Workload API wants.
pub fn secured<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = request.metadata_mut();
    header.insert("workload.spiffe.io", "true".parse().unwrap());
    request
}

/// A session that hands connections out, ready to.
pub fn session_with_accomplice(world: &World, project: &Path) -> Child {
    accomplice_by(world, project, &["/usr/bin/python3", "-S", "accomplice.py"])
}

/// As [`session_with_accomplice`], of a program that runs its script.
pub fn accomplice_by(world: &World, project: &Path, program: &[&str]) -> Child {
    fs::write(project.join("accomplice.py"), ACCOMPLICE).unwrap();
    let mut session = world
        .broker
        .holdfast_command()
        .arg("run")
        .arg("--project")
        .arg(project)
        .arg("--")
        .args(program)
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
