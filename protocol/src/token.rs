//! The one-time token with which a host is enrolled.
//!
//! It names the authority that the host has to meet before it sends the secret, so a token that is
//! copied to the wrong place cannot be harvested there. This module must never show the secret but
//! through [`JoinToken::reveal`], and never hashes it.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Sha256Digest;
use crate::id::TrustDomain;

const PREFIX: &str = "hft1.";

/// The longest text that a token can have: prefix, trust domain, two dots, 256 and 160 bits.
const MAX_TEXT: usize = PREFIX.len() + 255 + 2 + 52 + 32;

/// The secret part of a token: 160 random bits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TokenSecret([u8; 20]);

impl TokenSecret {
    /// From 160 random bits, which the caller draws.
    pub const fn from_random(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The bits: what the attestor stores the SHA-256 of.
    pub const fn expose(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(redacted)")
    }
}

/// A one-time token: `hft1.<trust domain>.<authority>.<secret>`, the last two in lowercase unpadded
/// base32 (RFC 4648 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The trust domain to join.
    pub trust_domain: TrustDomain,
    /// SHA-256 over the DER of the trust domain's X.509 authority: the only one to send the token to.
    pub authority: Sha256Digest,
    /// What proves that an operator let the bearer in.
    pub secret: TokenSecret,
}

/// The text is not a token. It is a secret, so the error does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token reads `hft1.<trust domain>.<authority>.<secret>`; this text does not")]
pub struct InvalidToken;

impl JoinToken {
    /// The token as text, to be handed to the host once.
    pub fn reveal(&self) -> Zeroizing<String> {
        // Allocated at once, so that no copy of the secret is left behind by a growing buffer.
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT));
        text.push_str(PREFIX);
        text.push_str(self.trust_domain.as_str());
        text.push('.');
        push_base32(&mut text, self.authority.as_bytes());
        text.push('.');
        push_base32(&mut text, self.secret.expose());
        text
    }
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        if text.len() > MAX_TEXT || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidToken);
        }
        // A trust domain has dots of its own, so the text is taken apart from its end.
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let (rest, secret) = rest.rsplit_once('.').ok_or(InvalidToken)?;
        let (trust_domain, authority) = rest.rsplit_once('.').ok_or(InvalidToken)?;
        Ok(Self {
            trust_domain: trust_domain.parse().map_err(|_| InvalidToken)?,
            authority: Sha256Digest::new(base32(authority)?),
            secret: TokenSecret(base32(secret)?),
        })
    }
}

fn push_base32(text: &mut String, bytes: &[u8]) {
    let encoded = Zeroizing::new(BASE32_NOPAD.encode(bytes));
    text.extend(encoded.chars().map(|c| c.to_ascii_lowercase()));
}

fn base32<const N: usize>(text: &str) -> Result<[u8; N], InvalidToken> {
    let upper = Zeroizing::new(text.to_ascii_uppercase());
    let bytes = BASE32_NOPAD
        .decode(upper.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| InvalidToken)?;
    bytes.as_slice().try_into().map_err(|_| InvalidToken)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn token(trust_domain: &str, authority: [u8; 32], secret: [u8; 20]) -> JoinToken {
        JoinToken {
            trust_domain: trust_domain.parse().unwrap(),
            authority: Sha256Digest::new(authority),
            secret: TokenSecret::from_random(secret),
        }
    }

    proptest! {
        #[test]
        fn survives_text(td in "[a-z0-9._-]{1,255}", authority: [u8; 32], secret: [u8; 20]) {
            let token = token(&td, authority, secret);
            let text = token.reveal();
            prop_assert!(text.len() <= MAX_TEXT);
            prop_assert_eq!(text.parse::<JoinToken>().unwrap(), token);
        }

        #[test]
        fn any_text_is_refused_or_survives(text in "(hft1\\.)?[a-z2-7.]{0,120}") {
            if let Ok(token) = text.parse::<JoinToken>() {
                let revealed = token.reveal();
                prop_assert_eq!(revealed.as_str(), text.as_str());
            }
        }
    }

    #[test]
    fn refuses_what_is_not_a_token() {
        let text = token("a.b", [7; 32], [9; 20]).reveal().to_string();
        for bad in [
            String::new(),
            "hft1...".to_owned(),
            text.to_uppercase(),
            text.replacen("hft1", "hft2", 1),
            format!("{text}a"),
            format!("{text}="),
            format!("{text}\n"),
            text.chars().take(text.len() - 1).collect(),
        ] {
            assert_eq!(bad.parse::<JoinToken>(), Err(InvalidToken), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", token("a.b", [7; 32], [9; 20]));
        assert!(shown.contains("redacted"));
        assert!(!shown.contains('9'), "{shown}");
    }
}
