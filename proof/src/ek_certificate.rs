//! EK certificates: that a TPM's maker vouches for the EK (TCG EK Credential Profile 2.x; RFC 5280 §6).
//!
//! Tolerant of the form of real certificates (bytes after the end, a TCG header, critical SAN, sets out of order), never of
//! their substance: signatures, validity, CA constraints and the key itself are always checked. Revocation
//! lists are files that the caller has; none is fetched.

mod description;
mod error;
mod path;
mod revocation;
mod signature;
mod signed;
mod x509;

pub use description::KeyWords;
pub use error::EkCertificateError;
pub use path::MAX_PATH;
pub use revocation::{Revocation, RevocationList};
pub use x509::Certificate;

use holdfast_protocol::{Sha256Digest, Timestamp};

use crate::tpm::Public;

/// tcg-kp-EKCertificate (EK Credential Profile §3.2.16).
const EK_USAGE: der::asn1::ObjectIdentifier =
    der::asn1::ObjectIdentifier::new_unwrap("2.23.133.8.1");

/// The proof that a trusted maker vouches for an EK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VouchedEk {
    /// SHA-256 of the EK certificate.
    pub certificate: Sha256Digest,
    /// SHA-256 of the root that the path ends at.
    pub root: Sha256Digest,
    /// How many intermediate certificates lie between.
    pub intermediates: usize,
}

/// Checks that `certificate` is one of the key `ek`, and that a path leads from it through `intermediates` to one of the
/// `roots`, all valid `now` and none of them revoked as far as `revocation` says.
pub fn verify(
    certificate: &Certificate,
    ek: &Public,
    intermediates: &[Certificate],
    roots: &[Certificate],
    revocation: &Revocation,
    now: Timestamp,
) -> Result<VouchedEk, EkCertificateError> {
    let key = ek
        .key()
        .filter(|_| ek.attributes().is_bound_storage_key())
        .ok_or(EkCertificateError::NotAnEk)?;
    if certificate.key() != Some(key) {
        return Err(EkCertificateError::OtherKey);
    }
    verify_path(certificate, intermediates, roots, revocation, now)
}

/// As [`verify`], for a certificate alone: whether a trusted maker vouches for the key in it, whosever that is. It must never
/// stand for [`verify`] where a host shows a key.
pub fn verify_path(
    certificate: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    revocation: &Revocation,
    now: Timestamp,
) -> Result<VouchedEk, EkCertificateError> {
    certificate.check_leaf(EK_USAGE)?;
    certificate.check_validity(now)?;
    let path = path::find(certificate, intermediates, roots, revocation, now)?;
    Ok(VouchedEk {
        certificate: certificate.fingerprint(),
        root: path.root,
        intermediates: path.intermediates,
    })
}

#[cfg(test)]
mod tests;
