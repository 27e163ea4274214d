//! The answers that the bridge gives in its own name.
//!
//! Each is plain text that says what happened and what to do, with a stable reason for programs. It
//! must never repeat a secret or a placeholder.

use std::error::Error;
use std::fmt::Write;

use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::Given;

/// The response header that names the [`Reason`].
pub(super) const REASON: HeaderName = HeaderName::from_static("holdfast-reason");

/// The longest text, in characters.
const MAX_WORDS: usize = 1000;

/// Why a request was not passed on; its text is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The request is not one that can be understood in one way.
    BadRequest,
    /// Nothing is served at this place, or not by this method.
    NotServed,
    /// The session was not granted the secret, or did not show its placeholder.
    NotGranted,
    /// The policy or a human said no.
    Denied,
    /// The target is an address of the host, of its network, or of no one machine.
    PrivateAddress,
    /// The target's name has no address.
    Unresolved,
    /// The target cannot be reached, or broke off.
    Unreachable,
    /// The target did not answer in time.
    TooSlow,
    /// The request is larger than what is passed on.
    TooLarge,
    /// The secret cannot be had or cannot be sent.
    NoSecret,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::NotServed => "not-served",
            Self::NotGranted => "not-granted",
            Self::Denied => "denied",
            Self::PrivateAddress => "private-address",
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too-slow",
            Self::TooLarge => "too-large",
            Self::NoSecret => "no-secret",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotServed | Self::NotGranted | Self::Denied | Self::PrivateAddress => {
                StatusCode::FORBIDDEN
            }
            Self::Unresolved | Self::Unreachable => StatusCode::BAD_GATEWAY,
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSecret => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A request that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    reason: Reason,
    words: String,
    /// The flag of `holdfast run` that would have made it none.
    flag: Option<String>,
}

impl Refusal {
    /// A refusal with words for the one who reads it: what happened, and what to do.
    pub(super) fn new(reason: Reason, words: impl Into<String>) -> Self {
        Self {
            reason,
            words: words.into(),
            flag: None,
        }
    }

    /// `host` cannot be reached, or broke off.
    pub(super) fn unreachable(host: &str, error: &dyn Error) -> Self {
        let mut words = format!("`{host}` cannot be reached: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing to a `String` cannot fail.
            let _ = write!(words, ": {error}");
            cause = error.source();
        }
        Self::new(Reason::Unreachable, words)
    }

    /// The same, and the flag of `holdfast run` that would give a session `what`.
    pub(super) fn flagged(mut self, what: &str, flag: String) -> Self {
        // Writing to a `String` cannot fail.
        let _ = write!(
            self.words,
            "; a session that needs `{what}` can be started with `holdfast run {flag}`"
        );
        self.flag = Some(flag);
        self
    }

    /// The flag that would have made it none.
    pub(super) fn flag(&self) -> Option<&str> {
        self.flag.as_deref()
    }

    /// The answer to who speaks HTTP without having been heard.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let text = self.text();
        format!(
            "HTTP/1.1 {}\r\n{REASON}: {}\r\n{CONTENT_TYPE}: text/plain; charset=utf-8\r\n\
             content-length: {}\r\n{CONNECTION}: close\r\n\r\n{text}",
            self.reason.status(),
            self.name(),
            text.len(),
        )
        .into_bytes()
    }

    fn text(&self) -> String {
        format!("holdfast: {}\n", printable(&self.words, MAX_WORDS))
    }

    /// The stable name of the reason.
    pub(super) fn name(&self) -> &'static str {
        self.reason.as_str()
    }

    /// What happened, and what to do.
    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Given> {
        let body = Full::new(Bytes::from(self.text())).map_err(|never| match never {});
        let mut response = Response::new(Given::new(body));
        *response.status_mut() = self.reason.status();
        let fields = response.headers_mut();
        fields.insert(REASON, HeaderValue::from_static(self.name()));
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if self.reason == Reason::BadRequest {
            // Where a request ended may be in doubt, too.
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// At most `longest` characters of `text` on one line: others' words must not draw on a terminal.
pub(super) fn printable(text: &str, longest: usize) -> String {
    text.chars()
        .take(longest)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
