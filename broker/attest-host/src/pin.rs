//! Who the attestor is: the authority that was pinned at enrollment.
//!
//! A server is the attestor only if its certificate chains to a pinned authority and names
//! `spiffe://TD/attestor`. Nothing here may fall back to the system's trust store.

use std::sync::Arc;

use holdfast_proof::hash::sha256;
use holdfast_proof::svid::Svid;
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::clock::Floor;
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::time::unix;

/// What is known of the attestor before it is asked.
#[derive(Clone, Debug)]
pub enum Pin {
    /// A join token's: the trust domain, and the SHA-256 of its authority's certificate, which the
    /// server has to send along.
    Fingerprint {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// SHA-256 of the authority's DER.
        authority: Sha256Digest,
    },
    /// The authorities themselves.
    Authorities {
        /// The trust domain, where it is known already.
        trust_domain: Option<TrustDomain>,
        /// Their certificates.
        certificates: Vec<CertificateDer<'static>>,
    },
}

impl Pin {
    /// The authorities that it pins, found among what the server sent where only a fingerprint is known.
    pub(crate) fn known(&self, sent: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
        match self {
            Self::Authorities { certificates, .. } => certificates.clone(),
            Self::Fingerprint { authority, .. } => sent
                .iter()
                .find(|certificate| sha256(certificate) == *authority)
                .map(|pinned| pinned.clone().into_owned())
                .into_iter()
                .collect(),
        }
    }
}

/// When the attestor's certificate has to be valid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Period {
    /// Now.
    Current,
    /// At any time that is not before the floor: this host cannot know what time it is, or is about to be told. Whoever
    /// connects so may believe what comes of it only once the time is proved ([`crate::time`]).
    Since(Floor),
}

/// The server is not the pinned attestor.
#[derive(Debug, thiserror::Error)]
enum NotTheAttestor {
    #[error("the server sent no certificate of the pinned authority")]
    AuthorityMissing,
    #[error("the server's certificate is not an x.509-svid")]
    NotAnSvid(#[source] holdfast_proof::svid::SvidError),
    #[error("the server is `{0}`, not the attestor")]
    Name(SpiffeId),
}

impl From<NotTheAttestor> for Error {
    fn from(error: NotTheAttestor) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// Verifies the server against a [`Pin`].
#[derive(Debug)]
pub(crate) struct PinnedAttestor {
    pin: Pin,
    period: Period,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedAttestor {
    pub(crate) fn new(pin: Pin, period: Period, provider: &CryptoProvider) -> Self {
        Self {
            pin,
            period,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Whether a pinned authority has signed this chain, leaf first, and all of it is valid at `at`.
    pub(crate) fn vouches(&self, chain: &[CertificateDer<'_>], at: UnixTime) -> Result<(), Error> {
        let (leaf, above) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &self.roots(above)?,
            above,
            at,
            self.algorithms.all,
        )
    }

    /// What a chain may end in.
    fn roots(&self, sent: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
        let known = self.pin.known(sent);
        if known.is_empty() {
            return Err(NotTheAttestor::AuthorityMissing.into());
        }
        let mut roots = RootCertStore::empty();
        for authority in known {
            roots.add(authority)?;
        }
        Ok(roots)
    }

    fn expects(&self, name: &SpiffeId) -> bool {
        let trust_domain = match &self.pin {
            Pin::Fingerprint { trust_domain, .. } => trust_domain,
            Pin::Authorities { trust_domain, .. } => {
                trust_domain.as_ref().unwrap_or(name.trust_domain())
            }
        };
        *name == SpiffeId::attestor(trust_domain)
    }
}

/// Whether nothing but the time is against a certificate.
pub(crate) fn is_of_time(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

impl ServerCertVerifier for PinnedAttestor {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let svid = Svid::parse(end_entity).map_err(NotTheAttestor::NotAnSvid)?;
        let chain: Vec<_> = std::iter::once(end_entity)
            .chain(intermediates)
            .cloned()
            .collect();
        match (self.vouches(&chain, now), self.period) {
            (Ok(()), _) => {}
            (Err(error), Period::Since(floor)) if is_of_time(&error) => {
                self.vouches(&chain, unix(svid.not_before.max(floor.at())))?;
            }
            (Err(error), Period::Current | Period::Since(_)) => return Err(error),
        }
        if self.expects(&svid.spiffe_id) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(NotTheAttestor::Name(svid.spiffe_id).into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Unreached: only TLS 1.3 is offered.
        Err(Error::General("tls 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
