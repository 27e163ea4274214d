//! Where a proxied request wants to go: named, judged, resolved, connected to.
//!
//! The address that was judged is the one that is connected to; no name is looked up twice, and none
//! before the call was decided, because a look-up reaches out already. This module must never connect
//! to an address of the host, of its network, or of a cloud's metadata service.

mod address;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_protocol::widening::Reach;
use hyper::http::uri::Authority;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;
use url::Host;

use super::refusal::{Reason, Refusal};
use super::upstream::Upstream;
use address::{may_be_named, not_public};

/// How long a look-up, and each attempt to connect, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most addresses of one name that are tried.
const MAX_TRIED: usize = 4;

/// A host and a port, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    host: Host<String>,
    port: u16,
}

impl Target {
    /// Reads the target of a request; `port` is meant where none is written.
    pub(super) fn read(authority: &Authority, port: Option<u16>) -> Result<Self, Refusal> {
        let bad = || {
            Refusal::new(
                Reason::BadRequest,
                "the request's target is not `host:port` of an HTTP proxy",
            )
        };
        // A user or password in a target is no host's business, and `port_u16` would hide a bad port.
        let (text, host) = (authority.as_str(), authority.host());
        let written = text.strip_prefix(host).ok_or_else(bad)?;
        let port = match (written.strip_prefix(':'), port) {
            (Some(written), _) => written.parse().map_err(|_| bad())?,
            (None, Some(port)) if written.is_empty() => port,
            (None, _) => return Err(bad()),
        };
        if port == 0 {
            return Err(bad());
        }
        // One final dot only says that the name is whole (RFC 1034 §3.1).
        let host = Host::parse(host.strip_suffix('.').unwrap_or(host)).map_err(|_| bad())?;
        Ok(Self { host, port })
    }

    /// Where a door leads.
    pub(super) fn of(reach: &Reach) -> Self {
        let host = match reach.host.address() {
            Some(IpAddr::V4(address)) => Host::Ipv4(address),
            Some(IpAddr::V6(address)) => Host::Ipv6(address),
            None => Host::Domain(reach.host.as_str().to_owned()),
        };
        Self {
            host,
            port: reach.port.get(),
        }
    }

    /// Whether clients speak HTTP there, so that a refusal can be told in it.
    pub(super) fn is_plain_http(&self) -> bool {
        self.port == 80
    }

    /// A denial, with the flag that would have made it none.
    pub(super) fn advise(&self, refusal: Refusal) -> Refusal {
        refusal.flagged(&self.host.to_string(), self.flag())
    }

    /// The flag by which a session is given the host from its start.
    pub(super) fn flag(&self) -> String {
        format!("--host {}", self.host)
    }

    /// `host:port`.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Refuses what can be told from the name alone.
    pub(super) fn judge_name(&self, upstream: &Upstream) -> Result<(), Refusal> {
        let address = match &self.host {
            Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => {
                return if upstream.named(self) {
                    Ok(())
                } else {
                    Err(self.refused("loopback"))
                };
            }
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address),
        };
        self.judge(upstream, SocketAddr::new(address, self.port))
    }

    /// Resolves the target, judges every address, and connects to one of those.
    pub(super) async fn connect(&self, upstream: &Upstream) -> Result<TcpStream, Refusal> {
        self.judge_name(upstream)?;
        let addresses = self.resolve().await?;
        for address in &addresses {
            self.judge(upstream, *address)?;
            let given = upstream.named(self) || upstream.widened(*address);
            if !given && is_our_own(*address).await {
                return Err(self.refused("the host's own"));
            }
        }
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses.into_iter().take(MAX_TRIED) {
            match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(Refusal::unreachable(&self.shown(), &last))
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, Refusal> {
        let name = match &self.host {
            Host::Ipv4(address) => return Ok(vec![SocketAddr::new((*address).into(), self.port)]),
            Host::Ipv6(address) => return Ok(vec![SocketAddr::new((*address).into(), self.port)]),
            Host::Domain(name) => name,
        };
        let unresolved = |why: String| {
            Refusal::new(
                Reason::Unresolved,
                format!(
                    "`{name}` has no address: {why}. Check the name and the host's own network"
                ),
            )
        };
        let addresses: Vec<SocketAddr> = timeout(PATIENCE, lookup_host((name.as_str(), self.port)))
            .await
            .map_err(|_| unresolved("the look-up took too long".to_owned()))?
            .map_err(|error| unresolved(error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(unresolved("the look-up found none".to_owned()));
        }
        Ok(addresses)
    }

    fn judge(&self, upstream: &Upstream, address: SocketAddr) -> Result<(), Refusal> {
        match not_public(address.ip()) {
            Some(_) if upstream.widened(address) => Ok(()),
            Some(kind) if upstream.named(self) && may_be_named(kind) => Ok(()),
            Some(kind) => Err(self.refused(kind)),
            None => Ok(()),
        }
    }

    fn refused(&self, kind: &str) -> Refusal {
        let name = self.shown();
        let words =
            format!("`{name}` is at an address that sessions never reach from here ({kind})");
        Refusal::new(Reason::PrivateAddress, words).flagged(&name, format!("--reach {name}"))
    }
}

/// Whether the host has this address itself, be it a public one: the way to it would begin there.
/// Nothing is sent to find out.
async fn is_our_own(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let Ok(socket) = UdpSocket::bind(any).await else {
        return false;
    };
    // Without a way there the connection fails as well.
    socket.connect(address).await.is_ok()
        && socket
            .local_addr()
            .is_ok_and(|local| local.ip() == address.ip())
}
