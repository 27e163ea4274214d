//! A client's connection whose writer changes hands while the client goes on.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use holdfast_issue_credentials::workload::api::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};

/// Who writes what the client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// The session.
    Session,
    /// The session, up to the next DATA frame (RFC 9113 §6.1); from there on the stranger.
    StrangerFromData,
    /// The stranger.
    Stranger,
}

/// The connection; its clones are the same one.
#[derive(Clone)]
pub struct Pen(Arc<Inner>);

struct Inner {
    hand: Mutex<Hand>,
    ends: Mutex<(UnixStream, pipe::Sender)>,
    closed: Notify,
}

impl Pen {
    pub fn new(connection: UnixStream, stranger: OwnedFd) -> Self {
        let stranger = pipe::Sender::from_owned_fd(stranger).unwrap();
        Self(Arc::new(Inner {
            hand: Mutex::new(Hand::Session),
            ends: Mutex::new((connection, stranger)),
            closed: Notify::new(),
        }))
    }

    pub fn give_to(&self, hand: Hand) {
        *self.0.hand.lock().unwrap_or_else(PoisonError::into_inner) = hand;
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(&self) {
        self.0.closed.notified().await;
    }
}

/// A client that goes on with the connection as it is.
pub async fn channel(pen: Pen) -> SpiffeWorkloadApiClient<Channel> {
    let mut pen = Some(pen);
    let connector = tower::service_fn(move |_| {
        let pen = pen.take().ok_or(io::ErrorKind::NotConnected);
        async move { Ok::<_, io::Error>(TokioIo::new(pen?)) }
    });
    let endpoint = Endpoint::from_static("http://session");
    let channel = endpoint.connect_with_connector(connector).await;
    SpiffeWorkloadApiClient::new(channel.unwrap())
}

impl AsyncRead for Pen {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.0.ends.lock().unwrap().0).poll_read(cx, buf);
        let over = match &read {
            Poll::Ready(Ok(())) => buf.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if over {
            self.0.closed.notify_one();
        }
        read
    }
}

impl AsyncWrite for Pen {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut hand = self.0.hand.lock().unwrap();
        let (session, stranger) = &mut *self.0.ends.lock().unwrap();
        let own = match *hand {
            Hand::Session => bytes.len(),
            Hand::Stranger => 0,
            Hand::StrangerFromData => before_data(bytes),
        };
        if own == 0 {
            *hand = Hand::Stranger;
            return Pin::new(stranger).poll_write(cx, bytes);
        }
        Pin::new(session).poll_write(cx, &bytes[..own])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.ends.lock().unwrap().0).poll_shutdown(cx)
    }
}

/// How many bytes of whole frames (RFC 9113 §4.1) come before the first DATA frame.
fn before_data(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some([a, b, c, kind, ..]) = bytes.get(at..) {
        if *kind == 0 {
            return at;
        }
        at += 9 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
    }
    bytes.len()
}
