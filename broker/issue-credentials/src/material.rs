//! What is served: an X.509-SVID with its key, a JWT-SVID.
//!
//! Keys are fresh for every SVID, made here, and live in memory only: the Workload API has to hand
//! them over unencrypted, so they cannot be the TPM's. What the authority answers is believed only
//! once it fits what was asked. This module must never reuse a key, or print one.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use holdfast_proof::svid::{Svid, SvidError};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::SpiffeId;
use prost::bytes::Bytes;
use rcgen::{CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, SanType};
use zeroize::Zeroizing;

use crate::audiences::Audiences;
use crate::jwk::Algorithm;
use crate::jwt::{self, JwtError};

/// The longest chain that an authority may answer with.
const MAX_CHAIN: usize = 8;

/// The largest certificate that is taken, in bytes.
const MAX_CERTIFICATE: usize = 16 * 1024;

/// An X.509-SVID and the key that it certifies. The key is zeroized with its last holder.
#[derive(Clone)]
pub struct X509Svid {
    chain: Bytes,
    key: Bytes,
    not_after: Timestamp,
}

impl X509Svid {
    /// The certificates, DER, concatenated, leaf first.
    pub fn chain(&self) -> &Bytes {
        &self.chain
    }

    /// The private key, PKCS#8 DER, unencrypted. A clone shares the zeroized memory.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Svid")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A JWT-SVID. Whoever has it can use it: it is zeroized when it is dropped.
pub struct JwtSvid {
    token: Zeroizing<String>,
    not_after: Timestamp,
}

impl JwtSvid {
    /// The token, JWS compact serialization.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// When it ends: its `exp`.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Takes the authority's token, if it is the one that was asked for.
    pub(crate) fn issued(
        token: Zeroizing<String>,
        id: &SpiffeId,
        audiences: &Audiences,
    ) -> Result<Self, MaterialError> {
        let read = jwt::read(&token).map_err(MaterialError::Jwt)?;
        // Issued with nothing else (DESIGN §11, §12): an authority that signs otherwise is not ours.
        if read.algorithm != Algorithm::Es256 {
            return Err(MaterialError::NotAsked);
        }
        let mut meant_for = read.claims.audiences;
        meant_for.sort_unstable();
        if read.claims.subject != *id || meant_for != audiences.as_slice() {
            return Err(MaterialError::NotAsked);
        }
        let not_after = read.claims.expires;
        Ok(Self { token, not_after })
    }
}

impl fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSvid")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// An SVID could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// The environment: no key could be generated.
    #[error("no key could be generated")]
    Key,
    /// Us: the request could not be written.
    #[error("the certificate request could not be made")]
    Request(#[source] rcgen::Error),
    /// The authority: the chain is empty or larger than it may be.
    #[error("the authority's chain is not 1 to {MAX_CHAIN} certificates")]
    Chain,
    /// The authority: the leaf is not an X.509-SVID.
    #[error("the authority's certificate is not an x.509-svid")]
    X509(#[source] SvidError),
    /// The authority: the token is not a JWT-SVID.
    #[error("the authority's token is not a jwt-svid")]
    Jwt(#[source] JwtError),
    /// The authority: another name, key, audience or algorithm than was asked for.
    #[error("the authority's svid is not the one that was asked for")]
    NotAsked,
}

/// A key that no certificate names yet, P-256.
pub(crate) struct FreshKey(EcdsaKeyPair);

impl FreshKey {
    pub(crate) fn generate() -> Result<Self, MaterialError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Self)
            .map_err(|_| MaterialError::Key)
    }

    /// A PKCS#10 request for `id`, DER.
    pub(crate) fn request(&self, id: &SpiffeId) -> Result<Vec<u8>, MaterialError> {
        let uri = id.to_string().try_into().map_err(MaterialError::Request)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(uri)];
        let request = params.serialize_request(self);
        Ok(request.map_err(MaterialError::Request)?.der().to_vec())
    }

    /// Takes the authority's chain, if it certifies this key for `id`.
    pub(crate) fn certified(
        self,
        chain: &[Vec<u8>],
        id: &SpiffeId,
    ) -> Result<X509Svid, MaterialError> {
        let leaf = chain.first().ok_or(MaterialError::Chain)?;
        let fits = |certificate: &Vec<u8>| (1..=MAX_CERTIFICATE).contains(&certificate.len());
        if chain.len() > MAX_CHAIN || !chain.iter().all(fits) {
            return Err(MaterialError::Chain);
        }
        let leaf = Svid::parse(leaf).map_err(MaterialError::X509)?;
        let ours: PublicKeyX509Der<'_> =
            (self.0.public_key().as_der()).map_err(|_| MaterialError::Key)?;
        if leaf.spiffe_id != *id || leaf.public_key != ours.as_ref() {
            return Err(MaterialError::NotAsked);
        }
        let key = self.0.to_pkcs8v1().map_err(|_| MaterialError::Key)?;
        Ok(X509Svid {
            chain: chain.concat().into(),
            // The document zeroizes itself; sharing it makes no copy that would not.
            key: Bytes::from_owner(key),
            not_after: leaf.not_after,
        })
    }
}

impl rcgen::PublicKeyData for FreshKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for FreshKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
