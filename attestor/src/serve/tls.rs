//! The attestor's side of TLS: 1.3 only, its own SVID, client certificates optional.
//!
//! No session is ever resumed: a resumed one would skip the certificate that a request stands on.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;
use holdfast_protocol::words::with_causes;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::peer::NodeVerifier;
use super::{ServeError, now};
use crate::certify::{Authority, CertifyError, ServerName};

/// How long to wait after the certificate could not be renewed; half its life is left by then.
const RETRY: Duration = Duration::from_secs(60);

/// The attestor's TLS key and certificate, which are made anew while it runs.
#[derive(Debug)]
pub(super) struct Identity {
    authority: Arc<Authority>,
    names: Vec<ServerName>,
    ttl: Duration,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Identity {
    pub(super) fn make(
        authority: Arc<Authority>,
        names: Vec<ServerName>,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Arc<Self>, CertifyError> {
        let current = RwLock::new(authority.server_identity(&names, ttl, now)?);
        Ok(Arc::new(Self {
            authority,
            names,
            ttl,
            current,
        }))
    }

    fn renew(&self, now: Timestamp) -> Result<(), CertifyError> {
        let fresh = self.authority.server_identity(&self.names, self.ttl, now)?;
        // The lock only ever guards this assignment, so a poisoned one holds a whole value.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// How connections are taken.
#[derive(Debug)]
pub(super) struct Config {
    /// For the handshake.
    pub(super) rustls: Arc<rustls::ServerConfig>,
    /// Whose hosts may show a certificate.
    pub(super) trust_domain: TrustDomain,
}

pub(super) fn server_config(
    authority: &Authority,
    identity: Arc<Identity>,
) -> Result<Config, ServeError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = NodeVerifier::new(authority, Arc::clone(&provider))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Config {
        rustls: Arc::new(config),
        trust_domain: authority.trust_domain().clone(),
    })
}

/// Renews the certificate at half its life until `stop`.
pub(super) async fn keep_fresh(identity: Arc<Identity>, stop: CancellationToken) {
    let mut wait = identity.ttl / 2;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match identity.renew(now()) {
            Ok(()) => identity.ttl / 2,
            Err(error) => {
                tracing::error!(
                    error = with_causes(&error),
                    "the tls certificate was not renewed"
                );
                RETRY
            }
        };
    }
}
