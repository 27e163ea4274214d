//! Ports that are very likely free.
//!
//! It must never hand out a port of the kernel's ephemeral range: any outgoing connection on the machine may take
//! such a port between the look and the use.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

/// Below the default ephemeral range of Linux (32768..=60999), above what services usually claim.
const RANGE: Range<u16> = 12_000..32_000;

/// Enough that only a machine without free ports fails: a test run holds a few hundred of 20,000.
const ATTEMPTS: usize = 200;

/// Two neighboring ports of 127.0.0.1, as the swtpm TCTI wants them: commands on the first, control on the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPair {
    command: u16,
}

impl PortPair {
    /// A pair that was free a moment ago. Whoever binds it must be ready to lose the race and ask again.
    ///
    /// # Panics
    /// When no pair is free.
    pub fn free() -> Self {
        Self::bound().0
    }

    /// A pair together with the two listeners that hold it: no race.
    pub(super) fn bound() -> (Self, TcpListener, TcpListener) {
        (0..ATTEMPTS)
            .find_map(|_| {
                let pair = Self {
                    command: random_port(),
                };
                let command = TcpListener::bind(pair.command()).ok()?;
                let control = TcpListener::bind(pair.control()).ok()?;
                Some((pair, command, control))
            })
            .expect("two neighboring free ports on 127.0.0.1")
    }

    /// Where TPM commands go.
    pub fn command(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.command))
    }

    /// Where swtpm's own control messages go.
    pub fn control(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.command + 1))
    }

    /// The TCTI configuration that reaches this pair, for tpm2-tools and for ESAPI alike.
    pub fn tcti(self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.command)
    }
}

/// One address of 127.0.0.1 that was free a moment ago, for a server that a test configures.
///
/// # Panics
/// When no port is free.
pub fn free_port() -> SocketAddr {
    (0..ATTEMPTS)
        .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, random_port())))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port on 127.0.0.1")
}

/// Random, not counted: a counter would begin at the same place in every test process.
fn random_port() -> u16 {
    let span = u64::from(RANGE.end - RANGE.start - 1);
    let offset = RandomState::new().build_hasher().finish() % span;
    RANGE.start + u16::try_from(offset).expect("an offset inside the range")
}
