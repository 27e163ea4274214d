//! The attestor as a server: one listener, four services.
//!
//! Here the pure judgements meet network, store, clock and randomness. Nothing here decides whether
//! a host is to be believed, and no answer leaves before the store has it.

mod answer;
mod attestation;
mod bundle_endpoint;
mod caller;
mod channel;
mod enrollment;
mod host;
mod listener;
mod mirror;
mod peer;
mod rollout;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;
use holdfast_protocol::management::RunBy;
use holdfast_protocol::wire::attestor::attestation_server::AttestationServer;
use holdfast_protocol::wire::attestor::enrollment_server::EnrollmentServer;
use holdfast_protocol::wire::attestor::host_server::HostServer;
use holdfast_protocol::wire::attestor::mirror_server::MirrorServer;
use holdfast_protocol::wire::{MAX_EVENT_LOG, MAX_IMA_LIST, MAX_STRUCTURE};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::certify::{Authority, CertifyError, ServerName};
use crate::config::Explain;
use crate::enroll_host::EnrollmentPolicy;
use crate::federation::{self, Federation};
use crate::group::Policies;
use crate::mirror_audit::{Cosigner, Limits, Rates};
use crate::store::Store;
use crate::verify_host::ImaPolicy;

pub use bundle_endpoint::{BundleEndpoint, EndpointCertificate, WebCertificate};

/// What one request may take, TPM-side waits not included: they are between requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest message that we read: an event log and a handful of structures.
const MAX_MESSAGE: usize = MAX_EVENT_LOG + 16 * MAX_STRUCTURE;

/// The largest evidence: a measurement list besides, where one is asked for. Anybody may send as much.
fn evidence_limit(ima: &ImaPolicy) -> usize {
    match ima {
        ImaPolicy::Off => MAX_MESSAGE,
        ImaPolicy::Record(_) | ImaPolicy::Enforce(_) => MAX_MESSAGE + MAX_IMA_LIST,
    }
}

/// How many streams one connection may have open: a broker asks for a few names at once.
const MAX_STREAMS: u32 = 64;

/// How many connections may wait between handshake and server: they are taken at once.
const BACKLOG: usize = 32;

/// How long running requests may take to end when the attestor is told to.
const GRACE: Duration = Duration::from_secs(5);

/// How long the attestor's own TLS certificate lives; it is made anew at half of that.
pub(crate) const SERVER_TTL: Duration = Duration::from_secs(24 * 3600);

/// What the services are told; everything is checked before.
#[derive(Debug)]
pub struct Settings {
    /// Whom policy lets in.
    pub enrollment: EnrollmentPolicy,
    /// What hosts are held to.
    pub policies: Policies,
    /// How long JWT-SVIDs live.
    pub jwt_ttl: Duration,
    /// Names for the TLS certificate.
    pub server_names: Vec<ServerName>,
    /// Whether a refused host learns why.
    pub explain: Explain,
    /// Who runs it, which its hosts are told.
    pub run_by: RunBy,
    /// What one host's audit log may have.
    pub mirror: Limits,
    /// How many connections are kept at once.
    pub connections: usize,
    /// The other trust domains whose bundles hosts get.
    pub federation: Arc<Federation>,
}

