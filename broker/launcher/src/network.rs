//! The session's network: loopback, and the broker's listeners on it.
//!
//! There is no other interface and never a route out; what leaves the session goes through the
//! broker, which gets the listeners. 198.18.0.0/15 is the session's own too: the broker's resolver
//! gives names there, and what connects to them arrives at the broker by name.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::failure::{At, Refusal, Stage};
use crate::message::{Launch, MAX_USUAL, Names};
use crate::{bpf, sys};

/// Of tests of networks (RFC 2544), and so on no network that anybody uses.
const RANGE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Its length, in bits.
const PREFIX: u8 = 15;

/// What names are used with, where not every port can be led to one listener.
const USUAL: [u16; 6] = [80, 443, 22, 9418, 8080, 8443];

/// The listeners of a session's network, for the broker.
pub(crate) struct Network {
    pub(crate) bridge: OwnedFd,
    /// In the order of the launch.
    pub(crate) doors: Vec<OwnedFd>,
    pub(crate) names: Names,
    /// Leads all ports of the range to one listener while it is open; the first process keeps it.
    pub(crate) switch: Option<OwnedFd>,
}

/// The ports of sub-agents' bridges. Nothing else in a session leads out on them.
pub(crate) const BRIDGES: RangeInclusive<u16> = 60_416..=60_479;

/// Listens on the loopback of another network namespace, that of `process`, at one of [`BRIDGES`].
///
/// Ends this process where it cannot come back: it would make the next session in the wrong place.
pub(crate) fn listen_in(process: BorrowedFd<'_>) -> Result<OwnedFd, Refusal> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = open("/proc/self/ns/net", flags, Mode::empty()).at(Stage::Network)?;
    move_into_thread_name_spaces(process, ThreadNameSpaceType::NETWORK).at(Stage::Network)?;
    let mut free =
        BRIDGES.map(|port| TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)));
    let listener = free.find(|bound| !is_taken(bound));
    if let Err(error) = move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)) {
        eprintln!("cannot leave a session's network: {error}");
        sys::exit_now(1);
    }
    let none = || io::Error::from(Errno::ADDRINUSE);
    let listener = listener.unwrap_or_else(|| Err(none()));
    Ok(listener.at(Stage::Network)?.into())
}

fn is_taken(bound: &io::Result<TcpListener>) -> bool {
    matches!(bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse)
}

/// Brings loopback up in this process's network namespace and listens on the launch's ports there.
pub(crate) fn prepare(launch: &Launch) -> Result<Network, Refusal> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).at(Stage::Network)?;
    sys::interface_up(socket.as_fd(), c"lo").at(Stage::Network)?;
    own_range().at(Stage::Network)?;
    let local = |port: NonZeroU16| listener(Ipv4Addr::LOCALHOST, port.get());
    let bridge = local(launch.bridge)?;
    let doors = launch.doors.iter().copied().map(local);
    let doors = doors.collect::<Result<_, _>>()?;
    let resolver = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53);
    let (connections, switch) = connections()?;
    Ok(Network {
        bridge,
        doors,
        names: Names {
            datagrams: UdpSocket::bind(resolver).at(Stage::Network)?.into(),
            streams: listener(*resolver.ip(), resolver.port())?,
            connections,
        },
        switch,
    })
}

impl Network {
    /// What the first process passes on, in order.
    pub(crate) fn passed(&self) -> Vec<BorrowedFd<'_>> {
        let names = &self.names;
        [&self.bridge, &names.datagrams, &names.streams]
            .into_iter()
            .chain(&self.doors)
            .chain(&names.connections)
            .map(AsFd::as_fd)
            .collect()
    }

    /// The same, come from the first process; `None` if something is missing.
    pub(crate) fn received(doors: usize, fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (bridge, datagrams, streams) = (fds.next()?, fds.next()?, fds.next()?);
        let expected = doors;
        let doors: Vec<_> = fds.by_ref().take(expected).collect();
        let connections: Vec<_> = fds.collect();
        let whole = doors.len() == expected && connections.len() <= MAX_USUAL;
        whole.then_some(Self {
            bridge,
            doors,
            names: Names {
                datagrams,
                streams,
                connections,
            },
            switch: None,
        })
    }
}

/// Where connections to the range arrive.
fn connections() -> Result<(Vec<OwnedFd>, Option<OwnedFd>), Refusal> {
    // Within the range, where no program of the session expects a port to be free.
    let every = listener(RANGE, 1)?;
    let netns = File::open("/proc/self/ns/net").at(Stage::Network)?;
    if let Ok(switch) = bpf::lead_all(every.as_fd(), netns.as_fd()) {
        return Ok((vec![every], Some(switch)));
    }
    // A port that is a door already stays one.
    let usual = |port| listener(Ipv4Addr::UNSPECIFIED, port).ok();
    Ok((USUAL.into_iter().filter_map(usual).collect(), None))
}

fn listener(address: Ipv4Addr, port: u16) -> Result<OwnedFd, Refusal> {
    let address = SocketAddrV4::new(address, port);
    Ok(TcpListener::bind(address).at(Stage::Network)?.into())
}

/// Makes the range this namespace's own: `ip addr add 198.18.0.0/15 dev lo` (rtnetlink(7)). Programs that look
/// for an address of the machine's before they ask for others' find one, too.
fn own_range() -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    // No protocol is the first, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    send(&socket, &range_on_loopback(), SendFlags::empty())?;
    let mut answer = [0; 256];
    let (read, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // `nlmsghdr`, then `nlmsgerr`, whose first field is 0 or an error number, negative.
    let error = answer.get(..read).and_then(|answer| answer.get(16..20));
    match error
        .and_then(|error| error.try_into().ok())
        .map(i32::from_ne_bytes)
    {
        Some(0) => Ok(()),
        Some(error) => Err(Errno::from_raw_os_error(error.saturating_neg())),
        None => Err(Errno::PROTO),
    }
}

/// `RTM_NEWADDR` with its two attributes.
fn range_on_loopback() -> Vec<u8> {
    const RTM_NEWADDR: u16 = 20;
    // Request, with an answer; create, and be the first.
    const FLAGS: u16 = 0x1 | 0x4 | 0x400 | 0x200;
    const LENGTH: u32 = 16 + 8 + 8 + 8;
    // The first interface of every network namespace.
    const LOOPBACK: u32 = 1;
    let mut out = Vec::new();
    out.extend(LENGTH.to_ne_bytes());
    out.extend(RTM_NEWADDR.to_ne_bytes());
    out.extend(FLAGS.to_ne_bytes());
    // Sequence number and port.
    out.extend([0; 8]);
    // `ifaddrmsg`: family, prefix, flags, scope host, interface.
    out.extend([2, PREFIX, 0, 254]);
    out.extend(LOOPBACK.to_ne_bytes());
    // IFA_ADDRESS, IFA_LOCAL: `rtattr`, value.
    for kind in [1_u16, 2] {
        out.extend(8_u16.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(RANGE.octets());
    }
    out
}
