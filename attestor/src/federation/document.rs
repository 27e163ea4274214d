//! Another trust domain's bundle, as its document has it (SPIFFE Trust Domain and Bundle §4).
//!
//! Foreign bytes, parsed once. What the standard does not know is ignored, as §4.2 asks; what it knows and is malformed makes
//! the whole document none. A key of one use must never be taken for one of another.

use std::collections::BTreeSet;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use der::Decode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_cert::Certificate;
use x509_cert::ext::pkix::BasicConstraints;

/// The largest document, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// The most keys that it may have, of all uses.
const MAX_KEYS: usize = 64;

/// A bundle that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// X.509 authorities, DER.
    x509: Vec<Vec<u8>>,
    /// The JWKs of its JWT-SVIDs' keys.
    jwt: Vec<Value>,
    /// `spiffe_sequence`.
    sequence: Option<u64>,
    /// `spiffe_refresh_hint`.
    refresh_hint: Option<Duration>,
}

/// Bytes are not a bundle. Whoever serves them is to blame.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Larger than any bundle needs to be.
    #[error("the bundle is larger than {MAX_KEYS} keys or {MAX_BYTES} bytes")]
    TooLarge,
    /// Not the JSON of a JWK set.
    #[error("the bundle is not a jwk set")]
    Json(#[source] serde_json::Error),
    /// A key for X.509-SVIDs is not one certificate of an authority (§4.2).
    #[error("an x509-svid key of the bundle is not one authority's certificate")]
    X509,
    /// A key for JWT-SVIDs has no `kid` of its own, or is malformed, or is not public.
    #[error("a jwt-svid key of the bundle lacks a `kid` of its own, or is malformed")]
    Jwt,
}

#[derive(Deserialize)]
struct Members {
    keys: Vec<Map<String, Value>>,
    spiffe_sequence: Option<u64>,
    spiffe_refresh_hint: Option<u64>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] if it is not a bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_BYTES {
            return Err(DocumentError::TooLarge);
        }
        let members: Members = serde_json::from_slice(bytes).map_err(DocumentError::Json)?;
        if members.keys.len() > MAX_KEYS {
            return Err(DocumentError::TooLarge);
        }
        let mut x509 = Vec::new();
        let mut jwt = Vec::new();
        let mut kids = BTreeSet::new();
        for jwk in members.keys {
            match jwk.get("use").and_then(Value::as_str) {
                Some("x509-svid") => x509.push(authority(&jwk).ok_or(DocumentError::X509)?),
                Some("jwt-svid") => {
                    let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
                    let own = !kid.is_empty() && kids.insert(kid.to_owned());
                    if !own || is_secret(&jwk) {
                        return Err(DocumentError::Jwt);
                    }
                    match key(&jwk) {
                        Key::Fit => jwt.push(Value::Object(jwk)),
                        Key::Unknown => {}
                        Key::Malformed => return Err(DocumentError::Jwt),
                    }
                }
                Some(_) | None => {}
            }
        }
        let read = Self {
            x509,
            jwt,
            sequence: members.spiffe_sequence,
            refresh_hint: members.spiffe_refresh_hint.map(Duration::from_secs),
        };
        // What is kept of it has to be read again.
        if read.to_json().to_string().len() > MAX_BYTES {
            return Err(DocumentError::TooLarge);
        }
        Ok(read)
    }

    /// Its X.509 authorities, DER.
    pub fn x509_authorities(&self) -> &[Vec<u8>] {
        &self.x509
    }

    /// The keys of its JWT-SVIDs as a JWK set, and no others.
    pub fn jwks(&self) -> String {
        json!({ "keys": self.jwt }).to_string()
    }

    /// How many keys of JWT-SVIDs it has.
    pub fn jwt_keys(&self) -> usize {
        self.jwt.len()
    }

    /// Its sequence number, where it says one (§4.1.1).
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// How often it wants to be fetched, where it says so (§4.1.2).
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }

    /// The document again: what was understood of it.
    pub fn to_json(&self) -> Value {
        let x509 = self.x509.iter().map(|der| {
            // Consumers read the certificate; `kty` alone is obliged to be there (§4.2).
            json!({ "kty": kty(der), "use": "x509-svid", "x5c": [BASE64.encode(der)] })
        });
        let keys: Vec<_> = x509.chain(self.jwt.iter().cloned()).collect();
        let mut document = json!({ "keys": keys });
        if let Some(members) = document.as_object_mut() {
            if let Some(sequence) = self.sequence {
                members.insert("spiffe_sequence".to_owned(), sequence.into());
            }
            if let Some(hint) = self.refresh_hint {
                members.insert("spiffe_refresh_hint".to_owned(), hint.as_secs().into());
            }
        }
        document
    }
}

