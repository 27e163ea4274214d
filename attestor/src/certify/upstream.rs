//! An upstream authority in files: who signs a generation's own authority, and the roots that lead to it.
//!
//! Its key is read when a generation is made, and never kept: it may be away at any other time. It must never sign what
//! would not verify by its roots, or would outlive it.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;
use rcgen::{
    CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, PublicKeyData,
};
use rustls::pki_types::CertificateDer;

use super::ca::probe;
use super::ca_certificate::{self, CaCertificate};
use super::files::{self, Access};
use super::key_folder::KeyFolder;
use super::{CertifyError, leaf};

/// The most certificates of an upstream between us and a root: hosts take chains of eight.
pub(super) const MAX_CHAIN: usize = 4;

/// The most roots of an upstream.
pub(super) const MAX_ROOTS: usize = 4;

/// Where an upstream authority is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFiles {
    /// Its chain, PEM: first the certificate whose key signs.
    pub certificate: PathBuf,
    /// That key, PKCS#8 PEM.
    pub key: PathBuf,
    /// Its roots, PEM.
    pub bundle: PathBuf,
}

/// An upstream authority that can sign.
pub(super) struct Upstream<'f> {
    files: &'f UpstreamFiles,
    issuer: Issuer<'static, KeyPair>,
    /// Without any that is a root itself.
    chain: Vec<CaCertificate>,
    roots: Vec<CaCertificate>,
    ends: Timestamp,
}

/// What it made.
pub(super) struct Certified {
    /// The authority that was certified, and those between it and a root.
    pub(super) chain_pem: String,
    /// The roots.
    pub(super) roots_pem: String,
}

impl<'f> Upstream<'f> {
    /// Reads an upstream authority that is able to sign another below it.
    pub(super) fn open(
        files: &'f UpstreamFiles,
        keys: &KeyFolder,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        let refuse = |path: &Path| {
            let path = path.to_owned();
            move |problem| CertifyError::Upstream { path, problem }
        };
        let mut chain = read(&files.certificate, MAX_CHAIN)?;
        for (below, certificate) in chain.iter().enumerate() {
            fit(certificate, below, now).map_err(refuse(&files.certificate))?;
        }
        let roots = read(&files.bundle, MAX_ROOTS)?;
        let key = keys.open_key(&files.key)?;
        let key = KeyPair::try_from(&*key)
            .ok()
            .filter(|key| {
                let taken = [
                    &PKCS_ECDSA_P256_SHA256,
                    &PKCS_ECDSA_P384_SHA384,
                    &PKCS_RSA_SHA256,
                ];
                taken.contains(&key.algorithm())
            })
            .ok_or("is not a key on P-256 or P-384, or of RSA, as PKCS#8")
            .map_err(refuse(&files.key))?;
        let signing = chain
            .first()
            .filter(|first| first.key == key.subject_public_key_info())
            .ok_or("is not the key of the first certificate in `upstream-certificate`")
            .map_err(refuse(&files.key))?;
        let issuer = Issuer::from_ca_cert_der(&signing.der, key)?;
        let ends = chain.iter().map(|certificate| certificate.ends);
        let ends = ends.fold(signing.ends, Ord::min);
        chain.retain(|certificate| !roots.contains(certificate));
        Ok(Self {
            files,
            issuer,
            chain,
            roots,
            ends,
        })
    }

    /// Certifies an authority, until `wanted` or as long as all above it are valid.
    pub(super) fn certify(
        &self,
        mut params: CertificateParams,
        key: &KeyPair,
        trust_domain: &TrustDomain,
        wanted: Timestamp,
        now: Timestamp,
    ) -> Result<Certified, CertifyError> {
        params.use_authority_key_identifier_extension = true;
        let ends = wanted.min(self.ends);
        let first = self.sign(&mut params, key, ends, now)?;
        let roots = self.roots_of(&first, key, trust_domain, now)?;
        // The root that it leads to may end before those between.
        let ends = ends.min(roots);
        let made = self.sign(&mut params, key, ends, now)?;
        let above = self.chain.iter().map(CaCertificate::pem);
        Ok(Certified {
            chain_pem: std::iter::once(made.pem()).chain(above).collect(),
            roots_pem: self.roots.iter().map(CaCertificate::pem).collect(),
        })
    }

    fn sign(
        &self,
        params: &mut CertificateParams,
        key: &KeyPair,
        ends: Timestamp,
        now: Timestamp,
    ) -> Result<CaCertificate, CertifyError> {
        leaf::set_validity(params, now - leaf::SKEW, ends);
        let made = params.signed_by(key, &self.issuer)?;
        CaCertificate::parse(made.der().clone())
            .map_err(|_| CertifyError::Crypto("signing under the upstream authority"))
    }

    /// When the roots end that what it signs leads to; the last of them.
    fn roots_of(
        &self,
        made: &CaCertificate,
        key: &KeyPair,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<Timestamp, CertifyError> {
        let failed = |source| CertifyError::NoChain {
            path: self.files.certificate.clone(),
            roots: self.files.bundle.clone(),
            source,
        };
        // A key of its own cannot be cloned: the same key is read again.
        let again = KeyPair::try_from(key.serialized_der())?;
        let issuer = Issuer::from_ca_cert_der(&made.der, again)?;
        let probe = probe(&issuer, &made.key, trust_domain, now).map_err(failed)?;
        let above = std::iter::once(made).chain(&self.chain);
        let above: Vec<CertificateDer<'_>> = above.map(|one| one.der.clone()).collect();
        let begun = self
            .roots
            .iter()
            .filter(|root| root.begins <= now && now < root.ends);
        let leading =
            begun.filter(|root| ca_certificate::verify(&probe, &above, [*root], now).is_ok());
        match leading.map(|root| root.ends).max() {
            Some(ends) => Ok(ends),
            None => {
                // Why not, by all of them at once.
                ca_certificate::verify(&probe, &above, &self.roots, now).map_err(failed)?;
                Err(CertifyError::Upstream {
                    path: self.files.bundle.clone(),
                    problem: "has no root of this upstream that is valid now",
                })
            }
        }
    }
}

fn read(path: &Path, most: usize) -> Result<Vec<CaCertificate>, CertifyError> {
    let refuse = |problem| CertifyError::Upstream {
        path: path.to_owned(),
        problem,
    };
    let text = files::load(path, Access::Everybody)?.ok_or_else(|| refuse("is not there"))?;
    CaCertificate::all(&text, most).map_err(refuse)
}

/// Whether an authority is valid, and may have one below it besides the `below` that it has already.
fn fit(certificate: &CaCertificate, below: usize, now: Timestamp) -> Result<(), &'static str> {
    if certificate.ends <= now {
        return Err("has a certificate that has expired");
    }
    if certificate.begins > now {
        return Err("has a certificate that is not valid yet");
    }
    if certificate
        .path_len
        .is_some_and(|most| usize::from(most) <= below)
    {
        return Err(
            "has a certificate whose path length lets no authority follow below it: ask the upstream for one that may",
        );
    }
    // X509-SVID §3.2: an authority's SPIFFE ID has no path.
    let workload = |uri: &String| {
        let rest = uri.strip_prefix("spiffe://");
        rest.is_some_and(|rest| rest.contains('/'))
    };
    if certificate.uris.iter().any(workload) {
        return Err("has the certificate of a workload, by its SPIFFE ID");
    }
    Ok(())
}
