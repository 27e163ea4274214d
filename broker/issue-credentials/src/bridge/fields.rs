//! Header fields: which pass, and which stop here.
//!
//! It must never let a field through that belongs to one connection, or that repeats a secret.

use hyper::HeaderMap;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use zeroize::Zeroizing;

use super::refusal::{Reason, Refusal};

/// The field that the Anthropic API takes its keys in.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Fields of one connection (RFC 9110 §7.6.1), whatever `Connection` names besides.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What must not come back in a response's head: a secret, in each form that it was sent in.
#[derive(Default)]
pub(super) struct Hidden(Vec<Zeroizing<Vec<u8>>>);

impl Hidden {
    /// Hides `text`, too.
    pub(super) fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(Zeroizing::new(text.as_bytes().to_vec()));
        }
    }

    fn shows_in(&self, value: &HeaderValue) -> bool {
        let value = value.as_bytes();
        self.0.iter().any(|hidden| {
            value
                .windows(hidden.len())
                .any(|part| part == hidden.as_slice())
        })
    }
}

/// Refuses what two readers could understand in two ways; the parser has refused contradictory
/// lengths already, and what is sent on has its framing made anew.
pub(super) fn unambiguous(fields: &HeaderMap) -> Result<(), Refusal> {
    let bad = |words| Err(Refusal::new(Reason::BadRequest, words));
    if fields.get_all(HOST).iter().count() > 1 {
        return bad("the request has more than one Host field");
    }
    if fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH) {
        return bad("the request has both Transfer-Encoding and Content-Length");
    }
    Ok(())
}

/// Takes the fields out that belong to one connection or frame one message.
pub(super) fn end_to_end(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        fields.remove(name);
    }
}

/// Makes a request's fields fit to be sent on by a client that frames it anew.
pub(super) fn to_send(fields: &mut HeaderMap) {
    end_to_end(fields);
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        fields.remove(name);
    }
}

/// Takes out of a request whatever a server could take for a credential.
pub(super) fn without_credentials(fields: &mut HeaderMap) {
    for name in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, API_KEY] {
        fields.remove(name);
    }
}

/// Takes out of a response what repeats a secret, and the cookies, which are credentials that the
/// secret bought.
pub(super) fn hide(fields: &mut HeaderMap, hidden: &Hidden) {
    let showing: Vec<HeaderName> = fields
        .iter()
        .filter(|(_, value)| hidden.shows_in(value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in showing.iter().chain(&[SET_COOKIE]) {
        fields.remove(name);
    }
}

/// Takes out of a response what only the bridge itself may say.
pub(super) fn not_ours(fields: &mut HeaderMap) {
    let ours: Vec<HeaderName> = fields
        .keys()
        .filter(|name| name.as_str().starts_with("holdfast-"))
        .cloned()
        .collect();
    for name in ours {
        fields.remove(name);
    }
}
