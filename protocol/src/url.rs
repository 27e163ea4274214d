//! Where a secret is good: an `http` or `https` URL, in one spelling.
//!
//! A secret leaves the broker for no other place than the one that is written here, so the
//! comparison is of scheme, host, port and whole path segments, never of text. It must never hold a
//! user, a password, a query or a fragment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

/// The longest URL, in bytes.
const MAX: usize = 2048;

/// An absolute `http` or `https` URL (RFC 3986), normalized, without a final slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl(Url);

/// A text is not a URL that a secret could be good for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a plain http or https URL without user, query and fragment")]
pub struct InvalidUrl(String);

/// How what is sent there travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// In TLS.
    Https,
}

impl HttpUrl {
    /// How what is sent there travels.
    pub fn scheme(&self) -> Scheme {
        if self.0.scheme() == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    /// The host: a name in ASCII, or an address (IPv6 in brackets).
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own where none is written.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// `host` or `host:port`, as an HTTP `Host` field has it.
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// The path, empty or `/segment…`, without a final slash.
    pub fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// Whether `other` lies at this URL or below it.
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme() == other.scheme()
            && self.host() == other.host()
            && self.port() == other.port()
            && other
                .path()
                .strip_prefix(self.path())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for HttpUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let refused = || InvalidUrl(text.chars().take(200).collect());
        // What is encoded could be read as another path at the other end.
        if text.len() > MAX || text.contains('%') {
            return Err(refused());
        }
        let url = Url::parse(text).map_err(|_| refused())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !url.path().contains('%')
            && !url.path().contains("//");
        if plain { Ok(Self(url)) } else { Err(refused()) }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn url(text: &str) -> HttpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn one_spelling() {
        assert_eq!(
            url("HTTPS://Example.COM:443/a/").to_string(),
            "https://example.com/a"
        );
        assert_eq!(url("http://127.0.0.1:80").to_string(), "http://127.0.0.1");
        assert_eq!(url("http://[::1]:3000/x").authority(), "[::1]:3000");
    }

    #[test]
    fn what_lies_below_is_covered_and_nothing_beside() {
        let org = url("https://git.example/org");
        assert!(org.covers(&url("https://git.example/org")));
        assert!(org.covers(&url("https://git.example/org/repo.git")));
        for beside in [
            "https://git.example/organization",
            "https://git.example/",
            "https://git.example/org/../other",
            "http://git.example/org/repo",
            "https://git.example:8443/org/repo",
            "https://git.example.evil/org/repo",
        ] {
            assert!(!org.covers(&url(beside)), "{beside}");
        }
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        for bad in [
            "",
            "git.example",
            "ssh://git.example/x",
            "https://user@git.example/x",
            "https://:secret@git.example/x",
            "https://git.example/x?y",
            "https://git.example/x#y",
            "https://git.example/%2e%2e/x",
            "https://git.example//x",
            "file:///etc/passwd",
        ] {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
    }
}
