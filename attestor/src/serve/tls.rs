//! The attestor's side of TLS: 1.3 only, its own SVID, client certificates optional.
//!
//! No session is ever resumed: a resumed one would skip the certificate that a request stands on.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;
use holdfast_protocol::words::with_causes;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::peer::NodeVerifier;
use super::{ServeError, now};
use crate::certify::{Authority, CertifyError, Change, ServerName};
use crate::rfc3339;

/// How long to wait after the certificate could not be renewed; half its life is left by then.
const RETRY: Duration = Duration::from_secs(60);

/// When an operator is told that the authority ends.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often to look whether the authority's keys were changed: a small file is read.
const LOOK: Duration = Duration::from_secs(2);

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
        let identity = Self {
            authority,
            names,
            ttl,
            current,
        };
        identity.warn(now);
        Ok(Arc::new(identity))
    }

    fn renew(&self, now: Timestamp) -> Result<(), CertifyError> {
        let fresh = self.authority.server_identity(&self.names, self.ttl, now)?;
        // The lock only ever guards this assignment, so a poisoned one holds a whole value.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.warn(now);
        Ok(())
    }

    /// Half of what a certificate lives that is made now: the authority's own end may cut it.
    fn half_life(&self, now: Timestamp) -> Duration {
        self.ttl.min(self.authority.not_after().since(now)) / 2
    }

    /// Says it while there is time to do something about it.
    fn warn(&self, now: Timestamp) {
        let ends = self.authority.not_after();
        if ends < now + SOON {
            tracing::warn!(
                ends = rfc3339(ends),
                "the authority's certificate ends soon, and nothing that it signs outlives it: `authority prepare` makes the next"
            );
        }
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
    /// Who verifies client certificates.
    pub(super) verifier: Arc<NodeVerifier>,
    /// Whose hosts may show a certificate.
    pub(super) trust_domain: TrustDomain,
}

pub(super) fn server_config(
    authority: &Authority,
    identity: Arc<Identity>,
) -> Result<Config, ServeError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(NodeVerifier::new(authority, Arc::clone(&provider))?);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Config {
        rustls: Arc::new(config),
        verifier,
        trust_domain: authority.trust_domain().clone(),
    })
}

/// Renews the certificate at half its life, and all that hangs on the authority's keys when those change, until `stop`.
pub(super) async fn keep_fresh(
    identity: Arc<Identity>,
    verifier: Arc<NodeVerifier>,
    stop: CancellationToken,
) {
    let mut renew_at = Instant::now() + identity.half_life(now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        // Elsewhere: where keys are encrypted, opening them takes as long as guessing at their passphrase should.
        let (held, verifying) = (Arc::clone(&identity), Arc::clone(&verifier));
        let looked = tokio::task::spawn_blocking(move || refresh(&held.authority, &verifying));
        let changed = match looked.await {
            Ok(Ok(change)) => change,
            Ok(Err(error)) => {
                tracing::error!(
                    error = with_causes(&error),
                    "the authority's keys were not read anew"
                );
                Change::None
            }
            // Only the end of the runtime takes it away.
            Err(_) => return,
        };
        if changed == Change::None && Instant::now() < renew_at {
            continue;
        }
        renew_at = Instant::now()
            + match identity.renew(now()) {
                Ok(()) => identity.half_life(now()),
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

/// Takes the authority's keys as another process has left them.
fn refresh(authority: &Authority, verifier: &NodeVerifier) -> Result<Change, ServeError> {
    let change = authority.refresh(now())?;
    if change == Change::Some {
        verifier.renew(authority)?;
        tracing::info!(
            sequence = authority.sequence(),
            "the authority's keys have changed"
        );
    }
    Ok(change)
}
