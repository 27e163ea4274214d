//! The session's way out: requests by name, secrets put in on the way.
//!
//! A session's only network is one TCP socket. [`Bridge`] serves HTTP/1.1 on it: the model's API and
//! git remotes, where the session shows a placeholder and the broker puts the secret in, and a proxy
//! for everything else, where no secret goes. Each request is decided first ([`Decide`]).
//!
//! What holds of a secret: it is sent to the URL that it was kept for and to nothing else, redirects
//! are never followed, and response headers that repeat it are dropped. The *bodies* that the secret's
//! own server answers with are not searched.
//!
//! This module must never show a session a secret, never send one where the session says, never reach
//! an address of the host or of its network, and never do what was not decided.

mod answer;
mod body;
mod calls;
mod connection;
pub mod credential;
mod direct;
mod environment;
mod fields;
mod git;
mod model;
pub mod names;
mod proxy;
mod refusal;
mod substitute;
mod target;
mod tunnel;
mod upstream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{OptionFuture, join_all};
use holdfast_protocol::id::SessionId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::decide::Decide;
use crate::grant::{Granted, Reveal};
use calls::Calls;
use connection::{Way, serve_connection, turn_away};
use target::Target;

pub use direct::Door;
pub use environment::environment;
pub use names::Names;
pub use upstream::{Upstream, UpstreamError};

/// The most connections that one session may have open, tunnels included. One that comes on top is
/// answered with 503: only this session's own programs can have used them up.
pub const MAX_CONNECTIONS: usize = 64;

/// The most connections of one session that came by no proxy; one on top is closed at once.
pub const MAX_DIRECT: usize = 64;

/// The pause after the system could not accept (no descriptors, no memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One session's way out.
pub struct Bridge {
    /// The session that the listening socket means.
    pub session: SessionId,
    /// The secrets whose use it was granted.
    pub granted: Vec<Granted>,
    /// Who fetches a secret for one use.
    pub reveal: Arc<dyn Reveal>,
    /// Who decides each request.
    pub decide: Arc<dyn Decide>,
    /// The client that requests with a secret leave by, and what the session may reach besides.
    pub upstream: Upstream,
    /// The ports of the session's own loopback that lead elsewhere.
    pub doors: Vec<Door>,
    /// What makes names work in it, where it has that.
    pub names: Option<Names>,
}

/// The way out cannot be served any more; us.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A connection's task panicked.
    #[error("a task of the session's way out failed")]
    Join(#[source] JoinError),
}

impl Bridge {
    /// Serves the session's socket until `stop`; then every connection is cut, and the calls that
    /// were under way are said to have ended before this returns.
    ///
    /// # Errors
    /// [`BridgeError`] if a part of it fails; nothing is served any more then.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), BridgeError> {
        let Self {
            session,
            granted,
            reveal,
            decide,
            upstream,
            doors,
            names,
        } = self;
        // Unbounded, because a call must be able to end where nothing can wait (in a drop). Each entry
        // was a decision on record before, and that paces them.
        let (ended, endings) = mpsc::unbounded_channel();
        let closing = calls::close(decide.clone(), endings);
        let way = Arc::new(Way {
            session,
            granted,
            reveal,
            calls: Calls::new(decide, ended),
            upstream,
        });
        // Where one of them fails, all end.
        let stop = stop.child_token();
        let direct = Arc::new(Semaphore::new(MAX_DIRECT));
        let mut entries: Vec<_> = doors
            .into_iter()
            .map(|door| {
                (
                    door.listener,
                    Entry::Door(Target::of(&door.to), direct.clone()),
                )
            })
            .collect();
        let mut resolver = None;
        if let Some(names) = names {
            let shared = names::Shared::new(names.given);
            let entry = |listener| (listener, Entry::Names(shared.clone(), direct.clone()));
            entries.extend(names.connections.into_iter().map(entry));
            let (datagrams, streams) = (names.datagrams, names.streams);
            resolver = Some(names::answer(shared, datagrams, streams, stop.clone()));
        }
        let accept = |(listener, entry)| accept(way.clone(), entry, listener, stop.clone());
        let direct = join_all(entries.into_iter().map(accept).collect::<Vec<_>>());
        let proxy = accept((listener, Entry::Proxy));
        drop(way);
        // `closing` ends once the last connection is gone, which has the last sender.
        let (served, direct, _, ()) =
            tokio::join!(proxy, direct, OptionFuture::from(resolver), closing);
        served?;
        direct.into_iter().collect()
    }
}

/// What a connection is, by the listener that it came to.
enum Entry {
    /// A client of the proxy.
    Proxy,
    /// A connection to a door's port, one of so many.
    Door(Target, Arc<Semaphore>),
    /// A connection to the address of a name, one of so many.
    Names(names::Shared, Arc<Semaphore>),
}

impl Entry {
    /// Serves a connection, where there is room for it.
    fn serve(&self, way: &Arc<Way>, stream: TcpStream, connections: &mut JoinSet<()>) {
        let (target, places) = match self {
            Self::Proxy if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(serve_connection(way.clone(), stream));
                return;
            }
            Self::Proxy => return turn_away(&stream),
            Self::Door(target, places) => (Some(target.clone()), places),
            Self::Names(names, places) => {
                let meant = stream.local_addr().ok().and_then(|at| names.meant(at));
                (meant.as_ref().map(Target::of), places)
            }
        };
        match (target, places.clone().try_acquire_owned()) {
            (Some(target), Ok(place)) => {
                let carried = direct::carry(way.clone(), target, stream);
                connections.spawn(async move {
                    carried.await;
                    drop(place);
                });
            }
            // No name stands for that address, or there are too many connections.
            (None, _) | (_, Err(_)) => direct::reset(&stream),
        }
    }
}

async fn accept(
    way: Arc<Way>,
    entry: Entry,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), BridgeError> {
    let mut connections = JoinSet::new();
    let served = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            Some(ended) = connections.join_next() => {
                if let Err(failed) = ended {
                    stop.cancel();
                    break Err(BridgeError::Join(failed));
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => entry.serve(&way, stream, &mut connections),
                Err(error) => refused(&error).await,
            },
        }
    };
    drop(listener);
    connections.shutdown().await;
    served
}

async fn refused(error: &io::Error) {
    warn!(%error, "a session's way out cannot accept");
    sleep(ACCEPT_PAUSE).await;
}
