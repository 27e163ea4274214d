//! A placeholder goes, the secret comes in.
//!
//! It must never make a value of a secret that could end a header field, and never keep one.

use data_encoding::BASE64;
use holdfast_protocol::vault::GitUser;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use zeroize::Zeroizing;

use super::connection::Way;
use super::fields::{API_KEY, Hidden};
use super::refusal::{Reason, Refusal};
use crate::grant::{Granted, Placeholder};

/// The longest credential of a request that is looked at, in bytes.
const MAX_SHOWN: usize = 4096;

/// Whether a request shows this placeholder to the model API: as a key or as a bearer token.
pub(super) fn shown_to_api(fields: &HeaderMap, placeholder: &Placeholder) -> Shown {
    let as_key = fields
        .get_all(API_KEY)
        .iter()
        .any(|key| placeholder.is(key.as_bytes()));
    let as_bearer = fields
        .get_all(AUTHORIZATION)
        .iter()
        .filter_map(|value| after_scheme(value, "bearer"))
        .any(|token| placeholder.is(token));
    if as_key || as_bearer {
        Shown::Placeholder
    } else {
        Shown::Other
    }
}

/// What a request shows to a git remote.
pub(super) fn shown_to_git(fields: &HeaderMap, placeholder: &Placeholder) -> Shown {
    let mut shown = fields.get_all(AUTHORIZATION).iter();
    let (first, second) = (shown.next(), shown.next());
    match (first, second) {
        (None, _) => Shown::Nothing,
        (Some(value), None) if basic_password_is(value, placeholder) => Shown::Placeholder,
        (Some(_), _) => Shown::Other,
    }
}

/// What stands where a credential belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// The placeholder that was asked about.
    Placeholder,
    /// Something else.
    Other,
}

/// Fetches a granted secret for one request.
pub(super) async fn reveal(way: &Way, granted: &Granted) -> Result<Zeroizing<String>, Refusal> {
    way.reveal
        .reveal(way.session, &granted.name)
        .await
        .map_err(|error| {
            Refusal::new(
                Reason::NoSecret,
                format!("{error}. Ask the human to unlock the vault, or start a new session"),
            )
        })
}

/// The value of `x-api-key`.
pub(super) fn api_key(secret: &str, hidden: &mut Hidden) -> Result<HeaderValue, Refusal> {
    hidden.add(secret);
    field(secret)
}

/// The value of `Authorization` with a bearer token (RFC 6750 §2.1).
pub(super) fn bearer(secret: &str, hidden: &mut Hidden) -> Result<HeaderValue, Refusal> {
    hidden.add(secret);
    field(&Zeroizing::new(format!("Bearer {secret}")))
}

/// The value of `Authorization` with a user and a password (RFC 7617 §2).
pub(super) fn basic(
    user: &GitUser,
    secret: &str,
    hidden: &mut Hidden,
) -> Result<HeaderValue, Refusal> {
    let pair = Zeroizing::new(format!("{}:{secret}", user.as_str()));
    let encoded = Zeroizing::new(BASE64.encode(pair.as_bytes()));
    hidden.add(secret);
    hidden.add(&encoded);
    field(&Zeroizing::new(format!("Basic {}", *encoded)))
}

fn field(text: &str) -> Result<HeaderValue, Refusal> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Refusal::new(
            Reason::NoSecret,
            "the secret cannot stand in a header field (it has a line break or other control \
             characters). Ask the human to put it in again",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic_password_is(value: &HeaderValue, placeholder: &Placeholder) -> bool {
    let Some(pair) = after_scheme(value, "basic").and_then(|text| BASE64.decode(text).ok()) else {
        return false;
    };
    let mut parts = pair.splitn(2, |&byte| byte == b':');
    let (_user, password) = (parts.next(), parts.next());
    password.is_some_and(|password| placeholder.is(password))
}

/// What follows the authentication scheme, whose case does not matter (RFC 9110 §11.1).
fn after_scheme<'a>(value: &'a HeaderValue, scheme: &str) -> Option<&'a [u8]> {
    let bytes = value.as_bytes();
    if bytes.len() > MAX_SHOWN {
        return None;
    }
    let (first, rest) = bytes.split_at_checked(scheme.len())?;
    if first.eq_ignore_ascii_case(scheme.as_bytes()) && rest.first() == Some(&b' ') {
        Some(rest.trim_ascii())
    } else {
        None
    }
}
