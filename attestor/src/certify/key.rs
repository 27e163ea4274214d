//! New private keys, and plain ones as their files have them.
//!
//! A key is in memory that is zeroized, here and on its way to a file.

use std::path::Path;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::CertifyError;

/// A new P-256 key as PKCS#8 PEM.
pub(super) fn generate() -> Result<Zeroizing<String>, CertifyError> {
    Ok(Zeroizing::new(
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem(),
    ))
}

/// A new Ed25519 key as PKCS#8 PEM: for what is no SVID.
pub(crate) fn ed25519_key() -> Result<Zeroizing<String>, CertifyError> {
    Ok(Zeroizing::new(
        KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem(),
    ))
}

/// The content of a plain key file.
pub(super) fn pkcs8(path: &Path, pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, CertifyError> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertifyError::Unusable {
        path: path.to_owned(),
        problem: "is not a PKCS#8 key in PEM",
    })
}
