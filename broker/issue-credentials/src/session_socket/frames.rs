//! The stream that a handler of frames gets: what is not the session's neither comes nor is answered.
//!
//! The Workload API can tell a stranger that it has no identity; a frame has no such answer. So here
//! the first byte of a stranger is an error, and nothing goes out after it. This module must never
//! give a handler a byte that the session did not write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::watched::Watched;

/// A connection for frames, as long as the session alone writes on it; then every read and write
/// fails with [`io::ErrorKind::PermissionDenied`].
#[derive(Debug)]
pub struct FrameStream(Watched);

impl FrameStream {
    pub(super) fn new(watched: Watched) -> Self {
        Self(watched)
    }

    /// The socket itself, to ask the kernel about whoever made the connection.
    pub fn socket(&self) -> &UnixStream {
        self.0.socket()
    }

    fn check(&self) -> io::Result<()> {
        let admission = self.0.admission();
        (admission.check()).map_err(|_| io::ErrorKind::PermissionDenied.into())
    }
}

impl AsyncRead for FrameStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        Poll::Ready(self.check().inspect_err(|_| buf.set_filled(before)))
    }
}

impl AsyncWrite for FrameStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
