//! Signatures on certificates (RFC 4055, RFC 5758), by keys larger than those that an EK may have.
//!
//! SHA-1 and everything unlisted is refused by name, never tried.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Sequence};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::signed::Signed;
use super::{Certificate, EkCertificateError};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub(super) const RSA_ENCRYPTION: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
const RSA_PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
pub(super) const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
pub(super) const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
pub(super) const P384: ObjectIdentifier = oid("1.3.132.0.34");
pub(super) const P521: ObjectIdentifier = oid("1.3.132.0.35");
const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");

/// RSASSA-PSS-params (RFC 4055 §3.1). Only the hash chooses the algorithm; parameters that do not fit what is then verified
/// (MGF1 with the same hash, a salt as long) make the signature wrong.
#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    _mask: Option<AnyRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    _salt: Option<AnyRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    _trailer: Option<AnyRef<'a>>,
}

/// Checks that the key of `issuer` signed what is `signed`.
pub(super) fn verify(signed: &Signed, issuer: &Certificate) -> Result<(), EkCertificateError> {
    let scheme = signed
        .algorithm()
        .ok_or(EkCertificateError::Malformed("signatureAlgorithm"))?;
    let key = SubjectPublicKeyInfoRef::from_der(&issuer.spki)
        .map_err(|_| EkCertificateError::Malformed("subjectPublicKeyInfo"))?;
    let algorithm = choose(&scheme, &key).ok_or(EkCertificateError::Algorithm(scheme.oid))?;
    let bits = key
        .subject_public_key
        .as_bytes()
        .ok_or(EkCertificateError::Malformed("subjectPublicKey"))?;
    UnparsedPublicKey::new(algorithm, bits)
        .verify(&signed.content, &signed.signature)
        .map_err(|_| EkCertificateError::Signature)
}

fn choose(
    scheme: &AlgorithmIdentifierRef<'_>,
    key: &SubjectPublicKeyInfoRef<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    match key.algorithm.oid {
        RSA_ENCRYPTION => choose_rsa(scheme),
        EC_PUBLIC_KEY => {
            let curve = key.algorithm.parameters?.decode_as().ok()?;
            choose_ecdsa(scheme.oid, curve)
        }
        _ => None,
    }
}

fn choose_rsa(scheme: &AlgorithmIdentifierRef<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    match scheme.oid {
        RSA_SHA256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        RSA_SHA384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        RSA_SHA512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        RSA_PSS => {
            let parameters: PssParameters<'_> = scheme.parameters?.decode_as().ok()?;
            match parameters.hash?.oid {
                SHA256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
                SHA384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
                SHA512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
                _ => None,
            }
        }
        _ => None,
    }
}

fn choose_ecdsa(
    scheme: ObjectIdentifier,
    curve: ObjectIdentifier,
) -> Option<&'static dyn VerificationAlgorithm> {
    match (curve, scheme) {
        (P256, ECDSA_SHA256) => Some(&signature::ECDSA_P256_SHA256_ASN1),
        (P256, ECDSA_SHA384) => Some(&signature::ECDSA_P256_SHA384_ASN1),
        (P256, ECDSA_SHA512) => Some(&signature::ECDSA_P256_SHA512_ASN1),
        (P384, ECDSA_SHA256) => Some(&signature::ECDSA_P384_SHA256_ASN1),
        (P384, ECDSA_SHA384) => Some(&signature::ECDSA_P384_SHA384_ASN1),
        (P384, ECDSA_SHA512) => Some(&signature::ECDSA_P384_SHA512_ASN1),
        (P521, ECDSA_SHA256) => Some(&signature::ECDSA_P521_SHA256_ASN1),
        (P521, ECDSA_SHA384) => Some(&signature::ECDSA_P521_SHA384_ASN1),
        (P521, ECDSA_SHA512) => Some(&signature::ECDSA_P521_SHA512_ASN1),
        _ => None,
    }
}
