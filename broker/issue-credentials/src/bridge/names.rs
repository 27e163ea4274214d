//! Names for programs that ask no proxy: each stands for an address of the session's own, and a
//! connection there is a tunnel to the name.
//!
//! What is answered says nothing of the world: a name is looked up only where the broker connects,
//! after that was decided. It must never pass a question on.

pub mod query;
pub mod state;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_protocol::widening::{HostName, Reach};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::refused;
use query::{MAX_MESSAGE, Question};
use state::Table;

/// The most connections to the resolver at once; one on top is closed.
const MAX_STREAMS: usize = 8;

/// How long a connection to the resolver may be idle.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sockets inside by which names work there.
pub struct Names {
    /// The resolver's, for UDP.
    pub datagrams: UdpSocket,
    /// The resolver's, for TCP.
    pub streams: TcpListener,
    /// Where connections to the names' addresses arrive.
    pub connections: Vec<TcpListener>,
    /// Names that the session was given.
    pub given: Vec<HostName>,
}

/// One session's names, shared by who answers and who connects.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Table>>);

impl Shared {
    pub(super) fn new(given: Vec<HostName>) -> Self {
        Self(Arc::new(Mutex::new(Table::new(given))))
    }

    /// Where a connection to `address` is meant to go.
    pub(super) fn meant(&self, address: SocketAddr) -> Option<Reach> {
        let IpAddr::V4(ip) = address.ip() else {
            return None;
        };
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Reach {
            host: table.name(ip)?.clone(),
            port: NonZeroU16::new(address.port())?,
        })
    }

    /// The answer to a message, if it gets one.
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        match Question::read(message) {
            Ok(question) => {
                let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = table.answer(question.name.as_ref(), question.wants);
                drop(table);
                Some(question.answered(answer))
            }
            Err(not) => not.answered(),
        }
    }
}

/// Answers the session's resolver until `stop`.
pub(super) async fn answer(
    names: Shared,
    datagrams: UdpSocket,
    streams: TcpListener,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    // One byte more, so that what is too long shows.
    let mut message = [0; MAX_MESSAGE + 1];
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            received = datagrams.recv_from(&mut message) => match received {
                Ok((length, asker)) => {
                    let message = message.get(..length).unwrap_or_default();
                    if let Some(answer) = names.answer(message) {
                        // Who asked and went away is not waited for.
                        let _ = datagrams.try_send_to(&answer, asker);
                    }
                }
                Err(error) => refused(&error).await,
            },
            accepted = streams.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_STREAMS => {
                    connections.spawn(converse(names.clone(), stream));
                }
                Ok(_) => debug!("a session's resolver has too many connections"),
                Err(error) => refused(&error).await,
            },
        }
    }
    connections.shutdown().await;
}

/// Answers one connection to the resolver (RFC 1035 §4.2.2), until it has nothing more to ask.
async fn converse(names: Shared, mut stream: TcpStream) {
    while let Ok(Ok(message)) = timeout(PATIENCE, message(&mut stream)).await {
        let Some(answer) = names.answer(&message) else {
            return;
        };
        let Ok(length) = u16::try_from(answer.len()) else {
            return;
        };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(answer);
        if !matches!(
            timeout(PATIENCE, stream.write_all(&framed)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

async fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_MESSAGE {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
