//! Identifiers: trust domain, host, session, agent kind, SPIFFE ID, call.
//!
//! Each is parsed once and valid ever after; this module must never generate one (randomness is an
//! input).

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::sub::SubPath;

/// The text is not what it claims to name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A trust domain is 1 to 255 of `[a-z0-9._-]` (SPIFFE-ID §2.1).
    #[error("`{0}` is not a SPIFFE trust domain")]
    TrustDomain(String),
    /// A SPIFFE ID is `spiffe://TD/segment…`, at most 2048 bytes (SPIFFE-ID §2).
    #[error("`{0}` is not a SPIFFE ID")]
    SpiffeId(String),
    /// Host and session ids are 128 bits as 26 lowercase base32 characters.
    #[error("`{0}` is not a 128-bit id in lowercase base32")]
    Base32(String),
    /// An agent kind is 1 to 32 of `[a-z0-9-]`.
    #[error("`{0}` is not an agent kind")]
    AgentKind(String),
}

macro_rules! text_serde {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 128 random bits, which the caller draws.
            pub const fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let refused = || InvalidId::Base32(excerpt(text));
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(refused());
                }
                BASE32_NOPAD
                    .decode(text.to_ascii_uppercase().as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(refused)
            }
        }

        text_serde!($name);
    };
}

random_id!(
    /// A host, assigned at enrollment and mapped to its EK: 128 random bits.
    HostId
);
random_id!(
    /// One sealed session of one agent: 128 random bits.
    SessionId
);
random_id!(
    /// One tool call, unique on its host: 128 random bits.
    CallId
);

/// A SPIFFE trust domain name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name, as it stands after `spiffe://`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID of the trust domain itself: what a CA certificate carries.
    pub fn id(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::TrustDomain(excerpt(text)))
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(TrustDomain);

/// The kind of an agent, as its profile names it: `claude`, `codex`, `shell`, …
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentKind(String);

impl AgentKind {
    /// The kind's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentKind {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::AgentKind(excerpt(text)))
        }
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(AgentKind);

/// A SPIFFE ID with a non-root path (SPIFFE-ID §2): what a leaf SVID carries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: String,
}

impl SpiffeId {
    /// `spiffe://TD/host/<host-id>`: a host.
    pub fn host(trust_domain: &TrustDomain, host: HostId) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            path: format!("/host/{host}"),
        }
    }

    /// `spiffe://TD/host/<host-id>/agent/<kind>/<session-id>`: an agent's session.
    pub fn session(
        trust_domain: &TrustDomain,
        host: HostId,
        kind: &AgentKind,
        session: SessionId,
    ) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            path: format!("/host/{host}/agent/{kind}/{session}"),
        }
    }

    /// `…/sub/<n>`, below the session that this names: a sub-agent of it.
    pub fn sub_agent(&self, sub: SubPath) -> Self {
        Self {
            trust_domain: self.trust_domain.clone(),
            path: format!("{}/{sub}", self.path),
        }
    }

    /// `spiffe://TD/host/<host-id>/agent/service/<name>`: a service of a host that Holdfast did not launch.
    pub fn service(trust_domain: &TrustDomain, host: HostId, name: &AgentKind) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            path: format!("/host/{host}/agent/service/{name}"),
        }
    }

    /// `spiffe://TD/attestor`: the attestor itself.
    pub fn attestor(trust_domain: &TrustDomain) -> Self {
        Self {
            trust_domain: trust_domain.clone(),
            path: "/attestor".to_owned(),
        }
    }

    /// The agent that this one is a sub-agent of: this name without its last `/sub/<n>`.
    pub fn of_agent(&self) -> Option<Self> {
        let (path, number) = self.path.rsplit_once("/sub/")?;
        let is_sub = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_sub.then(|| Self {
            trust_domain: self.trust_domain.clone(),
            path: path.to_owned(),
        })
    }

    /// The trust domain that vouches for this ID.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether this ID lies strictly below `parent`'s: the names that a host may ask for.
    pub fn is_below(&self, parent: &SpiffeId) -> bool {
        self.trust_domain == parent.trust_domain
            && self
                .path
                .strip_prefix(parent.path.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The host that this ID names or lies below, if it has that shape.
    pub fn host_id(&self) -> Option<HostId> {
        let mut segments = self.path.split('/').skip(1);
        if segments.next() != Some("host") {
            return None;
        }
        segments.next()?.parse().ok()
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let refused = || InvalidId::SpiffeId(excerpt(text));
        if text.len() > 2048 {
            return Err(refused());
        }
        let rest = text.strip_prefix("spiffe://").ok_or_else(refused)?;
        let (trust_domain, path) = rest.split_once('/').ok_or_else(refused)?;
        let segments_valid = path.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        });
        if !segments_valid {
            return Err(refused());
        }
        Ok(Self {
            trust_domain: trust_domain.parse().map_err(|_| refused())?,
            path: format!("/{path}"),
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}{}", self.trust_domain, self.path)
    }
}

text_serde!(SpiffeId);

/// At most 64 characters of foreign text, for an error message.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn host_ids_survive_text(bytes: [u8; 16]) {
            let id = HostId::from_random(bytes);
            prop_assert_eq!(id.to_string().len(), 26);
            prop_assert_eq!(id.to_string().parse::<HostId>().unwrap(), id);
        }

        #[test]
        fn any_text_is_refused_or_survives(text in "\\PC{0,80}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn spiffe_ids_follow_the_specification() {
        for good in ["spiffe://a/b", "spiffe://example.org/host/x/agent/Y_.-z"] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().to_string(), good);
        }
        for bad in [
            "spiffe://a",
            "spiffe://a/",
            "spiffe://A/b",
            "spiffe://a/b/",
            "spiffe://a//b",
            "spiffe://a/./b",
            "spiffe://a/../b",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe:///b",
            "http://a/b",
            "spiffe://a/%41",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_owns_only_what_lies_below_it() {
        let td: TrustDomain = "example.org".parse().unwrap();
        let host = SpiffeId::host(&td, HostId::from_random([1; 16]));
        let other = SpiffeId::host(&td, HostId::from_random([2; 16]));
        let below: SpiffeId = format!("{host}/agent/claude/x").parse().unwrap();
        let beside: SpiffeId = format!("{host}x/agent/claude/x").parse().unwrap();
        assert!(below.is_below(&host));
        assert!(!below.is_below(&other));
        assert!(!beside.is_below(&host));
        assert!(!host.is_below(&host));
        assert_eq!(below.host_id(), host.host_id());
    }
}
