//! Signatures of files (`security.ima`, Linux `security/integrity/integrity.h`): header version 2, over the digest that
//! IMA measured.
//!
//! SHA-1, keys without a certificate and signatures of other forms (HMAC, version 3 of fs-verity) are refused, never
//! tried.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::ObjectIdentifier;
use der::{Decode, DecodePem, Encode};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::{DigestKind, FileDigest};
use crate::tpm::HashAlg;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// `EVM_IMA_XATTR_DIGSIG`.
const DIGSIG: u8 = 0x03;

/// A certificate that no key for files can be taken from. Whoever configured it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is none.
    #[error("it is not an x.509 certificate, in der or pem")]
    NotACertificate,
    /// Its key is of a kind that is not verified.
    #[error("its key is neither rsa nor of the curves p-256 and p-384")]
    Kind,
}

/// Why a file's signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// It is of a form that is not verified.
    #[error("the signature is of a form that is not verified")]
    Form,
    /// Its hash is not the digest's, or too weak.
    #[error("the signature is not over the measured digest")]
    Hash,
    /// No configured certificate has its key.
    #[error("the signature is by the unknown key {:02x}{:02x}{:02x}{:02x}", .0[0], .0[1], .0[2], .0[3])]
    UnknownKey([u8; 4]),
    /// It is wrong.
    #[error("the signature is wrong")]
    Wrong,
}

/// The keys that may sign files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningKeys(Vec<SigningKey>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct SigningKey {
    /// The last four bytes of the certificate's subject key identifier.
    id: [u8; 4],
    kind: Kind,
    bits: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
}

impl SigningKeys {
    /// Adds the key of a certificate, DER or PEM. Neither its validity nor its issuer counts: that it lies in the
    /// operator's folder does.
    ///
    /// # Errors
    /// [`InvalidKey`] if there is none that can be used.
    pub fn add(&mut self, certificate: &[u8]) -> Result<(), InvalidKey> {
        let certificate = if certificate.first() == Some(&0x30) {
            Certificate::from_der(certificate)
        } else {
            Certificate::from_pem(certificate)
        }
        .map_err(|_| InvalidKey::NotACertificate)?;
        let tbs = certificate.tbs_certificate();
        let spki = tbs.subject_public_key_info();
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or(InvalidKey::NotACertificate)?;
        let curve = || {
            let parameters = spki.algorithm.parameters.as_ref()?;
            ObjectIdentifier::from_der(&parameters.to_der().ok()?).ok()
        };
        let kind = match spki.algorithm.oid {
            RSA_ENCRYPTION => Kind::Rsa,
            EC_PUBLIC_KEY => match curve() {
                Some(P256) => Kind::P256,
                Some(P384) => Kind::P384,
                _ => return Err(InvalidKey::Kind),
            },
            _ => return Err(InvalidKey::Kind),
        };
        let named = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .map_err(|_| InvalidKey::NotACertificate)?
            .and_then(|(_, id)| id.0.as_bytes().last_chunk::<4>().copied());
        // RFC 5280 §4.2.1.2, method 1, as `evmctl` does where a certificate does not say.
        let hashed = || {
            let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits);
            hash.as_ref().last_chunk::<4>().copied()
        };
        let id = named.or_else(hashed).unwrap_or_default();
        self.0.push(SigningKey {
            id,
            kind,
            bits: bits.to_vec(),
        });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that one of the keys signed `digest`. `signature` is a `signature_v2_hdr`: type, version, hash, four bytes
    /// that name the key, a big-endian length, and the signature.
    ///
    /// # Errors
    /// [`SignatureRefused`] otherwise.
    pub fn verify(
        &self,
        digest: &FileDigest<'_>,
        signature: &[u8],
    ) -> Result<(), SignatureRefused> {
        let (&[kind, version, hash, a, b, c, d, high, low], bytes) = signature
            .split_first_chunk::<9>()
            .ok_or(SignatureRefused::Form)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != DIGSIG || version != 2 || bytes.len() != length {
            return Err(SignatureRefused::Form);
        }
        let alg = digest
            .known()
            .filter(|alg| digest.kind == DigestKind::Content && hash_algo(*alg) == Some(hash))
            .ok_or(SignatureRefused::Hash)?;
        let imported = digest::Digest::import_less_safe(digest.bytes, alg.implementation())
            .map_err(|_| SignatureRefused::Hash)?;
        let id = [a, b, c, d];
        let mut refused = SignatureRefused::UnknownKey(id);
        // Four bytes may name more than one key.
        for key in self.0.iter().filter(|key| key.id == id) {
            let algorithm = algorithm(key.kind, alg).ok_or(SignatureRefused::Hash)?;
            let verified =
                UnparsedPublicKey::new(algorithm, &key.bits).verify_digest(&imported, bytes);
            if verified.is_ok() {
                return Ok(());
            }
            refused = SignatureRefused::Wrong;
        }
        Err(refused)
    }
}

/// `enum hash_algo` (Linux `include/uapi/linux/hash_info.h`).
fn hash_algo(alg: HashAlg) -> Option<u8> {
    match alg {
        HashAlg::Sha1 => None,
        HashAlg::Sha256 => Some(4),
        HashAlg::Sha384 => Some(5),
        HashAlg::Sha512 => Some(6),
    }
}

fn algorithm(kind: Kind, hash: HashAlg) -> Option<&'static dyn VerificationAlgorithm> {
    match (kind, hash) {
        (_, HashAlg::Sha1) => None,
        (Kind::Rsa, HashAlg::Sha256) => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (Kind::Rsa, HashAlg::Sha384) => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (Kind::Rsa, HashAlg::Sha512) => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        (Kind::P256, HashAlg::Sha256) => Some(&signature::ECDSA_P256_SHA256_ASN1),
        (Kind::P256, HashAlg::Sha384) => Some(&signature::ECDSA_P256_SHA384_ASN1),
        (Kind::P256, HashAlg::Sha512) => Some(&signature::ECDSA_P256_SHA512_ASN1),
        (Kind::P384, HashAlg::Sha256) => Some(&signature::ECDSA_P384_SHA256_ASN1),
        (Kind::P384, HashAlg::Sha384) => Some(&signature::ECDSA_P384_SHA384_ASN1),
        (Kind::P384, HashAlg::Sha512) => Some(&signature::ECDSA_P384_SHA512_ASN1),
    }
}