/// The one certificate of an x509-svid key, if it is a certification authority's.
fn authority(jwk: &Map<String, Value>) -> Option<Vec<u8>> {
    let chain = jwk.get("x5c")?.as_array()?;
    let [one] = chain.as_slice() else { return None };
    let der = BASE64.decode(one.as_str()?.as_bytes()).ok()?;
    let certificate = Certificate::from_der(&der).ok()?;
    let tbs = certificate.tbs_certificate();
    let (_, basic) = tbs.get_extension::<BasicConstraints>().ok()??;
    basic.ca.then_some(der)
}

/// The key type of a certificate; the one that everybody has where it cannot be told.
fn kty(der: &[u8]) -> &'static str {
    let algorithm = Certificate::from_der(der).map(|certificate| {
        let key = certificate.tbs_certificate().subject_public_key_info();
        key.algorithm.oid.to_string()
    });
    match algorithm.as_deref() {
        Ok("1.2.840.113549.1.1.1") => "RSA",
        Ok("1.3.101.112") => "OKP",
        Ok(_) | Err(_) => "EC",
    }
}

/// A private or symmetric key in a bundle is a leak, not a key to skip.
fn is_secret(jwk: &Map<String, Value>) -> bool {
    jwk.contains_key("d") || jwk.contains_key("k")
}

/// What a JWK is to a verifier of JWT-SVIDs.
enum Key {
    Fit,
    /// Of a type or curve that JWT-SVIDs do not know.
    Unknown,
    Malformed,
}

