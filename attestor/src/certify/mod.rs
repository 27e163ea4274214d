//! The trust domain's authority: it signs X.509- and JWT-SVIDs, and nothing else (SPIFFE X509-SVID,
//! JWT-SVID).
//!
//! It must never sign for a name that its caller has not shown to be the host's, nor for a key that
//! it has not seen used. The authority's keys leave this module in no form.

mod at_rest;
mod ca;
mod ca_certificate;
mod error;
pub(crate) mod files;
mod generations;
mod jwk;
mod jwt;
mod key;
mod key_folder;
mod keys;
mod leaf;
mod name;
#[cfg(test)]
mod tests;
mod upstream;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use holdfast_proof::hash::sha256;
use holdfast_proof::svid::Svid;
use holdfast_protocol::id::{HostId, SpiffeId, TrustDomain};
use holdfast_protocol::{Sha256Digest, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use serde::Serialize;

use crate::csr::Csr;
pub use at_rest::{AtRest, InvalidPassphrase, Passphrase};
use ca_certificate::CaCertificate;
pub(crate) use ca_certificate::pem;
pub use error::{CertifyError, RotateError};
pub use generations::{Generation, Generations, Haste, NotNow, Number, Role};
pub use jwt::{Audience, InvalidAudience, JwtSvid};
pub(crate) use key::ed25519_key;
pub use key_folder::KeyFolder;
use keys::{Keys, MAX_ROOTS};
pub use leaf::{InvalidServerName, ServerName};
pub use name::{AgentId, NotBelow};
pub use upstream::UpstreamFiles;

/// The authority of one trust domain, with its keys.
#[derive(Debug)]
pub struct Authority {
    trust_domain: TrustDomain,
    state: KeyFolder,
    /// Who signs the authorities that are made from now on, where they do not sign themselves.
    upstream: Option<UpstreamFiles>,
    /// Read once, and again when the file beside it tells of a change.
    keys: RwLock<Arc<Keys>>,
}

/// A generation, for the operator.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Its number and what it is for.
    #[serde(flatten)]
    pub generation: Generation,
    /// SHA-256 over its certificate.
    pub fingerprint: Sha256Digest,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// Who signed that.
    #[serde(flatten)]
    pub signed_by: SignedBy,
}

/// Who signed a generation's certificate.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "signed-by", rename_all = "kebab-case")]
pub enum SignedBy {
    /// It did.
    Itself,
    /// An upstream authority.
    Upstream {
        /// SHA-256 over each of the upstream's roots.
        roots: Vec<Sha256Digest>,
    },
}

/// An X.509-SVID that was just signed.
#[derive(Clone, Debug)]
pub struct X509Svid {
    /// Its chain, DER, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// What the leaf says.
    pub svid: Svid,
}

/// Whether keys changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No.
    None,
    /// Yes.
    Some,
}

impl Authority {
    /// Opens the authority in a state folder, and makes it there where it is not: self-signed, as those that follow it.
    ///
    /// # Errors
    /// [`CertifyError`] if its files cannot be used, or are of another trust domain.
    pub fn open(
        state: &KeyFolder,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        Self::open_under(state, trust_domain, None, now)
    }

    /// As [`Authority::open`]; what is made is signed by `upstream`, if there is one. What is there stays as it is.
    ///
    /// # Errors
    /// [`CertifyError`] if its files cannot be used or are of another trust domain, or if the upstream authority is needed and
    /// cannot sign.
    pub fn open_under(
        state: &KeyFolder,
        trust_domain: &TrustDomain,
        upstream: Option<UpstreamFiles>,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        let keys = Keys::open(state, trust_domain, upstream.as_ref(), now)?;
        Ok(Self {
            trust_domain: trust_domain.clone(),
            state: state.clone(),
            upstream,
            keys: RwLock::new(Arc::new(keys)),
        })
    }

    /// Reads the keys anew where their generations have changed, by another process perhaps.
    ///
    /// # Errors
    /// [`CertifyError`] if that cannot be done; the keys are then those of before.
    pub fn refresh(&self, now: Timestamp) -> Result<Change, CertifyError> {
        if Keys::generations(&self.state)? == self.keys().generations {
            return Ok(Change::None);
        }
        let upstream = self.upstream.as_ref();
        let keys = Keys::open(&self.state, &self.trust_domain, upstream, now)?;
        self.replace(keys);
        Ok(Change::Some)
    }

