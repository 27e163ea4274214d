//! Servers of a session's own, shown on the host's loopback while the session lives.
//!
//! Whoever is on this host can connect there, as to any server of the human's. It must never lead to
//! anything but the port that was published, nor into a session that is frozen.

use std::io;
use std::num::NonZeroU16;
use std::time::Duration;

use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::widening::Publish;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The most connections into one port at once; one on top is closed.
const MAX_CONNECTIONS: usize = 64;

/// The pause after the system could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port that listens on the host.
#[derive(Debug)]
pub struct Published {
    listener: TcpListener,
    inside: NonZeroU16,
}

/// A port cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("port {port} of this machine cannot be listened on")]
pub struct NotPublished {
    port: NonZeroU16,
    #[source]
    source: io::Error,
}

impl Published {
    /// Listens; nothing is answered yet.
    pub async fn listen(publish: Publish) -> Result<Self, NotPublished> {
        let listener = TcpListener::bind(publish.address()).await;
        let refused = |source| NotPublished {
            port: publish.outside,
            source,
        };
        Ok(Self {
            listener: listener.map_err(refused)?,
            inside: publish.inside,
        })
    }

    /// Carries connections into the session until `stop`; then all are cut.
    pub async fn serve(self, sessions: Sessions, session: SessionId, stop: CancellationToken) {
        let Self { listener, inside } = self;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((near, _)) if connections.len() < MAX_CONNECTIONS => {
                        connections.spawn(carry(near, sessions.clone(), session, inside));
                    }
                    Ok(_) => tracing::debug!(%session, %inside, "a published port has too many connections"),
                    Err(error) => {
                        tracing::warn!(%session, %error, "a published port cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        connections.shutdown().await;
    }
}

async fn carry(mut near: TcpStream, sessions: Sessions, session: SessionId, inside: NonZeroU16) {
    let carried = match sessions.connect_into(session, inside).await {
        Ok(mut far) => {
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            copy_bidirectional(&mut near, &mut far).await.map(|_| ())
        }
        Err(error) => {
            tracing::debug!(%session, %inside, %error, "a published port leads nowhere now");
            near.set_zero_linger()
        }
    };
    if let Err(error) = carried {
        tracing::debug!(%session, %inside, %error, "a connection to a published port broke off");
    }
}
