//! The session's network: loopback, and the broker's listeners on it.
//!
//! There is no other interface and never a route out; what leaves the session goes through the
//! broker, which gets the listeners.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::failure::{At, Refusal, Stage};
use crate::message::Launch;
use crate::sys;

/// The listeners of a session's network, for the broker.
pub(crate) struct Network {
    pub(crate) bridge: OwnedFd,
    /// In the order of the launch.
    pub(crate) doors: Vec<OwnedFd>,
}

/// Brings loopback up in this process's network namespace and listens on the launch's ports there.
pub(crate) fn prepare(launch: &Launch) -> Result<Network, Refusal> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).at(Stage::Network)?;
    sys::interface_up(socket.as_fd(), c"lo").at(Stage::Network)?;
    Ok(Network {
        bridge: listener(launch.bridge)?,
        doors: launch
            .doors
            .iter()
            .map(|&port| listener(port))
            .collect::<Result<_, _>>()?,
    })
}

fn listener(port: NonZeroU16) -> Result<OwnedFd, Refusal> {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.get());
    Ok(TcpListener::bind(address).at(Stage::Network)?.into())
}
