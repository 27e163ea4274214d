//! Who judges the senders of a connection's bytes, and by what.
//!
//! A judge reads, because the kernel names a message's sender only together with the message. It must
//! never take a message that the kernel did not mark for the session's, nor take in a descriptor.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::net::UnixStream;

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The peer's who was let in.
    Peers,
    /// Somebody else's, or nobody's that can be told.
    Strangers,
}

/// Reads a connection and says who wrote what it read.
pub trait Judge: Send + Sync + 'static {
    /// One message, or the part of it that fits, without waiting. The end of the stream is nobody's:
    /// zero bytes.
    ///
    /// # Errors
    /// What the system says.
    fn receive(
        &self,
        stream: &UnixStream,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)>;
}

/// The uid that the messages of one session bear, as this process sees it. Where a session has one of
/// its own, it names the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderUid(pub u32);

impl Judge for SenderUid {
    fn receive(
        &self,
        stream: &UnixStream,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)> {
        // Room for credentials and nothing else: descriptors that come along are dropped by the
        // kernel, and never become this process's.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(bytes)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(stream, &mut into, &mut ancillary, flags)?;
        let sender = ancillary.drain().find_map(|message| {
            if let RecvAncillaryMessage::ScmCredentials(sender) = message {
                Some(Self(sender.uid.as_raw()))
            } else {
                None
            }
        });
        let whose = if sender == Some(*self) {
            Whose::Peers
        } else {
            Whose::Strangers
        };
        Ok((received.bytes, whose))
    }
}

/// Nobody's bytes are the session's.
#[derive(Debug)]
pub(super) struct Nobody;

impl Judge for Nobody {
    fn receive(
        &self,
        stream: &UnixStream,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)> {
        let (received, _) = SenderUid(u32::MAX).receive(stream, bytes, flags)?;
        Ok((received, Whose::Strangers))
    }
}
