//! JWT-SVIDs (SPIFFE JWT-SVID): ES256, compact, headers `alg`, `kid`, `typ` and no others.
//!
//! Their key is another than the authority's, so that neither signs the other's kind of thing.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use holdfast_proof::hash::sha256;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::SpiffeId;
use serde::Serialize;

use super::CertifyError;
use super::generations::Number;
use super::key_folder::KeyFolder;
use super::{jwk, key};

/// How many receivers one JWT-SVID may name.
const MAX_AUDIENCE: usize = 8;

/// Whom a JWT-SVID is for: 1 to 8 receivers of 1 to 256 printable characters each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience(Vec<String>);

/// A list of receivers is not one that we sign. The host is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a jwt-svid has 1 to 8 audiences of 1 to 256 printable characters each")]
pub struct InvalidAudience;

impl Audience {
    /// These receivers.
    ///
    /// # Errors
    /// [`InvalidAudience`] if they are none, too many, or not printable.
    pub fn new(receivers: Vec<String>) -> Result<Self, InvalidAudience> {
        let valid = (1..=MAX_AUDIENCE).contains(&receivers.len())
            && receivers.iter().all(|receiver| {
                (1..=256).contains(&receiver.len())
                    && receiver.bytes().all(|byte| byte.is_ascii_graphic())
            });
        if valid {
            Ok(Self(receivers))
        } else {
            Err(InvalidAudience)
        }
    }

    /// The receivers.
    pub fn receivers(&self) -> &[String] {
        &self.0
    }
}

/// A JWT-SVID that was just signed. Who bears it is its subject, so `Debug` hides the token.
#[derive(Clone)]
pub struct JwtSvid {
    /// The token, compact (RFC 7515 §7.1).
    pub token: String,
    /// When it ends; a whole second.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JwtSvid(until {})", self.expires_at)
    }
}

/// The key that signs JWT-SVIDs.
#[derive(Debug)]
pub(super) struct JwtKey {
    key: EcdsaKeyPair,
    kid: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a SpiffeId,
    aud: &'a [String],
    iat: u64,
    exp: u64,
}

impl JwtKey {
    /// Opens the key, and makes it where it is not there.
    pub(super) fn open(state: &KeyFolder, number: Number) -> Result<Self, CertifyError> {
        let path = Self::file(state, number);
        let pkcs8 = state.key(&path, key::generate)?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.secret_pkcs8_der())
                .map_err(|_| CertifyError::Unusable {
                    path: path.clone(),
                    problem: "is not a P-256 key",
                })?;
        let kid = thumbprint(key.public_key().as_ref());
        Ok(Self { key, kid })
    }

    /// Where the key of a generation is.
    pub(super) fn file(state: &KeyFolder, number: Number) -> PathBuf {
        state.join(format!("jwt{}.key.pem", number.infix()))
    }

    pub(super) fn sign(
        &self,
        subject: &SpiffeId,
        audience: &Audience,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<JwtSvid, CertifyError> {
        let ends = now + ttl;
        let header = Header {
            alg: "ES256",
            kid: &self.kid,
            typ: "JWT",
        };
        let claims = Claims {
            sub: subject,
            aud: audience.receivers(),
            iat: now.as_secs(),
            exp: ends.as_secs(),
        };
        let mut token = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = self
            .key
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| CertifyError::Crypto("signing a jwt-svid"))?;
        token.push('.');
        token.push_str(&BASE64URL_NOPAD.encode(signature.as_ref()));
        Ok(JwtSvid {
            token,
            expires_at: Timestamp::from_secs(ends.as_secs()),
        })
    }

    /// The public key as a JWK.
    pub(super) fn jwk(&self) -> serde_json::Value {
        let mut jwk = jwk::p256(self.key.public_key().as_ref(), "jwt-svid");
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), self.kid.clone().into());
            members.insert("alg".to_owned(), "ES256".into());
        }
        jwk
    }
}

/// The key's name: its JWK thumbprint (RFC 7638), the hash of the required members in order.
fn thumbprint(point: &[u8]) -> String {
    let jwk = jwk::p256(point, "");
    let member = |name: &str| jwk.get(name).and_then(|value| value.as_str()).unwrap_or("");
    let required = format!(
        r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
        member("x"),
        member("y")
    );
    BASE64URL_NOPAD.encode(sha256(required.as_bytes()).as_bytes())
}

fn part(value: &impl Serialize) -> Result<String, CertifyError> {
    let json =
        serde_json::to_vec(value).map_err(|_| CertifyError::Crypto("encoding a jwt-svid"))?;
    Ok(BASE64URL_NOPAD.encode(&json))
}
