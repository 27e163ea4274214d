//! Connections into a session, for what it publishes: the broker asks the first process, which makes
//! the socket inside and passes it out.
//!
//! The answer comes by a socket of the question's own, so that none is taken for another's. It must
//! never connect anywhere but to the session's own 127.0.0.1.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, socket_with, socketpair,
};

use crate::socket;

/// Opens the message that asks; the port follows.
const CONNECT: u8 = b'C';

/// Asks the first process at the other end of `control` for a connection to `port` of the session's
/// loopback; [`taken`] takes it from what this gives, once that is readable.
///
/// # Errors
/// The session is gone, or hears no more for now.
pub fn ask(control: impl AsFd, port: NonZeroU16) -> io::Result<OwnedFd> {
    let (answer, inner) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let [low, high] = port.get().to_le_bytes();
    let message = [CONNECT, low, high];
    socket::send_with(control, &message, &[inner.as_fd()], SendFlags::DONTWAIT)?;
    Ok(answer)
}

/// Takes the connection from an answer that [`ask`] gave: it may still be on its way, and fail.
///
/// # Errors
/// `WouldBlock` if there is no answer yet; else nothing can be connected.
pub fn taken(answer: impl AsFd) -> io::Result<OwnedFd> {
    let mut buffer = [0; 1];
    let received = socket::receive(answer, &mut buffer, RecvFlags::DONTWAIT)?;
    let (_, mut fds) = received.ok_or(Errno::CONNREFUSED)?;
    Ok(fds.pop().ok_or(Errno::CONNREFUSED)?)
}

/// The first process's side: does what `message` asks, if it asks this, and answers on its descriptor.
pub(crate) fn serve(message: &[u8], fds: Vec<OwnedFd>) {
    let ([CONNECT, low, high], [answer]) = (message, fds.as_slice()) else {
        return;
    };
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from_le_bytes([*low, *high]));
    // Without an answer the broker hears the end of the socket.
    if let Ok(connection) = begin(address) {
        let fds = [connection.as_fd()];
        socket::send_with(answer, &[0], &fds, SendFlags::DONTWAIT).ok();
    }
}

/// A connection that is under way, at least: this process waits for nobody.
fn begin(address: SocketAddrV4) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}
