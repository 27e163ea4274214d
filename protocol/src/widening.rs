//! What a human adds to a session's world on the command line: hosts it may reach, ports it shows, folders it is lent,
//! guards that are lifted.
//!
//! Parsed once, where it is typed and again where it arrives. A path here is a name that nobody opens; nothing here is
//! a decision: the policy judges each widening, and the record has it before the session begins.

mod named;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::named::NamedPath;

/// The most widenings of one session's network.
pub const MAX_WIDENINGS: usize = 32;

/// One addition to a session's world.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "way", content = "what", rename_all = "kebab-case")]
pub enum Widening {
    /// It may open TCP to this host and port, even where that is the host's own or its network's.
    Reach(Reach),
    /// It may reach this public host without the question.
    Host(HostName),
    /// Its own server is reachable from the host.
    Publish(Publish),
    /// It is lent this folder or file, outside its project, for reading.
    Read(NamedPath),
    /// It is lent this folder or file, outside its project, to be changed.
    Write(NamedPath),
    /// It may change this of its project, which decides what runs outside of the session.
    Unguard(NamedPath),
}

impl fmt::Display for Widening {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reach(reach) => write!(f, "--reach {reach}"),
            Self::Host(host) => write!(f, "--host {host}"),
            Self::Publish(publish) => write!(f, "--publish {publish}"),
            Self::Read(path) => write!(f, "--ro {path}"),
            Self::Write(path) => write!(f, "--rw {path}"),
            Self::Unguard(path) => write!(f, "--unguard {path}"),
        }
    }
}

impl FromStr for Widening {
    type Err = InvalidWidening;

    /// As it is typed: the flag, a space, its value.
    fn from_str(text: &str) -> Result<Self, InvalidWidening> {
        let flag = || InvalidWidening::Flag(text.chars().take(64).collect());
        let (name, value) = text.split_once(' ').ok_or_else(flag)?;
        Ok(match name {
            "--reach" => Self::Reach(value.parse()?),
            "--host" => Self::Host(value.parse()?),
            "--publish" => Self::Publish(value.parse()?),
            "--ro" => Self::Read(value.parse()?),
            "--rw" => Self::Write(value.parse()?),
            "--unguard" => Self::Unguard(value.parse()?),
            _ => return Err(flag()),
        })
    }
}

/// A text is not what a widening wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWidening {
    /// It is no host.
    #[error("`{0}` is neither a host's name nor an address")]
    Host(String),
    /// It is no host and port.
    #[error("`{0}` is not HOST:PORT, the port from 1 to 65535")]
    Reach(String),
    /// It is no port to publish.
    #[error(
        "`{0}` is not PORT or HOSTPORT:PORT, each from 1 to 65535 and the host's not below 1024"
    )]
    Publish(String),
    /// It is no path that a session could be given.
    #[error("`{0}` is no path of 1 to 4096 bytes without `.` and `..` in it")]
    Path(String),
    /// It is no flag with its value.
    #[error(
        "`{0}` is not --reach HOST:PORT, --host NAME, --publish PORT, --ro PATH, --rw PATH or --unguard PATH"
    )]
    Flag(String),
}

/// A host: a DNS name (RFC 1123 §2.1, and `_`) or an IP address, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// The name in lowercase, without a final dot; an address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Whether it means the machine that looks it up (RFC 6761 §6.3).
    pub fn is_loopback(&self) -> bool {
        match self.address() {
            Some(address) => address.is_loopback(),
            None => self.0 == "localhost" || self.0.ends_with(".localhost"),
        }
    }
}

impl FromStr for HostName {
    type Err = InvalidWidening;

