//! Looks at who wrote each byte of a connection.
//!
//! A descriptor can be handed on (`SCM_RIGHTS`), inherited, or stolen: that a session's process made
//! the connection says nothing of who writes on it later. The kernel marks each message with its
//! writer (`SCM_CREDENTIALS`, unix(7)) and never gives two writers' bytes in one read. From the
//! first byte on that is not the session's, the connection is not the session's any more.
//!
//! Whoever holds a descriptor can also read from it. That cannot be seen, and gives it no more than
//! answers to what the session itself asked, which the session could have handed on as well.
//!
//! This module must never give out a byte before it has judged its sender, must never take a
//! message without credentials for the session's, and must never take in a descriptor.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use holdfast_protocol::id::SessionId;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tracing::warn;

use crate::workload::Admission;

/// The uid that the messages of one session bear, as this process sees it. A session has one of its
/// own, so it names the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderUid(pub u32);

/// A connection whose admission ends with the first byte of somebody else.
#[derive(Debug)]
pub(super) struct Watched {
    stream: UnixStream,
    session: SessionId,
    sender: Option<SenderUid>,
    admission: Admission,
}

impl Watched {
    /// Watches a connection of which nothing was read, for bytes that are not `sender`'s.
    pub(super) fn new(
        stream: UnixStream,
        session: SessionId,
        sender: SenderUid,
        admission: Admission,
    ) -> Self {
        Self {
            stream,
            session,
            sender: Some(sender),
            admission,
        }
    }

    /// A connection that was not admitted: none of its bytes are the session's.
    pub(super) fn refused(stream: UnixStream, session: SessionId) -> Self {
        Self {
            stream,
            session,
            sender: None,
            admission: Admission::denied(),
        }
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
        // Room for credentials and nothing else: descriptors that come along are dropped by the
        // kernel, and never become this process's.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(bytes)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.stream, &mut into, &mut ancillary, flags)?;
        let sender = ancillary.drain().find_map(|message| {
            if let RecvAncillaryMessage::ScmCredentials(sender) = message {
                Some(SenderUid(sender.uid.as_raw()))
            } else {
                None
            }
        });
        if received.bytes > 0
            && (sender.is_none() || sender != self.sender)
            && self.admission.check().is_ok()
        {
            warn!(session = %self.session, ?sender, "a stranger writes on a session's connection");
            self.admission.end();
        }
        Ok(received.bytes)
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
