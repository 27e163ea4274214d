//! The trust domain's bundle as this job serves and uses it (SPIFFE_Trust_Domain_and_Bundle §4).
//!
//! Parsed once, into what X.509 clients get, what JWT clients get, and the keys that judge a
//! JWT-SVID. This module must never pass on a key of another use.

use std::collections::{BTreeMap, BTreeSet};

use prost::bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::jwk::{Algorithm, JwtKey, KeyMembers};

/// The most X.509 authorities or keys that a bundle may have.
const MAX_ENTRIES: usize = 64;

/// The largest certificate or key set that is taken, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// What vouches for the SVIDs of one trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    x509: Bytes,
    authorities: BTreeSet<Vec<u8>>,
    jwks: Bytes,
    jwt_keys: BTreeMap<String, (JwtKey, Option<Algorithm>)>,
}

/// The authority's bundle is not one; the authority is to blame.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Too many entries, or one that is too large.
    #[error("the bundle is larger than {MAX_ENTRIES} entries of {MAX_BYTES} bytes")]
    TooLarge,
    /// An X.509 authority is empty.
    #[error("an x.509 authority is empty")]
    X509,
    /// The key set is not a JWK set (RFC 7517 §5).
    #[error("the keys are not a jwk set")]
    Jwks(#[source] serde_json::Error),
    /// A key for JWT-SVIDs has no `kid`, is malformed, or shares its `kid` with another.
    #[error("a jwt-svid key lacks a `kid` of its own, or is malformed")]
    JwtKey,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Map<String, Value>>,
}

impl Bundle {
    /// The bundle that is not known yet: nothing is served from it, and it vouches for nothing.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Reads X.509 authorities (DER) and a JWK set: a SPIFFE bundle document, or its JWT part.
    ///
    /// Only keys whose `use` is `jwt-svid` are kept; what is unknown is ignored, as §4.2 asks.
    ///
    /// # Errors
    /// [`BundleError`] if a part is malformed; the bundle that was known before stays.
    pub fn read(x509_authorities: &[Vec<u8>], jwks: &str) -> Result<Self, BundleError> {
        let oversized = |bytes: usize| bytes > MAX_BYTES;
        if x509_authorities.len() > MAX_ENTRIES
            || oversized(x509_authorities.iter().map(Vec::len).sum())
            || oversized(jwks.len())
        {
            return Err(BundleError::TooLarge);
        }
        if x509_authorities.iter().any(Vec::is_empty) {
            return Err(BundleError::X509);
        }
        let set: JwkSet = serde_json::from_str(jwks).map_err(BundleError::Jwks)?;
        if set.keys.len() > MAX_ENTRIES {
            return Err(BundleError::TooLarge);
        }
        let mut jwt_keys = BTreeMap::new();
        let mut kept = Vec::new();
        for jwk in set.keys {
            if jwk.get("use").and_then(Value::as_str) != Some("jwt-svid") {
                continue;
            }
            let kid = jwk.get("kid").and_then(Value::as_str);
            let kid = kid.filter(|kid| !kid.is_empty());
            let kid = kid.ok_or(BundleError::JwtKey)?.to_owned();
            let Some(key) = jwt_key(&jwk)? else { continue };
            if jwt_keys.insert(kid, key).is_some() {
                return Err(BundleError::JwtKey);
            }
            kept.push(Value::Object(jwk));
        }
        Ok(Self {
            x509: x509_authorities.concat().into(),
            authorities: x509_authorities.iter().cloned().collect(),
            jwks: json!({ "keys": kept }).to_string().into(),
            jwt_keys,
        })
    }

    /// The X.509 authorities, DER, concatenated; `None` while none is known.
    pub fn x509(&self) -> Option<Bytes> {
        (!self.x509.is_empty()).then(|| self.x509.clone())
    }

    /// The JWT authorities as a JWK set that holds nothing else; `None` while no bundle is known.
    pub fn jwks(&self) -> Option<Bytes> {
        (!self.jwks.is_empty()).then(|| self.jwks.clone())
    }

    /// Whether every X.509 authority of an earlier bundle is still in this one: whatever any of them signed still counts.
    pub(crate) fn still_has_all_of(&self, earlier: &Self) -> bool {
        self.authorities.is_superset(&earlier.authorities)
    }

