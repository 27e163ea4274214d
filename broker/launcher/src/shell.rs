//! A human's shell in a session that runs already: how the broker orders it, over the session's control socket.
//!
//! One message with descriptors: the other end of a control socket of the shell's own, then its streams where it has no
//! terminal. What comes back on that socket is [`OPENED`], with the terminal's other end, and later how the shell ended.
//! The message names neither a program nor a path: what runs is the session's own shell, under all of its walls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};

use crate::control::{Ending, MAX_CONTROL};
use crate::message::WindowSize;
use crate::socket;

/// The shell runs; the first message of its control socket, with the terminal's other end if it has one.
pub(crate) const OPENED: [u8; 1] = [0];

/// Opens an order for a shell with a terminal.
const TERMINAL: u8 = b't';
/// Is an order for a shell with streams.
const STREAMS: u8 = b'p';

/// The longest name of a kind of terminal, in bytes (terminfo's are far shorter).
const MAX_TERM: usize = 48;

/// What a shell is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellOrder {
    /// A terminal of its own.
    Terminal {
        /// Its size.
        size: WindowSize,
        /// Its kind, as `TERM` names it.
        term: TermName,
    },
    /// Three streams, which come with the order.
    Streams,
}

/// The name of a kind of terminal: 1 to 48 of `[A-Za-z0-9._+-]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermName(String);

impl TermName {
    /// Checks a name.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-');
        let valid = (1..=MAX_TERM).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ShellOrder {
    /// The message that carries it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Terminal { size, term } => {
                let mut message = vec![TERMINAL];
                message.extend(size.rows.to_le_bytes());
                message.extend(size.columns.to_le_bytes());
                message.extend(term.0.as_bytes());
                message
            }
            Self::Streams => vec![STREAMS],
        }
    }

    /// Reads one; `None` if it is none.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        match message {
            [TERMINAL, a, b, c, d, term @ ..] => Some(Self::Terminal {
                size: WindowSize {
                    rows: u16::from_le_bytes([*a, *b]),
                    columns: u16::from_le_bytes([*c, *d]),
                },
                term: TermName::parse(std::str::from_utf8(term).ok()?)?,
            }),
            [STREAMS] => Some(Self::Streams),
            _ => None,
        }
    }

    /// How many descriptors come with it: the control socket, and the streams.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Self::Terminal { .. } => 1,
            Self::Streams => 4,
        }
    }
}

/// What a shell's control socket said.
#[derive(Debug)]
pub enum ShellNews {
    /// It runs; the other end of its terminal.
    Opened(Option<OwnedFd>),
    /// It is over.
    Ended(Ending),
}

/// Orders a shell of the session whose control socket this is; the socket that comes back is the shell's own.
///
/// # Errors
/// The session is gone, or hears nothing.
pub fn order(
    session: BorrowedFd<'_>,
    order: &ShellOrder,
    streams: &[OwnedFd],
) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let mut descriptors = vec![theirs.as_fd()];
    descriptors.extend(streams.iter().map(AsFd::as_fd));
    if descriptors.len() != order.descriptors() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    socket::send(session, &order.encode(), &descriptors)?;
    Ok(ours)
}

/// Hears what the shell's control socket says now; `EAGAIN` if that is nothing.
///
/// # Errors
/// The host's; a socket that has ended means that the session has.
pub fn hear(shell: BorrowedFd<'_>) -> io::Result<ShellNews> {
    let mut buffer = [0; MAX_CONTROL];
    match socket::receive(shell, &mut buffer, RecvFlags::DONTWAIT) {
        Ok(Some((message, mut descriptors))) if message == OPENED => {
            Ok(ShellNews::Opened(descriptors.pop()))
        }
        Ok(Some((message, _))) => Ok(ShellNews::Ended(Ending::decode(message))),
        Ok(None) | Err(Errno::CONNRESET) => Ok(ShellNews::Ended(Ending::Killed)),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn orders_survive() {
        let term = TermName::parse("xterm-256color").unwrap();
        let size = WindowSize {
            rows: 24,
            columns: 300,
        };
        for order in [ShellOrder::Terminal { size, term }, ShellOrder::Streams] {
            let message = order.encode();
            assert!(message.len() <= MAX_CONTROL);
            assert_eq!(ShellOrder::decode(&message), Some(order));
        }
    }

    #[test]
    fn no_other_message_is_an_order() {
        for message in [
            &b""[..],
            b"t",
            b"t\0\0\0\0",
            b"t\0\0\0\0a=b",
            b"t\0\0\0\0\xff",
            b"pp",
            b"x",
            &[0],
            &[4],
        ] {
            assert_eq!(ShellOrder::decode(message), None, "{message:?}");
        }
        assert!(TermName::parse(&"x".repeat(MAX_TERM + 1)).is_none());
    }
}
