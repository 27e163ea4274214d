//! SubjectPublicKeyInfo (RFC 5280 §4.1.2.7; RFC 5480; RFC 3279 §2.3.1) for the keys that Holdfast accepts.
//!
//! Comparing two keys goes through the parsed key, never through two encodings of it.

use der::{
    Decode, Encode,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef},
};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::{EccCurve, EccPublicKey, PublicKey, RsaPublicKey};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// RSAPublicKey (RFC 8017 §A.1.1).
#[derive(der::Sequence)]
struct RsaPublicKeyDer<'a> {
    modulus: UintRef<'a>,
    public_exponent: u32,
}

pub(super) fn decode(der: &[u8]) -> Option<PublicKey> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let bits = info.subject_public_key.as_bytes()?;
    match info.algorithm.oid {
        EC_PUBLIC_KEY => {
            let curve: ObjectIdentifier = info.algorithm.parameters?.decode_as().ok()?;
            let curve = match curve {
                SECP256R1 => EccCurve::P256,
                SECP384R1 => EccCurve::P384,
                _ => return None,
            };
            EccPublicKey::from_sec1(curve, bits).map(PublicKey::Ecc)
        }
        RSA_ENCRYPTION => {
            let key = RsaPublicKeyDer::from_der(bits).ok()?;
            RsaPublicKey::new(key.modulus.as_bytes(), key.public_exponent).map(PublicKey::Rsa)
        }
        _ => None,
    }
}

pub(super) fn encode(key: &PublicKey) -> Vec<u8> {
    // The parts are bounded and well formed, and encoding those cannot fail; if it ever did, the empty result
    // would match no key.
    try_encode(key).unwrap_or_default()
}

fn try_encode(key: &PublicKey) -> der::Result<Vec<u8>> {
    match key {
        PublicKey::Ecc(key) => {
            let curve = match key.curve() {
                EccCurve::P256 => SECP256R1,
                EccCurve::P384 => SECP384R1,
            };
            info(EC_PUBLIC_KEY, AnyRef::from(&curve), key.to_sec1())
        }
        PublicKey::Rsa(key) => {
            let content = RsaPublicKeyDer {
                modulus: UintRef::new(key.modulus())?,
                public_exponent: key.exponent(),
            }
            .to_der()?;
            info(RSA_ENCRYPTION, AnyRef::NULL, &content)
        }
    }
}

fn info(oid: ObjectIdentifier, parameters: AnyRef<'_>, bits: &[u8]) -> der::Result<Vec<u8>> {
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid,
            parameters: Some(parameters),
        },
        subject_public_key: BitStringRef::from_bytes(bits)?,
    }
    .to_der()
}
