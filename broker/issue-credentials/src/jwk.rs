//! One key of a JWT bundle (RFC 7517, RFC 7518 §6), and what it verifies.
//!
//! A key decides which algorithms it may be used with; a token never does. This module must never
//! take a symmetric or a private key.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// The signature algorithms that a JWT-SVID may name (JWT-SVID §2.1); all others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
}

/// A public key that may have signed JWT-SVIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JwtKey {
    /// Uncompressed point, for ES256.
    P256(Vec<u8>),
    /// Uncompressed point, for ES384.
    P384(Vec<u8>),
    /// Uncompressed point, for ES512.
    P521(Vec<u8>),
    /// Modulus and exponent, big-endian, for RS and PS.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// The key's public members, as its JWK spells them.
#[derive(Deserialize)]
#[serde(tag = "kty")]
pub(crate) enum KeyMembers {
    /// RFC 7518 §6.2.1.
    #[serde(rename = "EC")]
    Ec { crv: Curve, x: String, y: String },
    /// RFC 7518 §6.3.1.
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

/// RFC 7518 §6.2.1.1.
#[derive(Deserialize)]
pub(crate) enum Curve {
    #[serde(rename = "P-256")]
    P256,
    #[serde(rename = "P-384")]
    P384,
    #[serde(rename = "P-521")]
    P521,
}

impl JwtKey {
    /// Reads a key's members; `None` if they are malformed.
    pub(crate) fn read(members: KeyMembers) -> Option<Self> {
        Some(match members {
            KeyMembers::Ec { crv, x, y } => match crv {
                Curve::P256 => Self::P256(point::<32>(&x, &y)?),
                Curve::P384 => Self::P384(point::<48>(&x, &y)?),
                Curve::P521 => Self::P521(point::<66>(&x, &y)?),
            },
            KeyMembers::Rsa { n, e } => Self::Rsa {
                n: BASE64URL_NOPAD.decode(n.as_bytes()).ok()?,
                e: BASE64URL_NOPAD.decode(e.as_bytes()).ok()?,
            },
        })
    }

    /// Whether this key made `signature` over `message`; never, with an algorithm that is not its
    /// own (RFC 8725 §3.1).
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let ec = |scheme: &'static dyn VerificationAlgorithm, point: &Vec<u8>| {
            UnparsedPublicKey::new(scheme, point)
                .verify(message, signature)
                .is_ok()
        };
        match (self, algorithm) {
            (Self::P256(point), Algorithm::Es256) => ec(&ECDSA_P256_SHA256_FIXED, point),
            (Self::P384(point), Algorithm::Es384) => ec(&ECDSA_P384_SHA384_FIXED, point),
            (Self::P521(point), Algorithm::Es512) => ec(&ECDSA_P521_SHA512_FIXED, point),
            (Self::Rsa { n, e }, algorithm) => rsa_scheme(algorithm).is_some_and(|scheme| {
                RsaPublicKeyComponents { n, e }
                    .verify(scheme, message, signature)
                    .is_ok()
            }),
            (Self::P256(_) | Self::P384(_) | Self::P521(_), _) => false,
        }
    }
}

fn rsa_scheme(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => None,
    }
}

/// SEC 1 §2.3.3, from coordinates of exactly `N` bytes (RFC 7518 §6.2.1.2).
fn point<const N: usize>(x: &str, y: &str) -> Option<Vec<u8>> {
    let coordinate = |text: &str| -> Option<[u8; N]> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok()
    };
    Some([&[4], coordinate(x)?.as_slice(), coordinate(y)?.as_slice()].concat())
}
