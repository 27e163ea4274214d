//! The trust domain's authority: it signs X.509- and JWT-SVIDs, and nothing else (SPIFFE X509-SVID,
//! JWT-SVID).
//!
//! It must never sign for a name that its caller has not shown to be the host's, nor for a key that
//! it has not seen used. The authority's keys leave this module in no form.

pub(crate) mod files;
mod jwt;
mod leaf;
mod name;
mod root;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::hash::sha256;
use holdfast_proof::svid::{Svid, SvidError};
use holdfast_protocol::id::{HostId, SpiffeId, TrustDomain};
use holdfast_protocol::{Sha256Digest, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use crate::csr::Csr;
use crate::random::NoRandomness;
pub use jwt::{Audience, InvalidAudience, JwtSvid};
pub use leaf::{InvalidServerName, ServerName};
pub use name::{AgentId, NotBelow};
pub(crate) use root::{ed25519_key, pkcs8};

/// The authority of one trust domain, with its keys.
#[derive(Debug)]
pub struct Authority {
    trust_domain: TrustDomain,
    root: root::Root,
    jwt: jwt::JwtKey,
}

/// An X.509-SVID that was just signed.
#[derive(Clone, Debug)]
pub struct X509Svid {
    /// Its chain, DER, leaf first, without the authority.
    pub chain: Vec<Vec<u8>>,
    /// What the leaf says.
    pub svid: Svid,
}

/// Why the authority cannot be used, or did not sign.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// A file of the state folder cannot be read or written: the environment is to blame.
    #[error("`{path}` cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A key can be read by others than its owner: the environment is to blame.
    #[error("`{path}` has mode {mode:04o}; a key may be open to its owner alone (0600)")]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file is not what we wrote there.
    #[error("`{path}` {problem}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A certificate could not be made.
    #[error("the certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// What we made is not an X.509-SVID, and does not leave.
    #[error("the certificate that was made is not an x.509-svid")]
    NotAnSvid(#[from] SvidError),
    /// There are no random bytes.
    #[error("no random bytes could be drawn")]
    Random(#[from] NoRandomness),
    /// Another part of cryptography failed.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// The authority itself ends before the SVID would.
    #[error("the authority has expired or is about to")]
    Expired,
}

impl Authority {
    /// Opens the authority in a state folder, and makes it there where it is not.
    ///
    /// # Errors
    /// [`CertifyError`] if its files cannot be used, or are of another trust domain.
    pub fn open(
        state: &Path,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        Ok(Self {
            trust_domain: trust_domain.clone(),
            root: root::Root::open(state, trust_domain, now)?,
            jwt: jwt::JwtKey::open(state)?,
        })
    }

    /// The trust domain that it speaks for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its certificates, DER: what everybody in the trust domain verifies against.
    pub fn x509_authorities(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.certificate().clone()]
    }

    /// SHA-256 over its certificate: what a token pins.
    pub fn fingerprint(&self) -> Sha256Digest {
        sha256(self.root.certificate())
    }

    /// Signs a host's own SVID.
    ///
    /// # Errors
    /// [`CertifyError`] if it could not be made.
    pub fn sign_node(
        &self,
        host: HostId,
        csr: &Csr,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<X509Svid, CertifyError> {
        let id = SpiffeId::host(&self.trust_domain, host);
        leaf::sign(&self.root, &id, &[], &csr.spki_der(), ttl, now)
    }

    /// Signs an agent's X.509-SVID.
    ///
    /// # Errors
    /// [`CertifyError`] if it could not be made.
    pub fn sign_agent(
        &self,
        agent: &AgentId,
        csr: &Csr,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<X509Svid, CertifyError> {
        leaf::sign(&self.root, agent.id(), &[], &csr.spki_der(), ttl, now)
    }

    /// Signs an agent's JWT-SVID.
    ///
    /// # Errors
    /// [`CertifyError`] if it could not be made.
    pub fn sign_jwt(
        &self,
        agent: &AgentId,
        audience: &Audience,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<JwtSvid, CertifyError> {
        self.jwt.sign(agent.id(), audience, ttl, now)
    }

    /// Makes a key for the attestor's own TLS and certifies it for these names. The chain that a
    /// client gets includes the authority, so that one who knows only its fingerprint finds it.
    ///
    /// # Errors
    /// [`CertifyError`] if it could not be made.
    pub fn server_identity(
        &self,
        names: &[ServerName],
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Arc<CertifiedKey>, CertifyError> {
        leaf::server_identity(&self.root, &self.trust_domain, names, ttl, now)
    }

    /// The keys that verify JWT-SVIDs, as a JWK set (RFC 7517).
    pub fn jwks(&self) -> String {
        serde_json::json!({ "keys": [self.jwt.jwk()] }).to_string()
    }

    /// The trust domain's bundle (SPIFFE Trust Domain and Bundle §4).
    pub fn bundle(&self) -> serde_json::Value {
        serde_json::json!({
            "keys": [self.root.jwk(), self.jwt.jwk()],
            // The keys are made once, so there has only ever been the first content.
            "spiffe_sequence": 1,
            "spiffe_refresh_hint": 300,
        })
    }

    /// Its certificates as PEM.
    pub fn bundle_pem(&self) -> String {
        self.root.pem()
    }
}
