//! Datagrams with descriptors over a seqpacket socket: the broker's side, and what both sides share.
//!
//! It must never keep a descriptor of a message that it refuses, nor accept one that was cut short.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    recvmsg, sendmsg, socket_with,
};

use crate::message::{
    Answer, Child, Described, Greeting, Idmap, Launch, Launched, MAX_MESSAGE, Request,
};
use crate::{Refusal, wire};

/// The most descriptors in a message; a launch has six and its trees.
const MAX_DESCRIPTORS: usize = 144;

/// The largest answer to anything but a launch, in bytes: a path, at the most.
const MAX_ANSWER: usize = 8 * 1024;

/// A launch that brought no session.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launch is larger than a message may be: too many arguments, variables or trees.
    #[error("the launch does not fit one message")]
    TooLarge,
    /// The launcher made no session.
    #[error("the launcher refused")]
    Refused(#[source] Refusal),
    /// The launcher's answer is not one.
    #[error("the launcher answered nonsense")]
    Answer,
    /// The launcher cannot be reached.
    #[error("cannot talk to the launcher")]
    Socket(#[source] io::Error),
}

/// Connects to the launcher's socket and hears its greeting; blocks until it comes.
///
/// # Errors
/// [`LaunchError::Socket`]; [`LaunchError::Answer`] if it speaks another version.
pub fn connect(path: &Path) -> Result<(OwnedFd, Greeting), LaunchError> {
    let dial = || {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket)
    };
    let socket = dial().map_err(environment)?;
    let greeting = greeted(&socket)?;
    Ok((socket, greeting))
}

/// Hears the greeting of a launcher on the other end of `socket`; blocks until it comes.
///
/// # Errors
/// As [`connect`].
pub fn greeted(socket: &OwnedFd) -> Result<Greeting, LaunchError> {
    let mut buffer = [0; 16];
    let received = receive(socket, &mut buffer, RecvFlags::empty()).map_err(environment)?;
    let (bytes, fds) = received.ok_or_else(|| environment(Errno::CONNREFUSED))?;
    wire::decode_greeting(bytes, fds).ok_or(LaunchError::Answer)
}

/// Sends a control message to a session's first process, with descriptors.
///
/// # Errors
/// What the system says.
pub fn tell(control: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    Ok(send(control, message, fds)?)
}

/// Asks the launcher on the other end of `socket` for a session; blocks until it answers.
///
/// # Errors
/// [`LaunchError`]; no session exists then.
pub fn launch(socket: impl AsFd, launch: &Launch) -> Result<Launched, LaunchError> {
    let (bytes, fds) = wire::encode_launch(launch).ok_or(LaunchError::TooLarge)?;
    send(&socket, &bytes, &fds).map_err(environment)?;
    let mut buffer = vec![0; MAX_MESSAGE];
    let received = receive(&socket, &mut buffer, RecvFlags::empty()).map_err(environment)?;
    let Some((bytes, fds)) = received else {
        return Err(LaunchError::Socket(io::ErrorKind::UnexpectedEof.into()));
    };
    match wire::decode_answer(bytes, fds).ok_or(LaunchError::Answer)? {
        Answer::Launched(session) => Ok(*session),
        Answer::Refused(refusal) => Err(LaunchError::Refused(refusal)),
        Answer::Child(_) | Answer::Removed | Answer::Described(_) | Answer::Mapped(_) => {
            Err(LaunchError::Answer)
        }
    }
}

/// Asks for a cgroup below the one with the id `parent`; blocks until the launcher answers.
///
/// # Errors
/// [`LaunchError`]; there is no such cgroup then.
pub fn child(socket: impl AsFd, parent: u64) -> Result<Child, LaunchError> {
    let answer = ask(socket, &Request::Child { parent })?;
    if let Answer::Child(child) = answer {
        Ok(child)
    } else {
        Err(unexpected(answer))
    }
}

/// Has a sub-agent's cgroup taken away; blocks until the launcher answers.
///
/// # Errors
/// [`LaunchError`].
pub fn remove(socket: impl AsFd, cgroup: u64) -> Result<(), LaunchError> {
    let answer = ask(socket, &Request::Remove { cgroup })?;
    if let Answer::Removed = answer {
        Ok(())
    } else {
        Err(unexpected(answer))
    }
}

/// Asks what a process runs; blocks until the launcher answers.
///
/// # Errors
/// [`LaunchError`].
pub fn describe(socket: impl AsFd, process: OwnedFd) -> Result<Described, LaunchError> {
    let answer = ask(socket, &Request::Describe { process })?;
    if let Answer::Described(described) = answer {
        Ok(described)
    } else {
        Err(unexpected(answer))
    }
}

/// Asks which of these trees can be mapped to another uid; blocks until the launcher answers.
///
/// # Errors
/// [`LaunchError`].
pub fn map(socket: impl AsFd, trees: Vec<OwnedFd>) -> Result<Vec<Idmap>, LaunchError> {
    let count = trees.len();
    let answer = ask(socket, &Request::Map { trees })?;
    if let Answer::Mapped(said) = answer {
        (said.len() == count)
            .then_some(said)
            .ok_or(LaunchError::Answer)
    } else {
        Err(unexpected(answer))
    }
}

fn ask(socket: impl AsFd, request: &Request) -> Result<Answer, LaunchError> {
    let (bytes, fds) = wire::encode_question(request).ok_or(LaunchError::TooLarge)?;
    send(&socket, &bytes, &fds).map_err(environment)?;
    let mut buffer = vec![0; MAX_ANSWER];
    let received = receive(&socket, &mut buffer, RecvFlags::empty()).map_err(environment)?;
    let Some((bytes, fds)) = received else {
        return Err(LaunchError::Socket(io::ErrorKind::UnexpectedEof.into()));
    };
    wire::decode_answer(bytes, fds).ok_or(LaunchError::Answer)
}

fn unexpected(answer: Answer) -> LaunchError {
    match answer {
        Answer::Refused(refusal) => LaunchError::Refused(refusal),
        Answer::Launched(_)
        | Answer::Child(_)
        | Answer::Removed
        | Answer::Described(_)
        | Answer::Mapped(_) => LaunchError::Answer,
    }
}

fn environment(errno: Errno) -> LaunchError {
    LaunchError::Socket(errno.into())
}

/// The bytes of a datagram, and its descriptors.
pub(crate) type Datagram<'b> = (&'b [u8], Vec<OwnedFd>);

/// Sends one datagram.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    send_with(socket, bytes, fds, SendFlags::empty())
}

/// The same, with more flags.
pub(crate) fn send_with(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOBIG);
    }
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(
            socket.as_fd(),
            &[IoSlice::new(bytes)],
            &mut control,
            flags | SendFlags::NOSIGNAL,
        )
    })?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(Errno::MSGSIZE)
    }
}

/// Receives one datagram into `buffer`; `None` is the end. A message that was cut short is refused
/// with `EMSGSIZE`, its descriptors are closed.
pub(crate) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Option<Datagram<'_>>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = part {
            fds.extend(passed);
        }
    }
    if message
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(Errno::MSGSIZE);
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    Ok(buffer.get(..message.bytes).map(|bytes| (bytes, fds)))
}
