//! The session's network: loopback, and the bridge's listener on it.
//!
//! There is no other interface and never a route out; what leaves the session goes through the
//! broker, which gets the listener.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::failure::{At, Refusal, Stage};
use crate::sys;

/// Brings loopback up in this process's network namespace and listens on its `port`.
pub(crate) fn prepare(port: NonZeroU16) -> Result<OwnedFd, Refusal> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).at(Stage::Network)?;
    sys::interface_up(socket.as_fd(), c"lo").at(Stage::Network)?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.get());
    Ok(TcpListener::bind(address).at(Stage::Network)?.into())
}
