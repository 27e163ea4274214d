//! Who is at the other end of a connection: nobody that we know, or a host with its node SVID.
//!
//! A client certificate that is not a host's own SVID ends the handshake; it must never be taken
//! for no certificate. Whether the host was revoked is asked anew for every request.

use std::sync::{Arc, PoisonError, RwLock};

use holdfast_proof::svid::{Svid, SvidError};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{HostId, SpiffeId, TrustDomain};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::ServeError;
use crate::certify::Authority;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Anybody: no certificate was shown.
    Anonymous,
    /// A host that holds the key of its node SVID.
    Host(NodePeer),
}

/// A host, by its node SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodePeer {
    /// The host.
    pub(super) id: HostId,
    /// When its SVID ends; a connection may live longer.
    pub(super) not_after: Timestamp,
}

/// A certificate is not a host's own.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAHost {
    #[error("the client's certificate is not an x.509-svid")]
    NotAnSvid(#[from] SvidError),
    #[error("`{0}` is not the name of a host of this trust domain")]
    Name(SpiffeId),
}

impl NodePeer {
    /// Reads a certificate whose chain and possession were verified.
    pub(super) fn of(
        certificate: &CertificateDer<'_>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, NotAHost> {
        let svid = Svid::parse(certificate)?;
        match svid.spiffe_id.host_id() {
            // Equality, so that an agent's SVID below the host's name is no host's.
            Some(id) if svid.spiffe_id == SpiffeId::host(trust_domain, id) => Ok(Self {
                id,
                not_after: svid.not_after,
            }),
            Some(_) | None => Err(NotAHost::Name(svid.spiffe_id)),
        }
    }
}

/// Verifies client certificates, where one is shown, against our own authority as it is at that moment.
#[derive(Debug)]
pub(super) struct NodeVerifier {
    webpki: RwLock<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
    trust_domain: TrustDomain,
}

impl NodeVerifier {
    pub(super) fn new(
        authority: &Authority,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, ServeError> {
        Ok(Self {
            webpki: RwLock::new(verifier(authority, Arc::clone(&provider))?),
            provider,
            trust_domain: authority.trust_domain().clone(),
        })
    }

    /// Takes the authority's keys as they are now.
    pub(super) fn renew(&self, authority: &Authority) -> Result<(), ServeError> {
        let fresh = verifier(authority, Arc::clone(&self.provider))?;
        // The lock only ever guards this assignment, so a poisoned one holds a whole value.
        *self.webpki.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn webpki(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.webpki.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn verifier(
    authority: &Authority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ServeError> {
    let mut roots = RootCertStore::empty();
    for certificate in authority.x509_authorities() {
        roots.add(certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()?;
    Ok(verifier)
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // None: they change with the authority's keys, and a host has one certificate to show.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .webpki()
            .verify_client_cert(end_entity, intermediates, now)?;
        match NodePeer::of(end_entity, &self.trust_domain) {
            Ok(_) => Ok(verified),
            Err(error) => Err(Error::InvalidCertificate(CertificateError::Other(
                OtherError(Arc::new(error)),
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki().supported_verify_schemes()
    }
}