/// RFC 7518 §6.2 and §6.3.
fn key(jwk: &Map<String, Value>) -> Key {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let number = |name: &str| {
        let decoded = BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok()?;
        Some(decoded.len())
    };
    let fit = match text("kty") {
        Some("RSA") => {
            number("n").is_some_and(|len| len > 0) && number("e").is_some_and(|len| len > 0)
        }
        Some("EC") => {
            let len = match text("crv") {
                Some("P-256") => 32,
                Some("P-384") => 48,
                Some("P-521") => 66,
                // Hosts refuse it as malformed; it is no curve of JWT-SVID's algorithms.
                Some(_) | None => return Key::Malformed,
            };
            number("x") == Some(len) && number("y") == Some(len)
        }
        Some(_) | None => return Key::Unknown,
    };
    if fit { Key::Fit } else { Key::Malformed }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    const X: &str = "ngLYQnlfF6GsojUwqtcEE3WgTNG2RUlsGhK73RNEl5k";
    const Y: &str = "tKbiDSUSsQ3F1P7wteeHNXIcU-cx6CgSbroeQrQHTLM";

    fn certificate(is_ca: IsCa) -> String {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        BASE64.encode(params.self_signed(&key).unwrap().der())
    }

    fn ca() -> String {
        certificate(IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn x509(chain: &[String]) -> Value {
        json!({ "kty": "EC", "use": "x509-svid", "x5c": chain })
    }

    fn jwt(kid: &str) -> Value {
        json!({ "kty": "EC", "use": "jwt-svid", "kid": kid, "crv": "P-256", "x": X, "y": Y })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut jwk = jwt("a");
        jwk.as_object_mut()
            .unwrap()
            .insert(member.to_owned(), value);
        jwk
    }

    fn parse(keys: Value) -> Result<Document, DocumentError> {
        Document::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn keys_are_told_apart_by_their_use() {
        let ca = ca();
        let read = parse(json!([
            x509(std::slice::from_ref(&ca)),
            jwt("a"),
            with("use", json!("wit-svid")),
            { "kty": "EC", "kid": "n", "crv": "P-256", "x": X, "y": Y },
            { "kty": "OKP", "kid": "o", "use": "jwt-svid", "crv": "Ed25519", "x": X },
        ]))
        .unwrap();
        assert_eq!(
            read.x509_authorities(),
            [BASE64.decode(ca.as_bytes()).unwrap()]
        );
        let jwks: Value = serde_json::from_str(&read.jwks()).unwrap();
        assert_eq!(jwks, json!({ "keys": [jwt("a")] }));
        assert_eq!((read.sequence(), read.refresh_hint()), (None, None));
        let again = Document::parse(read.to_json().to_string().as_bytes()).unwrap();
        assert_eq!(again, read);
    }

    #[test]
    fn what_is_malformed_makes_the_whole_document_none() {
        for bad in [
            json!([x509(&[])]),
            json!([x509(&[ca(), ca()])]),
            json!([x509(&["AAAA".to_owned()])]),
            json!([x509(&[certificate(IsCa::ExplicitNoCa)])]),
            json!([x509(&[certificate(IsCa::NoCa)])]),
            json!([{ "kty": "EC", "use": "x509-svid" }]),
        ] {
            assert!(
                matches!(parse(bad.clone()), Err(DocumentError::X509)),
                "{bad}"
            );
        }
        for bad in [
            json!([jwt("a"), jwt("a")]),
            json!([jwt("")]),
            json!([with("x", json!("AAAA"))]),
            json!([with("crv", json!("secp256k1"))]),
            json!([with("d", json!(X))]),
            json!([{ "kty": "oct", "use": "jwt-svid", "kid": "a", "k": X }]),
            json!([{ "kty": "RSA", "use": "jwt-svid", "kid": "a", "n": "", "e": "AQAB" }]),
        ] {
            assert!(
                matches!(parse(bad.clone()), Err(DocumentError::Jwt)),
                "{bad}"
            );
        }
        for bad in [
            "",
            "[]",
            "{}",
            "{\"keys\":1}",
            "{\"keys\":[],\"spiffe_sequence\":-1}",
        ] {
            let read = Document::parse(bad.as_bytes());
            assert!(matches!(read, Err(DocumentError::Json(_))), "{bad}");
        }
        let many = vec![json!({ "use": "other" }); MAX_KEYS + 1];
        assert!(matches!(parse(many.into()), Err(DocumentError::TooLarge)));
        let long = format!("{{\"keys\":[]}}{}", " ".repeat(MAX_BYTES));
        assert!(matches!(
            Document::parse(long.as_bytes()),
            Err(DocumentError::TooLarge)
        ));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(sequence in proptest::option::of(any::<u64>()), hint in proptest::option::of(any::<u64>()), jwts in 0_usize..4) {
            let keys: Vec<_> = (0..jwts).map(|n| jwt(&n.to_string())).collect();
            let document = json!({ "keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": hint, "more": 1 });
            let read = Document::parse(document.to_string().as_bytes()).unwrap();
            prop_assert_eq!(read.sequence(), sequence);
            prop_assert_eq!(read.refresh_hint(), hint.map(Duration::from_secs));
            prop_assert_eq!(read.jwt_keys(), jwts);
            let again = Document::parse(read.to_json().to_string().as_bytes()).unwrap();
            prop_assert_eq!(again, read);
        }
    }
}
