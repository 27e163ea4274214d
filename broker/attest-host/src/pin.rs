//! Who the attestor is: the authority that was pinned at enrollment.
//!
//! A server is the attestor only if its certificate chains to a pinned authority and names
//! `spiffe://TD/attestor`. Nothing here may fall back to the system's trust store.

use std::sync::Arc;

use holdfast_proof::hash::sha256;
use holdfast_proof::svid::Svid;
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

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
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedAttestor {
    pub(crate) fn new(pin: Pin, provider: &CryptoProvider) -> Self {
        Self {
            pin,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// The pinned authorities, found among what the server sent where only a fingerprint is known.
    fn roots(&self, sent: &[CertificateDer<'_>]) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.pin {
            Pin::Authorities { certificates, .. } => {
                for certificate in certificates {
                    roots.add(certificate.clone())?;
                }
            }
            Pin::Fingerprint { authority, .. } => {
                let pinned = sent
                    .iter()
                    .find(|certificate| sha256(certificate) == *authority)
                    .ok_or(NotTheAttestor::AuthorityMissing)?;
                roots.add(pinned.clone().into_owned())?;
            }
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

impl ServerCertVerifier for PinnedAttestor {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots(intermediates)?,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let svid = Svid::parse(end_entity).map_err(NotTheAttestor::NotAnSvid)?;
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
