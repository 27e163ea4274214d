//! A session served over a real Unix socket, with stand-ins for what the broker hands in.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests, each of which uses a part of this"
)]

mod authority;
pub mod pen;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_issue_credentials::workload::api::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use holdfast_issue_credentials::{
    Admitted, Denied, FrameHandler, FrameStream, Issuer, PeerCheck, RecordError, Recorder,
    SenderUid, Session, SessionIdentity, SessionListener, SessionSocket, SocketError,
};
use holdfast_protocol::Timestamp;
use holdfast_protocol::audit::What;
use holdfast_protocol::clock::{Clock, Floor, Reading};
use holdfast_protocol::id::SessionId;
use rustix::process::getuid;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, async_trait};

pub use authority::{Conduct, SoftwareAuthority};

/// The system's own.
pub fn clock() -> Clock {
    Clock::new(Floor::proven(Timestamp::from_millis(0)), || Reading {
        system: Timestamp::from_millis(0) + std::time::UNIX_EPOCH.elapsed().unwrap(),
        uptime: Duration::ZERO,
    })
}

pub const TRUST_DOMAIN: &str = "example.org";

/// Says that a test is left out, and why; where `CI` is `true`, nothing may be.
pub fn skipped(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "CI leaves nothing out: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Lets everybody in, or nobody, or everybody for the sake of another user's messages.
pub enum Door {
    Open,
    Shut,
    Other,
}

#[tonic::async_trait]
impl PeerCheck for Door {
    async fn admit(&self, _: &UnixStream) -> Result<Admitted, Denied> {
        match self {
            Self::Open => Ok(Admitted::of_session(SenderUid(getuid().as_raw()))),
            Self::Other => Ok(Admitted::of_session(SenderUid(getuid().as_raw() + 1))),
            Self::Shut => Err(Denied("the door is shut".to_owned())),
        }
    }
}

/// Remembers what was recorded; cannot record while `broken`.
#[derive(Default)]
pub struct Memory {
    pub records: Mutex<Vec<What>>,
    pub broken: Mutex<Option<()>>,
}

impl Memory {
    pub fn count(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    pub fn set_broken(&self, broken: Option<()>) {
        *self.broken.lock().unwrap() = broken;
    }
}

#[async_trait]
impl Recorder for Memory {
    async fn record(&self, what: What) -> Result<(), RecordError> {
        if self.broken.lock().unwrap().is_some() {
            return Err(RecordError("the disk is full".into()));
        }
        self.records.lock().unwrap().push(what);
        Ok(())
    }
}

/// Sends every frame's bytes back, with the session's name before them.
pub struct Echo;

#[async_trait]
impl FrameHandler for Echo {
    async fn handle(
        &self,
        session: &SessionIdentity,
        mut stream: FrameStream,
        _: CancellationToken,
    ) {
        let mut bytes = Vec::new();
        if stream.read_to_end(&mut bytes).await.is_ok() {
            let _ = stream
                .write_all(session.session.to_string().as_bytes())
                .await;
            let _ = stream.write_all(&bytes).await;
        }
    }
}

/// One served session.
pub struct Served {
    pub authority: Arc<SoftwareAuthority>,
    pub memory: Arc<Memory>,
    pub session: Session,
    pub path: PathBuf,
    pub stop: CancellationToken,
    server: JoinSet<Result<(), SocketError>>,
    _folder: TempDir,
}

impl Served {
    pub fn start() -> Self {
        Self::with(SoftwareAuthority::new(TRUST_DOMAIN), 1, Door::Open)
    }

    pub fn with(authority: Arc<SoftwareAuthority>, number: u8, door: Door) -> Self {
        let memory = Arc::new(Memory::default());
        let session = SessionId::from_random([number; 16]);
        let identity = SessionIdentity {
            session,
            spiffe_id: format!("spiffe://{TRUST_DOMAIN}/host/h/agent/test/{session}")
                .parse()
                .unwrap(),
        };
        let issuer = Issuer::new(authority.clone(), memory.clone(), clock());
        let session = issuer.session(identity);
        Self::of(authority, memory, session, door)
    }

    /// Serves this session.
    pub fn of(
        authority: Arc<SoftwareAuthority>,
        memory: Arc<Memory>,
        session: Session,
        door: Door,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.sock");
        let stop = CancellationToken::new();
        let socket = SessionSocket {
            listener: SessionListener::bind(&path).unwrap(),
            session: session.clone(),
            peers: Arc::new(door),
            frames: Arc::new(Echo),
        };
        let mut server = JoinSet::new();
        server.spawn(socket.serve(stop.clone()));
        Self {
            authority,
            memory,
            session,
            path,
            stop,
            server,
            _folder: folder,
        }
    }

    /// As `SPIFFE_ENDPOINT_SOCKET` has it (SPIFFE_Workload_Endpoint §4).
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    pub fn spiffe_id(&self) -> String {
        self.session.identity().spiffe_id.to_string()
    }

    /// An independent client.
    pub async fn client(&self) -> spiffe::WorkloadApiClient {
        spiffe::WorkloadApiClient::connect_to(self.endpoint())
            .await
            .unwrap()
    }

    /// A client that can do what no conforming one does.
    pub async fn raw(&self) -> SpiffeWorkloadApiClient<Channel> {
        SpiffeWorkloadApiClient::new(self.channel().await)
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.endpoint()).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Waits for the server to end; panics if it takes longer than that.
    pub async fn ended(&mut self, within: Duration) -> Result<(), SocketError> {
        let ended = tokio::time::timeout(within, self.server.join_next()).await;
        ended.expect("the server ends in time").unwrap().unwrap()
    }
}

/// A request with the security header.
pub fn secured<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = request.metadata_mut();
    header.insert("workload.spiffe.io", "true".parse().unwrap());
    request
}