    /// The key of that name, and the one algorithm that its JWK restricts it to, if it does.
    pub(crate) fn jwt_key(&self, kid: &str) -> Option<&(JwtKey, Option<Algorithm>)> {
        self.jwt_keys.get(kid)
    }
}

/// `None` for a key type or algorithm that JWT-SVIDs do not know.
fn jwt_key(jwk: &Map<String, Value>) -> Result<Option<(JwtKey, Option<Algorithm>)>, BundleError> {
    // A private or symmetric key in a bundle is a leak, not a key type to skip.
    if jwk.contains_key("d") || jwk.contains_key("k") {
        return Err(BundleError::JwtKey);
    }
    let algorithm = match jwk.get("alg") {
        None => None,
        Some(name) => match Algorithm::deserialize(name) {
            Ok(algorithm) => Some(algorithm),
            Err(_) => return Ok(None),
        },
    };
    match jwk.get("kty").and_then(Value::as_str) {
        Some("EC" | "RSA") => {}
        Some(_) | None => return Ok(None),
    }
    let members = KeyMembers::deserialize(Value::Object(jwk.clone()));
    let members = members.map_err(|_| BundleError::JwtKey)?;
    let key = JwtKey::read(members).ok_or(BundleError::JwtKey)?;
    Ok(Some((key, algorithm)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const X: &str = "ngLYQnlfF6GsojUwqtcEE3WgTNG2RUlsGhK73RNEl5k";
    const Y: &str = "tKbiDSUSsQ3F1P7wteeHNXIcU-cx6CgSbroeQrQHTLM";

    fn set(keys: Value) -> Result<Bundle, BundleError> {
        Bundle::read(&[vec![0x30]], &json!({ "keys": keys }).to_string())
    }

    #[test]
    fn only_keys_for_jwt_svids_are_kept() {
        let ec = |kid: &str, usage: &str| json!({"kty": "EC", "kid": kid, "use": usage, "crv": "P-256", "x": X, "y": Y});
        let bundle = set(json!([
            {"kty": "EC", "use": "x509-svid", "x5c": ["AA=="]},
            ec("a", "jwt-svid"),
            ec("w", "wit-svid"),
            {"kty": "OKP", "kid": "o", "use": "jwt-svid", "crv": "Ed25519", "x": X},
            {"kty": "EC", "kid": "n", "crv": "P-256", "x": X, "y": Y},
        ]))
        .unwrap();
        assert!(bundle.jwt_key("a").is_some());
        for other in ["w", "o", "n"] {
            assert!(bundle.jwt_key(other).is_none(), "{other}");
        }
        let served: Value = serde_json::from_slice(&bundle.jwks().unwrap()).unwrap();
        assert_eq!(served, json!({ "keys": [ec("a", "jwt-svid")] }));
    }

    #[test]
    fn a_malformed_or_doubled_key_is_refused() {
        let ec = |kid: &str, x: &str| json!({"kty": "EC", "kid": kid, "use": "jwt-svid", "crv": "P-256", "x": x, "y": Y});
        for bad in [
            json!([ec("", X)]),
            json!([ec("a", X), ec("a", X)]),
            json!([ec("a", "AAAA")]),
            json!([{"kty": "EC", "use": "jwt-svid", "crv": "P-256", "x": X, "y": Y}]),
            json!([{"kty": "EC", "kid": "a", "use": "jwt-svid", "crv": "P-256", "x": X, "y": Y, "d": X}]),
        ] {
            assert!(set(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_authority_that_left_is_missed() {
        let bundle = |authorities: &[Vec<u8>]| Bundle::read(authorities, r#"{"keys":[]}"#).unwrap();
        let (old, both) = (bundle(&[vec![1]]), bundle(&[vec![2], vec![1]]));
        let new = bundle(&[vec![2]]);
        assert!(both.still_has_all_of(&old) && both.still_has_all_of(&new));
        assert!(old.still_has_all_of(&Bundle::unknown()));
        assert!(!new.still_has_all_of(&both) && !Bundle::unknown().still_has_all_of(&old));
    }

    #[test]
    fn an_unknown_bundle_serves_nothing() {
        assert_eq!(Bundle::unknown().x509(), None);
        assert_eq!(Bundle::unknown().jwks(), None);
    }
}
