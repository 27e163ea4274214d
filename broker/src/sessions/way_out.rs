//! A session's way out: the sockets that the launcher opened inside, for this runtime.
//!
//! It opens none itself: what is accepted on these comes from that session.

use std::io;
use std::os::fd::OwnedFd;

use holdfast_issue_credentials::bridge::{Door, Names};
use holdfast_launch_agents::Names as NameSockets;
use holdfast_protocol::widening::Reach;
use tokio::net::{TcpListener, UdpSocket};

use super::widened::Widened;

/// What the bridge serves.
pub struct WayOut {
    /// The proxy's listener.
    pub bridge: TcpListener,
    /// The ports of the session's loopback that lead to one place.
    pub doors: Vec<Door>,
    /// What makes names work.
    pub names: Names,
}

impl WayOut {
    /// Takes the sockets over; `doors` are in the order of what lies behind them.
    pub fn adopt(
        widened: &Widened,
        bridge: OwnedFd,
        doors: Vec<OwnedFd>,
        names: NameSockets,
    ) -> io::Result<Self> {
        let door = |(to, listener): (&Reach, _)| {
            let (to, listener) = (to.clone(), listening(listener)?);
            Ok(Door { listener, to })
        };
        let doors = widened.behind_doors().zip(doors).map(door);
        Ok(Self {
            bridge: listening(bridge)?,
            doors: doors.collect::<io::Result<_>>()?,
            names: resolving(widened, names)?,
        })
    }
}

fn resolving(widened: &Widened, sockets: NameSockets) -> io::Result<Names> {
    let datagrams = std::net::UdpSocket::from(sockets.datagrams);
    datagrams.set_nonblocking(true)?;
    let connections = sockets.connections.into_iter().map(listening);
    Ok(Names {
        datagrams: UdpSocket::from_std(datagrams)?,
        streams: listening(sockets.streams)?,
        connections: connections.collect::<io::Result<_>>()?,
        given: widened.names().cloned().collect(),
    })
}

/// A listener of a session, for this runtime.
pub fn listening(listener: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
