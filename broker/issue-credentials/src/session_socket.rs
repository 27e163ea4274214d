//! One session's socket: the listener is the identity, the first byte the language.
//!
//! `P` begins an HTTP/2 preface (RFC 9113 §3.4) and so the Workload API; a zero begins a
//! length-prefixed frame, which a handler gets with its stream untouched. Whoever connects is
//! judged once, by a [`PeerCheck`], which says whose it is and who judges the senders of its bytes;
//! from then on each byte's sender is judged. A descriptor that is handed on takes no identity along: what a stranger writes on it gets
//! none, and ends what the session had open there. A stranger that only reads gets the answers to
//! what the session itself asked. Every task has an owner here and ends with the socket. This module
//! must never read a byte before the peer was judged, nor let a client choose an identity.

mod authority;
mod challenge;
mod connection;
mod frames;
mod judge;
mod listener;
mod watched;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::async_trait;
use tracing::{debug, warn};

use crate::task::{Session, SessionIdentity, TaskError};
use connection::{Connection, Slots};

pub use frames::FrameStream;
pub use judge::{Judge, SenderUid, Whose};
pub use listener::SessionListener;

/// The most connections that one session may have open, frames and Workload API together. One that
/// comes on top is closed at once: only this session's own processes can have used them up.
pub const MAX_CONNECTIONS: usize = 64;

/// How long connections may take to end in order once the socket stops.
const GRACE: Duration = Duration::from_secs(2);

/// The pause after the system could not accept (no descriptors, no memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Judges whether a connection's peer belongs to the session whose socket it came to; in
/// production by its uid (`SO_PEERCRED`) and its pidfd (`SO_PEERPIDFD`).
#[async_trait]
pub trait PeerCheck: Send + Sync + 'static {
    /// Lets the peer in, and says whose it is and who judges its bytes, or not. It must not read from
    /// the stream.
    ///
    /// # Errors
    /// [`Denied`] if the peer is not of the session, or cannot be known.
    async fn admit(&self, stream: &UnixStream) -> Result<Admitted, Denied>;
}

/// A peer that was let in.
pub struct Admitted {
    /// Judges the sender of each of its bytes.
    pub judge: Arc<dyn Judge>,
    /// Whose it is.
    pub party: Party,
    /// Whether it has to show that it still writes on the connection.
    pub challenge: Challenge,
}

/// Whose a connection is.
pub enum Party {
    /// The session's own.
    Session,
    /// A part's that has an identity of its own.
    Other {
        /// Its identity.
        session: Session,
        /// Who serves its frames, where it may speak any.
        frames: Option<Arc<dyn FrameHandler>>,
    },
}

/// Whether a peer has to answer an HTTP/2 PING before it gets anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Every byte was judged, and that is enough: whoever is let in belongs to the session whatever it
    /// runs.
    Unneeded,
    /// It has to: what it runs is what it is known by, and that can change after it has written.
    Ping,
}

impl Admitted {
    /// A peer of the session itself, whose bytes are known by this judge.
    pub fn of_session(judge: impl Judge) -> Self {
        Self {
            judge: Arc::new(judge),
            party: Party::Session,
            challenge: Challenge::Unneeded,
        }
    }
}

/// The peer is not let in: why, for the log. The peer is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer is not of this session: {0}")]
pub struct Denied(pub String);

/// Serves the frames of hooks and other shims.
#[async_trait]
pub trait FrameHandler: Send + Sync + 'static {
    /// Has the stream from its first byte on. It is dropped a while after `stop`, wherever it is.
    async fn handle(&self, session: &SessionIdentity, stream: FrameStream, stop: CancellationToken);
}

/// A session's listening socket and what stands behind it.
pub struct SessionSocket {
    /// The socket, bound for this session alone.
    pub listener: SessionListener,
    /// The session that it means.
    pub session: Session,
    /// Who judges its peers.
    pub peers: Arc<dyn PeerCheck>,
    /// Who serves its frames.
    pub frames: Arc<dyn FrameHandler>,
}

/// The socket cannot be served any more; us.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The session's credentials cannot be kept.
    #[error("the session's credentials cannot be kept")]
    Session(#[source] TaskError),
    /// A connection's task panicked.
    #[error("a task of the socket failed")]
    Join(#[source] JoinError),
}

impl SessionSocket {
    /// Serves the socket, and keeps the session's credentials, until `stop`.
    ///
    /// A revoked session goes on being told that it has no identity until then.
    ///
    /// # Errors
    /// [`SocketError`] if a part of it fails; nothing is served any more then.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), SocketError> {
        let Self {
            listener,
            session,
            peers,
            frames,
        } = self;
        let slots = Slots::default();
        // Cancelled with `stop`, and also when this future is dropped or fails.
        let stop = stop.child_token();
        let _guard = stop.clone().drop_guard();
        let mut connections = JoinSet::new();
        let keeper = session.run(stop.clone());
        tokio::pin!(keeper);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // It ends when `stop` is cancelled, or when it fails.
                kept = &mut keeper => {
                    kept.map_err(SocketError::Session)?;
                    break;
                }
                Some(ended) = connections.join_next() => ended.map_err(SocketError::Join)?,
                accepted = listener.accept() => match accepted {
                    Ok(stream) if connections.len() < MAX_CONNECTIONS => {
                        let connection = Connection {
                            stream,
                            session: session.clone(),
                            frames: frames.clone(),
                            slots: slots.clone(),
                            stop: stop.clone(),
                        };
                        let peers = peers.clone();
                        connections.spawn(connection.serve(peers));
                    }
                    Ok(_) => debug!("a session has too many connections"),
                    Err(error) => refused(&error).await,
                },
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, ended).await.is_err() {
            connections.shutdown().await;
        }
        Ok(())
    }
}

async fn refused(error: &io::Error) {
    warn!(%error, "a session socket cannot accept");
    sleep(ACCEPT_PAUSE).await;
}