    fn from_str(text: &str) -> Result<Self, InvalidWidening> {
        let refused = || InvalidWidening::Host(text.chars().take(64).collect());
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // A name that ends in a number would be read as an address by others (WHATWG URL §3.5).
        let last = name.rsplit('.').next().unwrap_or_default();
        let number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
        if name.len() <= 253 && name.split('.').all(label) && !number {
            Ok(Self(name))
        } else {
            Err(refused())
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = InvalidWidening;

    fn try_from(text: String) -> Result<Self, InvalidWidening> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reach {
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: NonZeroU16,
}

impl Reach {
    /// The port of the session's own 127.0.0.1 that leads there, where the host is the loopback.
    pub fn door(&self) -> Option<NonZeroU16> {
        self.host.is_loopback().then_some(self.port)
    }
}

impl FromStr for Reach {
    type Err = InvalidWidening;

    fn from_str(text: &str) -> Result<Self, InvalidWidening> {
        let refused = || InvalidWidening::Reach(text.chars().take(64).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        // An IPv6 address without brackets would hide where its port begins.
        if host.contains(':') && !host.starts_with('[') {
            return Err(refused());
        }
        Ok(Self {
            host: host.parse().map_err(|_| refused())?,
            port: port.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.address() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Some(IpAddr::V4(_)) | None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl TryFrom<String> for Reach {
    type Error = InvalidWidening;

    fn try_from(text: String) -> Result<Self, InvalidWidening> {
        text.parse()
    }
}

impl From<Reach> for String {
    fn from(reach: Reach) -> Self {
        reach.to_string()
    }
}

/// A port of the session's own loopback, and the port of the host's where it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Publish {
    /// On the host's 127.0.0.1; not below 1024.
    pub outside: NonZeroU16,
    /// On the session's 127.0.0.1.
    pub inside: NonZeroU16,
}

/// The lowest port that is published: those below are the system's.
const LOWEST: u16 = 1024;

impl Publish {
    /// Where it appears on the host.
    pub fn address(self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::LOCALHOST, self.outside.get())
    }
}

impl FromStr for Publish {
    type Err = InvalidWidening;

    fn from_str(text: &str) -> Result<Self, InvalidWidening> {
        let refused = || InvalidWidening::Publish(text.chars().take(64).collect());
        let port = |text: &str| text.parse::<NonZeroU16>().map_err(|_| refused());
        let (outside, inside) = match text.split_once(':') {
            Some((outside, inside)) => (port(outside)?, port(inside)?),
            None => (port(text)?, port(text)?),
        };
        if outside.get() < LOWEST {
            return Err(refused());
        }
        Ok(Self { outside, inside })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outside == self.inside {
            write!(f, "{}", self.inside)
        } else {
            write!(f, "{}:{}", self.outside, self.inside)
        }
    }
}

impl TryFrom<String> for Publish {
    type Error = InvalidWidening;

    fn try_from(text: String) -> Result<Self, InvalidWidening> {
        text.parse()
    }
}

impl From<Publish> for String {
    fn from(publish: Publish) -> Self {
        publish.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (text, spelled) in [
            ("DB.Internal.", "db.internal"),
            ("localhost", "localhost"),
            ("a_b.example", "a_b.example"),
            ("[::1]", "::1"),
            ("0:0::1", "::1"),
            ("10.0.0.7", "10.0.0.7"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), spelled);
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a/b",
            "a:1",
            "*.a",
            "127.1",
            "1.2.3.4.5",
            "0x7f",
            "a\u{0}",
            "ü.example",
        ] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        assert!(format!("{}.b", "a".repeat(64)).parse::<HostName>().is_err());
        assert!("a.".repeat(127).parse::<HostName>().is_ok());
        assert!("a.".repeat(128).parse::<HostName>().is_err());
    }

    #[test]
    fn a_reach_is_a_host_and_a_port() {
        for (text, spelled) in [
            ("LOCALHOST:5432", "localhost:5432"),
            ("[::1]:80", "[::1]:80"),
            ("db.internal:1", "db.internal:1"),
        ] {
            assert_eq!(text.parse::<Reach>().unwrap().to_string(), spelled);
        }
        for bad in [
            "a", ":1", "a:", "a:0", "a:65536", "a:+1x", "::1:80", "a:1:2",
        ] {
            assert!(bad.parse::<Reach>().is_err(), "{bad}");
        }
        let door = |text: &str| text.parse::<Reach>().unwrap().door().is_some();
        assert!(door("localhost:1") && door("127.9.9.9:1") && door("[::1]:1"));
        assert!(!door("localhost.example:1") && !door("10.0.0.1:1"));
    }

    #[test]
    fn the_systems_ports_are_not_published() {
        let spelled = |text: &str| text.parse::<Publish>().map(|publish| publish.to_string());
        assert_eq!(spelled("3000"), Ok("3000".to_owned()));
        assert_eq!(spelled("8080:80"), Ok("8080:80".to_owned()));
        for bad in ["80", "80:8080", "0:1", "x", "1024:", "1:2:3"] {
            assert!(spelled(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_widening_is_read_as_it_is_typed() {
        let widening = |text: &str| text.parse::<Widening>().unwrap();
        for text in [
            "--reach localhost:5432",
            "--host crates.io",
            "--publish 8080:80",
            "--ro /srv/docs",
            "--rw /srv/da ta",
            "--unguard .github/workflows",
        ] {
            assert_eq!(widening(text).to_string(), text);
        }
        for bad in [
            "--rw",
            "/srv",
            "--rw ",
            "--rm /srv",
            "--rw /srv/../etc",
            "--rw ./a",
            "--ro a\0",
        ] {
            assert!(bad.parse::<Widening>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_spelled_so_that_it_reads_the_same(text in "[a-zA-Z0-9.:_\\[\\]-]{0,24}") {
            if let Ok(reach) = text.parse::<Reach>() {
                prop_assert_eq!(reach.to_string().parse::<Reach>(), Ok(reach));
            }
            if let Ok(publish) = text.parse::<Publish>() {
                prop_assert_eq!(publish.to_string().parse::<Publish>(), Ok(publish));
            }
        }
    }
}
