//! Which repository a request is for, and which part of the smart protocol.
//!
//! Pure. The path that is sent is the one that was judged. It must never yield a repository that the
//! secret's own remote does not cover.

use holdfast_protocol::url::HttpUrl;
use hyper::{Method, Uri};

use super::super::refusal::{Reason, Refusal};

/// A repository, and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) repository: HttpUrl,
    pub(super) operation: Operation,
}

/// The four requests of the smart protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    AdvertiseFetch,
    AdvertisePush,
    Fetch,
    Push,
}

impl Operation {
    const ALL: [Self; 4] = [
        Self::AdvertiseFetch,
        Self::AdvertisePush,
        Self::Fetch,
        Self::Push,
    ];

    /// Its name for the record.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AdvertiseFetch => "advertise-fetch",
            Self::AdvertisePush => "advertise-push",
            Self::Fetch => "fetch",
            Self::Push => "push",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::AdvertiseFetch | Self::AdvertisePush => Method::GET,
            Self::Fetch | Self::Push => Method::POST,
        }
    }

    /// What follows the repository in a request's target.
    fn path(self) -> &'static str {
        match self {
            Self::AdvertiseFetch | Self::AdvertisePush => "info/refs",
            Self::Fetch => "git-upload-pack",
            Self::Push => "git-receive-pack",
        }
    }

    fn query(self) -> Option<&'static str> {
        match self {
            Self::AdvertiseFetch => Some("service=git-upload-pack"),
            Self::AdvertisePush => Some("service=git-receive-pack"),
            Self::Fetch | Self::Push => None,
        }
    }
}

impl Place {
    /// Reads a request's target, of which `rest` is the path below the secret's name.
    pub(super) fn read(
        remote: &HttpUrl,
        method: &Method,
        rest: &str,
        query: Option<&str>,
    ) -> Result<Self, Refusal> {
        let found = Operation::ALL.into_iter().find_map(|operation| {
            if *method != operation.method() || query != operation.query() {
                return None;
            }
            let repository = rest.strip_suffix(operation.path())?;
            Some((operation, repository))
        });
        let (operation, below) = found.ok_or_else(|| {
            Refusal::new(
                Reason::NotServed,
                "of a git remote there are fetch and push by the smart HTTP protocol here, nothing \
                 else (no LFS, no dumb protocol)",
            )
        })?;
        let url = match below.strip_suffix('/') {
            None if below.is_empty() => remote.to_string(),
            Some(below) if below.split('/').all(is_plain) => format!("{remote}/{below}"),
            None | Some(_) => return Err(odd()),
        };
        let repository: HttpUrl = url.parse().map_err(|_| odd())?;
        // Belt and braces: no normalization of the URL may lead away.
        if repository.to_string() != url || !remote.covers(&repository) {
            return Err(odd());
        }
        Ok(Self {
            repository,
            operation,
        })
    }

    /// Where the request goes.
    pub(super) fn uri(&self) -> Result<Uri, Refusal> {
        let (path, query) = (self.operation.path(), self.operation.query());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}/{path}{query}", self.repository)
            .parse()
            .map_err(|_| odd())
    }
}

/// Whether a segment means itself to everybody.
fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'@')
        })
}

fn odd() -> Refusal {
    Refusal::new(
        Reason::BadRequest,
        "the repository's path has to be of letters, digits and `-._~+@`, without `.` and `..`",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn read(method: Method, rest: &str, query: Option<&str>) -> Option<Place> {
        let remote: HttpUrl = "https://git.example/org".parse().unwrap();
        Place::read(&remote, &method, rest, query).ok()
    }

    #[test]
    fn the_four_requests_are_served() {
        let fetch = Some("service=git-upload-pack");
        let place = read(Method::GET, "a/b.git/info/refs", fetch).unwrap();
        assert_eq!(place.operation, Operation::AdvertiseFetch);
        assert_eq!(
            place.repository.to_string(),
            "https://git.example/org/a/b.git"
        );
        assert_eq!(
            place.uri().unwrap().to_string(),
            "https://git.example/org/a/b.git/info/refs?service=git-upload-pack"
        );
        let place = read(Method::POST, "git-receive-pack", None).unwrap();
        assert_eq!(place.operation, Operation::Push);
        assert_eq!(place.repository.to_string(), "https://git.example/org");
    }

    #[test]
    fn nothing_else_is() {
        let fetch = Some("service=git-upload-pack");
        for (method, rest, query) in [
            (Method::GET, "a/info/refs", None),
            (
                Method::GET,
                "a/info/refs",
                Some("service=git-upload-archive"),
            ),
            (
                Method::GET,
                "a/info/refs",
                Some("service=git-upload-pack&x=y"),
            ),
            (Method::GET, "a/HEAD", None),
            (Method::GET, "a/git-receive-pack", None),
            (Method::PUT, "a/git-receive-pack", None),
            (Method::POST, "a/git-receive-pack", Some("x")),
            (Method::POST, "a/info/lfs/objects/batch", None),
            (Method::POST, "agit-receive-pack", None),
            (Method::GET, "../x/info/refs", fetch),
            (Method::GET, "a/../../x/info/refs", fetch),
            (Method::GET, "./info/refs", fetch),
            (Method::GET, "a//info/refs", fetch),
            (Method::GET, "/a/info/refs", fetch),
            (Method::GET, "%2e%2e/x/info/refs", fetch),
            (Method::GET, "a%2fb/info/refs", fetch),
            (Method::GET, "a\\..\\b/info/refs", fetch),
            (Method::GET, "a;b/info/refs", fetch),
        ] {
            assert_eq!(read(method.clone(), rest, query), None, "{method} {rest}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_the_remote_covers_it(rest in r"[a-z./%\\]{0,24}") {
            let remote: HttpUrl = "https://git.example/org".parse().unwrap();
            let rest = format!("{rest}git-receive-pack");
            if let Some(place) = read(Method::POST, &rest, None) {
                prop_assert!(remote.covers(&place.repository));
                let uri = place.uri().unwrap();
                prop_assert_eq!(uri.host(), Some("git.example"));
                prop_assert!(uri.path().starts_with("/org/"));
            }
        }
    }
}