    /// Takes one step from generation to generation, makes the keys that it wants and deletes those that it leaves. Gives
    /// what the step gave.
    ///
    /// # Errors
    /// [`RotateError::NotNow`] if it is not to be made now; then nothing is changed.
    pub fn rotate<T>(
        &self,
        step: impl FnOnce(&mut Generations) -> Result<T, NotNow>,
        now: Timestamp,
    ) -> Result<T, RotateError> {
        let before = Keys::generations(&self.state)?;
        let mut generations = before.clone();
        let made = step(&mut generations)?;
        // Before the file names them: whoever reads it finds them all.
        let upstream = self.upstream.as_ref();
        let keys = Keys::of(&self.state, generations, &self.trust_domain, upstream, now)?;
        if keys.roots().len() > MAX_ROOTS {
            for made in keys.generations.all() {
                if !before.all().iter().any(|there| there.number == made.number) {
                    Keys::delete(&self.state, made.number)?;
                }
            }
            return Err(CertifyError::TooManyRoots.into());
        }
        keys.publish(&self.state)?;
        let kept = keys.generations.clone();
        self.replace(keys);
        for left in before.all() {
            if !kept.all().iter().any(|there| there.number == left.number) {
                Keys::delete(&self.state, left.number)?;
            }
        }
        Ok(made)
    }

    /// Its generations, for the operator: the one that signs first.
    pub fn tell(&self) -> Vec<Told> {
        let keys = self.keys();
        let told = keys.by_use().map(|pair| Told {
            generation: pair.generation,
            fingerprint: sha256(pair.ca.certificate()),
            not_after: pair.ca.not_after(),
            signed_by: match pair.ca.upstream() {
                None => SignedBy::Itself,
                Some(roots) => SignedBy::Upstream {
                    roots: roots.iter().map(|root| sha256(&root.der)).collect(),
                },
            },
        });
        told.collect()
    }

    /// How often its keys have changed, from 1.
    pub fn sequence(&self) -> u64 {
        self.keys().generations.sequence()
    }

    // The lock only ever guards an assignment, so a poisoned one holds a whole value.
    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The trust domain that it speaks for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its roots, DER: what everybody in the trust domain verifies against. The first are of the generation that signs.
    pub fn x509_authorities(&self) -> Vec<CertificateDer<'static>> {
        let keys = self.keys();
        let roots = keys.roots().into_iter();
        roots.map(|root| root.der.clone()).collect()
    }

    /// When the certificate ends that signs: nothing that it signs lives longer.
    pub fn not_after(&self) -> Timestamp {
        self.keys().signing.ca.not_after()
    }

    /// SHA-256 over the certificate that signs: what a token pins.
    pub fn fingerprint(&self) -> Sha256Digest {
        sha256(self.keys().signing.ca.certificate())
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
        leaf::sign(&self.keys().signing.ca, &id, &[], &csr.spki_der(), ttl, now)
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
        leaf::sign(
            &self.keys().signing.ca,
            agent.id(),
            &[],
            &csr.spki_der(),
            ttl,
            now,
        )
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
        let keys = self.keys();
        keys.signing.jwt.sign(agent.id(), audience, ttl, now)
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
        let keys = self.keys();
        leaf::server_identity(&keys.signing.ca, &self.trust_domain, names, ttl, now)
    }

    /// The keys that verify JWT-SVIDs, as a JWK set (RFC 7517).
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = self.keys().by_use().map(|pair| pair.jwt.jwk()).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// The trust domain's bundle, with how often others are to fetch it (SPIFFE Trust Domain and Bundle §4).
    pub fn bundle(&self, refresh_hint: Duration) -> serde_json::Value {
        let held = self.keys();
        let roots = held.roots().into_iter().map(|root| root.jwk.clone());
        let keys: Vec<_> = roots
            .chain(held.by_use().map(|pair| pair.jwt.jwk()))
            .collect();
        serde_json::json!({
            "keys": keys,
            "spiffe_sequence": held.generations.sequence(),
            "spiffe_refresh_hint": refresh_hint.as_secs(),
        })
    }

    /// Its roots as PEM.
    pub fn bundle_pem(&self) -> String {
        let keys = self.keys();
        let roots = keys.roots().into_iter();
        roots.map(CaCertificate::pem).collect()
    }
}
