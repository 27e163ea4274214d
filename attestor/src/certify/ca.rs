//! A generation's own certification authority: a P-256 key and its certificate, made once, self-signed or under an upstream
//! authority.
//!
//! The certificate carries the trust domain's ID and may sign leaves only (SPIFFE X509-SVID §3, §4).

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::ca_certificate::{self, CaCertificate};
use super::files::{self, Access, load_or_make};
use super::generations::Number;
use super::key_folder::KeyFolder;
use super::upstream::{self, Upstream, UpstreamFiles};
use super::{CertifyError, key, leaf};

/// How long an authority's certificate lives: ten years, or as long as the one above it. An operator rotates when they want
/// to.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The authority's key with its certificate.
#[derive(Debug)]
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CaCertificate,
    trust: Trust,
}

/// What those verify against who trust it.
#[derive(Debug)]
enum Trust {
    /// Its own certificate.
    Itself,
    /// An upstream's.
    Upstream {
        /// Those between it and a root, its issuer first.
        intermediates: Vec<CaCertificate>,
        /// The upstream's.
        roots: Vec<CaCertificate>,
    },
}

impl Ca {
    /// Opens both, and makes what is not there: under `upstream`, if there is one.
    pub(super) fn open(
        state: &KeyFolder,
        number: Number,
        trust_domain: &TrustDomain,
        upstream: Option<&UpstreamFiles>,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        let [key_path, path, roots_path] = Self::files(state, number);
        let key = parse_key(&key_path, &*state.key(&key_path, key::generate)?)?;
        let chain = load_or_make(&path, Access::Everybody, || {
            let params = params(number, trust_domain, now)?;
            let Some(files) = upstream else {
                return Ok(Zeroizing::new(params.self_signed(&key)?.pem()));
            };
            let upstream = Upstream::open(files, state, now)?;
            let made = upstream.certify(params, &key, trust_domain, now + LIFETIME, now)?;
            // Before the certificate, which is nothing without them.
            files::replace(&roots_path, Access::Everybody, &made.roots_pem)?;
            Ok(Zeroizing::new(made.chain_pem))
        })?;
        let unusable = |problem| CertifyError::Unusable {
            path: path.clone(),
            problem,
        };
        let mut chain = CaCertificate::all(&chain, 1 + upstream::MAX_CHAIN).map_err(unusable)?;
        let intermediates = chain.split_off(1);
        let [certificate] = <[CaCertificate; 1]>::try_from(chain)
            .map_err(|_| unusable("has no certificate in PEM"))?;
        if certificate.key != key.subject_public_key_info() {
            return Err(unusable("is not the certificate of the key beside it"));
        }
        if !certificate.uris.contains(&trust_domain.id()) {
            return Err(unusable("is the authority of another trust domain"));
        }
        let trust = match files::load(&roots_path, Access::Everybody)? {
            None if intermediates.is_empty() => Trust::Itself,
            None => {
                return Err(unusable(
                    "has a chain, and the roots that it leads to are gone",
                ));
            }
            Some(roots) => Trust::Upstream {
                intermediates,
                roots: CaCertificate::all(&roots, upstream::MAX_ROOTS).map_err(|problem| {
                    CertifyError::Unusable {
                        path: roots_path.clone(),
                        problem,
                    }
                })?,
            },
        };
        let ca = Self {
            issuer: Issuer::from_ca_cert_der(&certificate.der, key)?,
            certificate,
            trust,
        };
        ca.leads(trust_domain)
            .map_err(|source| CertifyError::NoChain {
                path,
                roots: roots_path,
                source,
            })?;
        Ok(ca)
    }

    /// Where key, chain and roots of a generation are; the roots only where they are an upstream's.
    pub(super) fn files(state: &KeyFolder, number: Number) -> [PathBuf; 3] {
        ["key", "cert", "roots"].map(|what| state.join(format!("ca{}.{what}.pem", number.infix())))
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate.der
    }

    /// What an SVID's chain has after its leaf, without the root: nothing, where its own certificate is the root.
    pub(super) fn intermediates(&self) -> Vec<CertificateDer<'static>> {
        match &self.trust {
            Trust::Itself => Vec::new(),
            Trust::Upstream { intermediates, .. } => {
                let all = std::iter::once(&self.certificate).chain(intermediates);
                all.map(|certificate| certificate.der.clone()).collect()
            }
        }
    }

    /// What verifies everything that it signs.
    pub(super) fn roots(&self) -> &[CaCertificate] {
        match &self.trust {
            Trust::Itself => std::slice::from_ref(&self.certificate),
            Trust::Upstream { roots, .. } => roots,
        }
    }

    /// The upstream's roots, where it is under one.
    pub(super) fn upstream(&self) -> Option<&[CaCertificate]> {
        match &self.trust {
            Trust::Itself => None,
            Trust::Upstream { roots, .. } => Some(roots),
        }
    }

    /// When nothing that it signed may be valid any more.
    pub(super) fn not_after(&self) -> Timestamp {
        self.certificate.ends
    }

    /// Whether what it signs verifies by its roots, at the moment when all of them had begun: that one of them has ended
    /// since keeps nobody from reading the others.
    fn leads(&self, trust_domain: &TrustDomain) -> Result<(), rustls::Error> {
        let Trust::Upstream {
            intermediates,
            roots,
        } = &self.trust
        else {
            return Ok(());
        };
        let above = intermediates.iter().chain(roots);
        let begun = above.map(|certificate| certificate.begins);
        let at = begun.fold(self.certificate.begins, Ord::max);
        let probe = probe(&self.issuer, &self.certificate.key, trust_domain, at)?;
        ca_certificate::verify(&probe, &self.intermediates(), roots, at)
    }
}

/// A leaf that an authority has signed, to see whether it verifies. It names the attestor and certifies the authority's own
/// key, and never leaves.
pub(super) fn probe(
    issuer: &Issuer<'static, KeyPair>,
    key: &[u8],
    trust_domain: &TrustDomain,
    at: Timestamp,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let id = SpiffeId::attestor(trust_domain);
    leaf::certificate(issuer, &id, &[], key, [at, at])
        .map_err(|error| rustls::Error::General(error.to_string()))
}

fn parse_key(path: &Path, key: &PrivatePkcs8KeyDer<'_>) -> Result<KeyPair, CertifyError> {
    KeyPair::from_pkcs8_der_and_sign_algo(key, &PKCS_ECDSA_P256_SHA256).map_err(|_| {
        CertifyError::Unusable {
            path: path.to_owned(),
            problem: "is not a P-256 key",
        }
    })
}

fn params(
    number: Number,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<CertificateParams, CertifyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Holdfast");
    // A name of its own, so that neither authorities of two trust domains nor two generations of one can be taken for
    // each other; 64 characters are what X.520 allows.
    let generation = number.infix();
    let room = 64 - generation.len();
    let name: String = trust_domain.as_str().chars().take(room).collect();
    let name = name + &generation;
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![SanType::URI(trust_domain.id().try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(leaf::serial()?);
    leaf::set_validity(&mut params, now - leaf::SKEW, now + LIFETIME);
    Ok(params)
}
