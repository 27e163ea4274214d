//! The node key, as certificate requests and TLS handshakes use it: in the TPM, signing on demand.

use std::fmt;
use std::sync::Arc;

use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::{Public, PublicKey};
use holdfast_tpm::{KeyBlob, LoadedKey, Provisioned};
use rcgen::{CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::error::AttestHostError;

/// Makes a certificate request, signed by the node key. It names nobody: the attestor decides the
/// name. Blocks while the TPM signs.
pub(crate) fn request(key: &LoadedKey) -> Result<Vec<u8>, AttestHostError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params
        .serialize_request(&RequestKey::new(key)?)
        .map_err(AttestHostError::Request)?;
    Ok(csr.der().to_vec())
}

/// The key behind a certificate request.
struct RequestKey<'a> {
    key: &'a LoadedKey,
    point: Vec<u8>,
}

impl<'a> RequestKey<'a> {
    fn new(key: &'a LoadedKey) -> Result<Self, AttestHostError> {
        let point = p256_point(key.public()).ok_or(AttestHostError::Answer(
            "the TPM made a node key that is not P-256",
        ))?;
        Ok(Self { key, point })
    }
}

impl PublicKeyData for RequestKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for RequestKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key
            .sign_blocking(sha256(message))
            .map(|signature| signature.to_x509())
            .map_err(|error| {
                tracing::warn!(%error, "the TPM did not sign a certificate request");
                rcgen::Error::RemoteKeyError
            })
    }
}

fn p256_point(public: &Public) -> Option<Vec<u8>> {
    match public.key()? {
        PublicKey::Ecc(key) => Some(key.to_sec1().to_vec()),
        PublicKey::Rsa(_) => None,
    }
}

/// The node SVID with its key in the TPM, as a TLS client shows it.
#[derive(Clone)]
pub struct NodeIdentity {
    certified: Arc<CertifiedKey>,
}

impl NodeIdentity {
    /// A chain, and the key that its leaf certifies.
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, tpm: Provisioned, key: KeyBlob) -> Self {
        let signer = TpmKey {
            tpm,
            key: Arc::new(key),
        };
        Self {
            certified: Arc::new(CertifiedKey::new(chain, Arc::new(signer))),
        }
    }
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeIdentity(..)")
    }
}

impl ResolvesClientCert for NodeIdentity {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        schemes
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Arc::clone(&self.certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Clone)]
struct TpmKey {
    tpm: Provisioned,
    key: Arc<KeyBlob>,
}

impl fmt::Debug for TpmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TpmKey(..)")
    }
}

impl SigningKey for TpmKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for TpmKey {
    /// Blocks the handshake's thread while the TPM's own thread signs: some milliseconds, once for
    /// each connection to the attestor.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.tpm
            .sign_blocking(&self.key, sha256(message))
            .map(|signature| signature.to_x509())
            .map_err(|error| Error::General(format!("the TPM did not sign: {error}")))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
