//! The session's network: loopback, and the bridge's listener on it.
//!
//! There is no other interface and never a route out; what leaves the session goes through the
//! broker, which gets the listener.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::failure::{At, Refusal, Stage};
use crate::sys;

/// Listens on the loopback of another network namespace, that of `process`, at a port of the kernel's
/// choice.
///
/// Ends this process where it cannot come back: it would make the next session in the wrong place.
pub(crate) fn listen_in(process: BorrowedFd<'_>) -> Result<OwnedFd, Refusal> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = open("/proc/self/ns/net", flags, Mode::empty()).at(Stage::Network)?;
    move_into_thread_name_spaces(process, ThreadNameSpaceType::NETWORK).at(Stage::Network)?;
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    if let Err(error) = move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)) {
        eprintln!("cannot leave a session's network: {error}");
        sys::exit_now(1);
    }
    Ok(listener.at(Stage::Network)?.into())
}

/// Brings loopback up in this process's network namespace and listens on its `port`.
pub(crate) fn prepare(port: NonZeroU16) -> Result<OwnedFd, Refusal> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).at(Stage::Network)?;
    sys::interface_up(socket.as_fd(), c"lo").at(Stage::Network)?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.get());
    Ok(TcpListener::bind(address).at(Stage::Network)?.into())
}