/// Why the attestor cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its TLS identity could not be made.
    #[error("the attestor's tls identity could not be made")]
    Identity(#[from] CertifyError),
    /// TLS could not be set up.
    #[error("tls could not be set up")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates could not be set up.
    #[error("the verifier of client certificates could not be set up")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The listener's address cannot be read.
    #[error("the listener's address cannot be read")]
    Address(#[source] std::io::Error),
    /// The server ended with an error.
    #[error("the server failed")]
    Transport(#[from] tonic::transport::Error),
    /// One of the server's tasks was lost.
    #[error("one of the server's tasks was lost")]
    Lost(#[from] tokio::task::JoinError),
}

/// What all services share.
#[derive(Debug)]
struct Shared<S> {
    authority: Arc<Authority>,
    cosigner: Cosigner,
    rates: Rates,
    store: S,
    settings: Settings,
    watching: watch::Watching,
}

/// An attestor that is bound and ready to run.
pub struct Server<S> {
    shared: Arc<Shared<S>>,
    listener: TcpListener,
    identity: Arc<tls::Identity>,
    tls: Arc<tls::Config>,
    address: SocketAddr,
    bundle: Option<BundleEndpoint>,
}

impl<S: Store> Server<S> {
    /// Prepares to serve on a listener.
    ///
    /// # Errors
    /// [`ServeError`] if TLS cannot be set up.
    pub fn new(
        listener: TcpListener,
        authority: Authority,
        cosigner: Cosigner,
        store: S,
        settings: Settings,
    ) -> Result<Self, ServeError> {
        let address = listener.local_addr().map_err(ServeError::Address)?;
        let authority = Arc::new(authority);
        let identity = tls::Identity::make(
            Arc::clone(&authority),
            settings.server_names.clone(),
            SERVER_TTL,
            now(),
        )?;
        let tls = Arc::new(tls::server_config(&authority, Arc::clone(&identity))?);
        Ok(Self {
            shared: Arc::new(Shared {
                authority,
                cosigner,
                rates: Rates::default(),
                store,
                watching: watch::Watching::new(&settings.policies),
                settings,
            }),
            listener,
            identity,
            tls,
            address,
            bundle: None,
        })
    }

    /// Serves the trust domain's bundle to others besides.
    #[must_use]
    pub fn with_bundle_endpoint(self, endpoint: BundleEndpoint) -> Self {
        Self {
            bundle: Some(endpoint),
            ..self
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets running requests end.
    ///
    /// # Errors
    /// [`ServeError`] if one of its tasks fails; the others are then stopped.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServeError> {
        let Self {
            shared,
            listener,
            identity,
            tls,
            address: _,
            bundle,
        } = self;
        // If this returns early, everything below is told to stop.
        let stop = stop.child_token();
        let _stop_all = stop.clone().drop_guard();
        let own = Arc::clone(&identity) as Arc<dyn rustls::server::ResolvesServerCert>;
        let (sender, connections) = mpsc::channel(BACKLOG);
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (connections, stop) = (shared.settings.connections, stop.clone());
            let tls = Arc::clone(&tls);
            async move {
                listener::accept(listener, tls, connections, sender, stop).await;
                Ok(())
            }
        });
        tasks.spawn({
            let stop = stop.clone();
            let verifier = Arc::clone(&tls.verifier);
            async move {
                tls::keep_fresh(identity, verifier, stop).await;
                Ok(())
            }
        });
        tasks.spawn({
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            async move {
                watch::follow(shared, stop).await;
                Ok(())
            }
        });
        tasks.spawn({
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            async move {
                rollout::look_after(shared, stop).await;
                Ok(())
            }
        });
        tasks.spawn({
            let (federation, stop) = (Arc::clone(&shared.settings.federation), stop.clone());
            async move {
                federation::run(federation, stop.clone()).await;
                // With nobody to federate with it has nothing to do.
                stop.cancelled().await;
                Ok(())
            }
        });
        tasks.spawn({
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            async move {
                watch::follow_bundles(shared, stop).await;
                Ok(())
            }
        });
        if let Some(endpoint) = bundle {
            let authority = Arc::clone(&shared.authority);
            tasks.spawn(endpoint.run(authority, own, stop.clone()));
        }
        tasks.spawn(answer_requests(
            shared,
            ReceiverStream::new(connections),
            stop.clone(),
        ));
        while let Some(ended) = tasks.join_next().await {
            ended??;
            stop.cancel();
        }
        Ok(())
    }
}

async fn answer_requests<S: Store>(
    shared: Arc<Shared<S>>,
    connections: ReceiverStream<std::io::Result<channel::Channel>>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let serving = tonic::transport::Server::builder()
        .timeout(REQUEST_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(60)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(
            EnrollmentServer::new(enrollment::Enrollment(Arc::clone(&shared)))
                .max_decoding_message_size(MAX_MESSAGE),
        )
        .add_service(
            AttestationServer::new(attestation::Attestation(Arc::clone(&shared)))
                .max_decoding_message_size(evidence_limit(
                    &shared.settings.policies.rest.evidence.ima,
                )),
        )
        .add_service(
            HostServer::new(host::HostService(Arc::clone(&shared)))
                .max_decoding_message_size(MAX_STRUCTURE * 2),
        )
        .add_service(
            MirrorServer::new(mirror::MirrorService(Arc::clone(&shared)))
                .max_decoding_message_size(holdfast_protocol::mirror::MAX_MESSAGE),
        )
        .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = stop.cancelled() => {}
    }
    shared.watching.end();
    // Whoever keeps a connection open must not keep the attestor from ending.
    match tokio::time::timeout(GRACE, serving).await {
        Ok(result) => Ok(result?),
        Err(_) => {
            tracing::warn!("some requests did not end in time");
            Ok(())
        }
    }
}

/// The wall clock, read at the edge alone.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
