//! The connection that keeps a session: the wish and its descriptors out, events back.
//!
//! When this process ends, the session does. It must never send a descriptor that it was not asked
//! for on the command line.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use holdfast_protocol::frame;
use holdfast_protocol::run::{MAX_TREES, RunControl, RunEvent};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;

/// Program, project, three streams, trees.
const MAX_DESCRIPTORS: usize = 5 + MAX_TREES;

/// A session's keeper.
#[derive(Debug)]
pub struct RunConnection {
    stream: UnixStream,
}

impl RunConnection {
    /// Connects to the run socket.
    pub fn open(socket: &Path) -> std::io::Result<Self> {
        UnixStream::connect(socket).map(|stream| Self { stream })
    }

    /// Sends the wish with its descriptors.
    pub fn ask(
        &self,
        request: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> std::io::Result<()> {
        let bytes = frame::encode(request).map_err(invalid)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(std::io::Error::new(
                ErrorKind::InvalidInput,
                "too many descriptors",
            ));
        }
        let sent = sendmsg(
            &self.stream,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        let rest = bytes.get(sent..).unwrap_or_default();
        (&self.stream).write_all(rest)
    }

    /// The next event, and the descriptor that came with it.
    pub fn next(&self) -> std::io::Result<(RunEvent, Option<OwnedFd>)> {
        let mut prefix = [0; frame::PREFIX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.stream,
            &mut [IoSliceMut::new(&mut prefix)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
        )?;
        if received.bytes != prefix.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let descriptor = ancillary
            .drain()
            .filter_map(|message| {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    Some(descriptors)
                } else {
                    None
                }
            })
            .flatten()
            .next();
        let mut body = vec![0; frame::body_length(prefix).map_err(invalid)?];
        (&self.stream).read_exact(&mut body)?;
        Ok((frame::decode(&body).map_err(invalid)?, descriptor))
    }

    /// Passes the human's order on.
    pub fn tell(&self, order: RunControl) -> std::io::Result<()> {
        (&self.stream).write_all(&frame::encode(&order).map_err(invalid)?)
    }

    /// A second handle on the same connection.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        self.stream.try_clone().map(|stream| Self { stream })
    }
}

impl AsFd for RunConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn invalid(error: frame::FrameError) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, error)
}
