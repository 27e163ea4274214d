//! Where an attestor is reached.
//!
//! Only `https://host:port`: an address must never carry credentials, a path, or another scheme.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An attestor's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttestorUrl {
    host: String,
    port: u16,
}

/// The text is not an attestor's address.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an attestor's address; it has the form https://host:port")]
pub struct InvalidUrl(String);

impl AttestorUrl {
    /// `host:port`, as a resolver takes it.
    pub fn socket(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl FromStr for AttestorUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let refused = || InvalidUrl(text.chars().take(80).collect());
        let rest = text.strip_prefix("https://").ok_or_else(refused)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(refused)?;
        let host_valid = !host.is_empty()
            && host.len() <= 255
            && host.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'[' | b']' | b':')
            });
        if !host_valid {
            return Err(refused());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for AttestorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for AttestorUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<AttestorUrl> for String {
    fn from(url: AttestorUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_https_host_and_port() {
        let url: AttestorUrl = "https://attestor.example:8443/".parse().unwrap();
        assert_eq!(url.to_string(), "https://attestor.example:8443");
        assert_eq!(
            "https://[::1]:1".parse::<AttestorUrl>().unwrap().host(),
            "::1"
        );
        for bad in [
            "http://a:1",
            "https://a",
            "https://:1",
            "https://u@a:1",
            "https://a:1/p",
            "https://a:99999",
        ] {
            assert!(bad.parse::<AttestorUrl>().is_err(), "{bad}");
        }
    }
}
