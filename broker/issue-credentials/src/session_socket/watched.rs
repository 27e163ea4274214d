//! Looks at who wrote each byte of a connection.
//!
//! A descriptor can be handed on (`SCM_RIGHTS`), inherited, or stolen: that a session's process made
//! the connection says nothing of who writes on it later. The kernel marks each message with its
//! writer (`SCM_CREDENTIALS`, unix(7); `SCM_PIDFD`) and never gives two writers' bytes in one read;
//! a [`Judge`] reads, and says whose they are. From the first byte on that is not the session's, the
//! connection is not the session's any more.
//!
//! Whoever holds a descriptor can also read from it. That cannot be seen, and gives it no more than
//! answers to what the session itself asked, which the session could have handed on as well.
//!
//! This module must never give out a byte before its sender was judged.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use holdfast_protocol::id::SessionId;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tracing::warn;

use super::judge::{Judge, Nobody, Whose};
use crate::workload::Admission;

/// A connection whose admission ends with the first byte of somebody else.
pub(super) struct Watched {
    stream: UnixStream,
    session: SessionId,
    judge: Arc<dyn Judge>,
    admission: Admission,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Watched {
    /// Watches a connection of which nothing was read, for bytes that `judge` finds to be a stranger's.
    pub(super) fn new(
        stream: UnixStream,
        session: SessionId,
        judge: Arc<dyn Judge>,
        admission: Admission,
    ) -> Self {
        Self {
            stream,
            session,
            judge,
            admission,
        }
    }

    /// A connection that was not admitted: none of its bytes are the session's.
    pub(super) fn refused(stream: UnixStream, session: SessionId) -> Self {
        Self {
            stream,
            session,
            judge: Arc::new(Nobody),
            admission: Admission::denied(),
        }
    }

    /// The socket itself, to ask the kernel about whoever made the connection.
    pub(super) fn socket(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Looks at the first byte, judges its sender, and leaves it there.
    pub(super) async fn first_byte(&self) -> io::Result<u8> {
        let peek = || {
            let mut byte = [0];
            match self.receive(&mut byte, RecvFlags::PEEK)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(byte),
            }
        };
        let [byte] = self.stream.async_io(Interest::READABLE, peek).await?;
        Ok(byte)
    }

    /// One message, or the part of it that fits. The end of the stream is nobody's: zero bytes.
    fn receive(&self, bytes: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let (received, whose) = self.judge.receive(&self.stream, bytes, flags)?;
        if received > 0 && whose == Whose::Strangers && self.admission.check().is_ok() {
            warn!(session = %self.session, "a stranger writes on a session's connection");
            self.admission.end();
        }
        Ok(received)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let unfilled = buf.initialize_unfilled();
            let receive = || self.receive(unfilled, RecvFlags::empty());
            match self.stream.try_io(Interest::READABLE, receive) {
                Ok(received) => {
                    buf.advance(received);
                    return Poll::Ready(Ok(()));
                }
                // The readiness was stale, and is cleared now.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
