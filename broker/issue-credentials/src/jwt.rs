//! JWT-SVIDs as a verifier reads them (JWT-SVID §2 to §4, §5.1; RFC 7515, RFC 7519).
//!
//! [`validate`] judges somebody's token, [`read`] only takes apart one that the authority made for
//! us. This module must never believe a header: the bundle's key decides.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::bundle::Bundle;
use crate::jwk::Algorithm;

/// The longest token that is taken, in bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// How far ahead of ours an issuer's clock may be, for `nbf` (RFC 7519 §4.1.5). `exp` has no leeway.
const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(60);

/// A JWT-SVID that this trust domain's bundle vouches for, meant for the audience that asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// Whose it is: `sub`.
    pub spiffe_id: SpiffeId,
    /// Every claim that it makes, `sub`, `aud` and `exp` among them.
    pub claims: Map<String, Value>,
}

/// A token is not a valid JWT-SVID for this audience; whoever presented it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It is longer than any token of ours.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLarge,
    /// It is not three base64url parts (RFC 7515 §7.1).
    #[error("the token is not a compact jws")]
    Serialization,
    /// Its header has another `alg`, another `typ`, or a member that a JWT-SVID must not have.
    #[error("the token's header is not that of a jwt-svid")]
    Header,
    /// Its header names no key.
    #[error("the token's header lacks `kid`")]
    KeyId,
    /// It lacks `sub`, `aud` or `exp`, or one of them is malformed.
    #[error("the token's claims are not those of a jwt-svid")]
    Claims,
    /// No bundle is held for the trust domain of its `sub`.
    #[error("no bundle is held for the trust domain of the token's subject")]
    TrustDomain,
    /// The bundle has no such key.
    #[error("the bundle has no key of the token's `kid`")]
    UnknownKey,
    /// That key did not sign it.
    #[error("the token's signature is wrong")]
    Signature,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is meant for others.
    #[error("the token is not meant for this audience")]
    Audience,
}

/// The claims that a JWT-SVID must have.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) subject: SpiffeId,
    pub(crate) audiences: Vec<String>,
    pub(crate) expires: Timestamp,
}

/// A token taken apart, not yet believed.
#[derive(Debug)]
pub(crate) struct Unverified<'t> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    pub(crate) claims: Claims,
    all: Map<String, Value>,
    not_before: Option<Timestamp>,
    signed: &'t str,
    signature: Vec<u8>,
}

/// Judges a token: its shape, its subject's bundle, its signature, its time, its audience.
///
/// # Errors
/// [`JwtError`] if any of them is not as it has to be.
pub(crate) fn validate(
    token: &str,
    audience: &str,
    trust_domain: &TrustDomain,
    bundle: &Bundle,
    now: Timestamp,
) -> Result<Validated, JwtError> {
    let unverified = read(token)?;
    let claims = unverified.claims;
    if claims.subject.trust_domain() != trust_domain {
        return Err(JwtError::TrustDomain);
    }
    let (key, only) = bundle
        .jwt_key(&unverified.kid)
        .ok_or(JwtError::UnknownKey)?;
    let allowed = only.is_none_or(|only| only == unverified.algorithm);
    if !allowed
        || !key.verifies(
            unverified.algorithm,
            unverified.signed.as_bytes(),
            &unverified.signature,
        )
    {
        return Err(JwtError::Signature);
    }
    if claims.expires <= now {
        return Err(JwtError::Expired);
    }
    if unverified
        .not_before
        .is_some_and(|begins| begins > now + NOT_BEFORE_LEEWAY)
    {
        return Err(JwtError::NotYet);
    }
    if !claims.audiences.iter().any(|one| one == audience) {
        return Err(JwtError::Audience);
    }
    Ok(Validated {
        spiffe_id: claims.subject,
        claims: unverified.all,
    })
}

/// Takes a token apart without believing it.
///
/// # Errors
/// [`JwtError`] if it does not have the shape of a JWT-SVID.
pub(crate) fn read(token: &str) -> Result<Unverified<'_>, JwtError> {
    if token.len() > MAX_TOKEN {
        return Err(JwtError::TooLarge);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Serialization)?;
    let (header, payload) = signed.split_once('.').ok_or(JwtError::Serialization)?;
    let decode = |part: &str| {
        BASE64URL_NOPAD
            .decode(part.as_bytes())
            .map_err(|_| JwtError::Serialization)
    };
    let payload = decode(payload)?;
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwtError::Header)?;
    let registered: Registered = serde_json::from_slice(&payload).map_err(|_| JwtError::Claims)?;
    let audiences = match registered.aud {
        Aud::One(one) => vec![one],
        Aud::Many(many) => many,
    };
    if audiences.is_empty() {
        return Err(JwtError::Claims);
    }
    Ok(Unverified {
        algorithm: header.alg,
        kid: header.kid.ok_or(JwtError::KeyId)?,
        claims: Claims {
            subject: registered.sub.parse().map_err(|_| JwtError::Claims)?,
            audiences,
            expires: numeric_date(registered.exp)?,
        },
        all: serde_json::from_slice(&payload).map_err(|_| JwtError::Claims)?,
        not_before: registered.nbf.map(numeric_date).transpose()?,
        signed,
        signature: decode(signature)?,
    })
}

/// JWT-SVID §2: no other member may appear. A doubled member is an error, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    #[serde(rename = "typ")]
    _typ: Option<Typ>,
}

/// JWT-SVID §2.3.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Typ {
    Jwt,
    Jose,
}

#[derive(Deserialize)]
struct Registered {
    sub: String,
    aud: Aud,
    exp: f64,
    nbf: Option<f64>,
}

/// RFC 7519 §4.1.3.
#[derive(Deserialize)]
#[serde(untagged)]
enum Aud {
    One(String),
    Many(Vec<String>),
}

/// RFC 7519 §2: seconds since the epoch, with or without a fraction.
fn numeric_date(seconds: f64) -> Result<Timestamp, JwtError> {
    let seconds = Duration::try_from_secs_f64(seconds).map_err(|_| JwtError::Claims)?;
    Ok(Timestamp::from_millis(0) + seconds)
}

#[cfg(test)]
mod tests;
