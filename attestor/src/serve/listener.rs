//! Accepts connections and does their handshakes, side by side.
//!
//! A slow or hostile peer costs one place among many for a bounded time, and never holds up
//! another's handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::evidence::ChannelBinding;
use holdfast_protocol::words::with_causes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::channel::{Channel, Connection};
use super::peer::{NodePeer, NotAHost, Peer};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the system has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// A connection did not come to be.
#[derive(Debug, thiserror::Error)]
enum NoConnection {
    #[error("the handshake took longer than {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Slow,
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the channel binding could not be exported")]
    Exporter(#[source] rustls::Error),
    #[error("the client is not a host")]
    Client(#[source] NotAHost),
}

/// Accepts until `stop`; so many are kept at once, and the others wait in the system's queue.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Arc<super::tls::Config>,
    connections: usize,
    sender: mpsc::Sender<io::Result<Channel>>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections));
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Finished handshakes are collected as they end, so that they do not pile up.
            Some(_) = handshakes.join_next(), if !handshakes.is_empty() => continue,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((tcp, remote, place)) = accepted else {
            continue;
        };
        let (tls, sender) = (Arc::clone(&tls), sender.clone());
        handshakes.spawn(async move {
            match handshake(tcp, remote, tls, place).await {
                // A server that has ended takes no more; then the connection just closes.
                Ok(channel) => _ = sender.send(Ok(channel)).await,
                Err(error) => {
                    tracing::debug!(%remote, error = with_causes(&error), "no connection")
                }
            }
        });
    }
    handshakes.shutdown().await;
}

/// The next connection, once there is a place for it.
pub(super) async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((tcp, remote)) => Some((tcp, remote, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(EXHAUSTED).await;
            None
        }
    }
}

async fn handshake(
    tcp: TcpStream,
    remote: SocketAddr,
    tls: Arc<super::tls::Config>,
    place: OwnedSemaphorePermit,
) -> Result<Channel, NoConnection> {
    // Only latency is at stake.
    let _ = tcp.set_nodelay(true);
    let accepting = TlsAcceptor::from(Arc::clone(&tls.rustls)).accept(tcp);
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting)
        .await
        .map_err(|_| NoConnection::Slow)?
        .map_err(NoConnection::Handshake)?;
    let (_, session) = stream.get_ref();
    let binding = session
        .export_keying_material(
            [0; ChannelBinding::LEN],
            ChannelBinding::EXPORTER_LABEL,
            Some(&[]),
        )
        .map_err(NoConnection::Exporter)?;
    let peer = match session.peer_certificates().and_then(<[_]>::first) {
        None => Peer::Anonymous,
        Some(certificate) => {
            Peer::Host(NodePeer::of(certificate, &tls.trust_domain).map_err(NoConnection::Client)?)
        }
    };
    Ok(Channel {
        connection: Connection {
            binding: ChannelBinding::new(binding),
            peer,
            remote,
        },
        tls: stream,
        _place: place,
    })
}
