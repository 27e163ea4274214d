//! Public keys as JWKs (RFC 7517, RFC 7518 §6), as a SPIFFE bundle has them.

use data_encoding::BASE64URL_NOPAD;
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Sequence};
use serde_json::{Value, json};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The curves of RFC 7518 §6.2.1.1, and how long their coordinates are.
const CURVES: [(ObjectIdentifier, &str, usize); 3] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        "P-256",
        32,
    ),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384", 48),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521", 66),
];

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    n: UintRef<'a>,
    e: UintRef<'a>,
}

/// A P-256 public key, uncompressed SEC 1.
pub(super) fn p256(point: &[u8], use_: &str) -> Value {
    ec("P-256", point, 32, use_).unwrap_or_default()
}

/// Any key that a JWK of these RFCs can have: on a NIST curve, or RSA.
pub(super) fn of(key: &SubjectPublicKeyInfoOwned, use_: &str) -> Option<Value> {
    let raw = key.subject_public_key.as_bytes()?;
    if key.algorithm.oid == RSA {
        let RsaPublicKey { n, e } = RsaPublicKey::from_der(raw).ok()?;
        let [n, e] = [n, e].map(|number| BASE64URL_NOPAD.encode(number.as_bytes()));
        return Some(json!({ "kty": "RSA", "use": use_, "n": n, "e": e }));
    }
    if key.algorithm.oid != EC {
        return None;
    }
    let parameters = key.algorithm.parameters.as_ref()?;
    let named: ObjectIdentifier = parameters.decode_as().ok()?;
    let (_, curve, len) = CURVES.into_iter().find(|(oid, ..)| *oid == named)?;
    ec(curve, raw, len, use_)
}

fn ec(curve: &str, point: &[u8], len: usize, use_: &str) -> Option<Value> {
    let (4, coordinates) = point.split_first()? else {
        return None;
    };
    let (x, y) = coordinates.split_at_checked(len)?;
    let [x, y] = [x, y].map(|coordinate| BASE64URL_NOPAD.encode(coordinate));
    Some(json!({ "kty": "EC", "use": use_, "crv": curve, "x": x, "y": y }))
}
