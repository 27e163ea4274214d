//! One connection: judged, told apart by its first byte, served until it ends or the socket does.
//!
//! This module must never leave a task behind: what HTTP/2 spawns is tracked and ended with it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::fill;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::authority::Mended;
use super::challenge::Challenged;
use super::watched::Watched;
use super::{Admitted, Challenge, FrameHandler, FrameStream, Party, PeerCheck};
use crate::task::Session;
use crate::workload::{self, Admission};

/// How long a peer may take to send its first byte.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// How long a peer that was not admitted, or is not any more, may stay to read its refusal.
const DENIED_STAY: Duration = Duration::from_secs(5);

/// The most peers that may be reading their refusal at a time: strangers must not take a session's
/// connections.
const DENIED_AT_ONCE: usize = 8;

/// The most concurrent requests of one connection (RFC 9113 §5.1.2).
const MAX_REQUESTS: u32 = 32;

/// The largest header list of a request, in bytes (RFC 9113 §6.5.2).
const MAX_HEADERS: u32 = 16 * 1024;

/// The most data that waits for one stream's reader, in bytes: a few messages.
const MAX_UNREAD: usize = 64 * 1024;

/// What the connections of one socket share.
#[derive(Clone)]
pub(super) struct Slots {
    denied: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            denied: Arc::new(Semaphore::new(DENIED_AT_ONCE)),
        }
    }
}

/// A connection that was accepted, of which nothing was read.
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) session: Session,
    pub(super) frames: Arc<dyn FrameHandler>,
    pub(super) slots: Slots,
    pub(super) stop: CancellationToken,
}

/// What a first byte begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Frames,
    Http2,
    Unknown,
}

impl Connection {
    pub(super) async fn serve(self, peers: Arc<dyn PeerCheck>) {
        let stop = self.stop.clone();
        let Some(judged) = stop.run_until_cancelled(peers.admit(&self.stream)).await else {
            return;
        };
        match judged {
            Ok(admitted) => self.admitted(admitted).await,
            Err(denied) => {
                let session = self.session.identity().session;
                warn!(%session, %denied, "a connection was refused");
                let Ok(_slot) = self.slots.denied.clone().try_acquire_owned() else {
                    return;
                };
                // Late or not, the connection is over.
                let _ = timeout(DENIED_STAY, self.denied()).await;
            }
        }
    }

    async fn admitted(self, admitted: Admitted) {
        let Self { stream, stop, .. } = self;
        let Admitted {
            judge,
            party,
            challenge,
        } = admitted;
        let (session, frames) = match party {
            Party::Session => (self.session, Some(self.frames)),
            Party::Other { session, frames } => (session, frames),
        };
        let identity = session.identity();
        let admission = match challenge {
            Challenge::Unneeded => Admission::admitted(),
            Challenge::Ping => Admission::unproven(),
        };
        let watched = Watched::new(stream, identity.session, judge, admission);
        match language(&watched, &stop).await {
            // The first byte may be a stranger's already.
            Some(Language::Frames) if watched.admission().check().is_ok() => {
                let stream = FrameStream::new(watched);
                if let Some(frames) = frames {
                    frames.handle(identity, stream, stop).await;
                }
            }
            Some(Language::Http2) => http2(watched, session, challenge, stop).await,
            Some(Language::Frames | Language::Unknown) | None => {}
        }
    }

    /// A frame has no answer for strangers; the Workload API has.
    async fn denied(self) {
        let Self {
            stream,
            session,
            stop,
            ..
        } = self;
        let nobody = Watched::refused(stream, session.identity().session);
        match language(&nobody, &stop).await {
            Some(Language::Http2) => http2(nobody, session, Challenge::Unneeded, stop).await,
            Some(Language::Frames | Language::Unknown) | None => {}
        }
    }
}

/// `None` if the peer goes away, stays silent, or the socket stops.
async fn language(watched: &Watched, stop: &CancellationToken) -> Option<Language> {
    let first = timeout(FIRST_BYTE, watched.first_byte());
    match stop.run_until_cancelled(first).await {
        Some(Ok(Ok(0))) => Some(Language::Frames),
        Some(Ok(Ok(b'P'))) => Some(Language::Http2),
        Some(Ok(Ok(_))) => Some(Language::Unknown),
        Some(Ok(Err(_)) | Err(_)) | None => None,
    }
}

async fn http2(watched: Watched, session: Session, challenge: Challenge, stop: CancellationToken) {
    let admission = watched.admission().clone();
    match challenge {
        Challenge::Unneeded => serve_http2(watched, admission, session, stop).await,
        Challenge::Ping => {
            let mut payload = [0; 8];
            if fill(&mut payload).is_err() {
                warn!("no randomness is to be had, so a connection is not served");
                return;
            }
            let challenged = Challenged::new(watched, admission.clone(), payload);
            serve_http2(challenged, admission, session, stop).await;
        }
    }
}

async fn serve_http2<S>(stream: S, admission: Admission, session: Session, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tasks = Tasks {
        tracker: TaskTracker::new(),
        end: CancellationToken::new(),
    };
    // Also when this future is dropped.
    let end = tasks.end.clone().drop_guard();
    let service = workload::service(session, admission.clone(), stop.clone());
    let connection = http2::Builder::new(tasks.clone())
        .max_concurrent_streams(MAX_REQUESTS)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(MAX_UNREAD)
        .serve_connection(
            TokioIo::new(Mended::new(stream)),
            TowerToHyperService::new(service),
        );
    tokio::pin!(connection);
    let overstayed = async {
        admission.ended().await;
        sleep(DENIED_STAY).await;
    };
    let result = tokio::select! {
        result = &mut connection => result,
        () = overstayed => Ok(()),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a workload api connection ended badly");
    }
    drop(end);
    tasks.tracker.close();
    tasks.tracker.wait().await;
}

/// Spawns what HTTP/2 has to run beside the connection, one task a request, and ends it.
#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let end = self.end.clone();
        (self.tracker).spawn(async move { end.run_until_cancelled(future).await });
    }
}
