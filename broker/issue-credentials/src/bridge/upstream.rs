//! The client that requests with a secret leave by: pooled, TLS where the secret's URL says so.
//!
//! It must never follow a redirect and never fall back from TLS. Sessions share its connections;
//! HTTP/1.1 credentials belong to a request, so nothing of one session shows in another's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::clock::Clock;
use holdfast_protocol::widening::Reach;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tracing::warn;

use super::body::BodyError;
use super::refusal::{Reason, Refusal};
use super::target::Target;

/// How long a connection may take to stand, without TLS.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a server may think before it answers: a model that does not stream, or a large push.
pub(super) const THINK: Duration = Duration::from_secs(15 * 60);

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// What is sent.
pub(super) type Sent = UnsyncBoxBody<Bytes, BodyError>;

/// A shared HTTP client, and what a session may reach although it is not public.
#[derive(Clone)]
pub struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Sent>,
    widened: Arc<[Reach]>,
}

/// The client cannot be made; us.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// TLS cannot be set up.
    #[error("no TLS client can be made")]
    Tls(#[source] rustls::Error),
}

/// The broker's clock, as TLS asks for it: a host whose own is wrong reaches its servers all the same.
#[derive(Debug)]
struct BrokerTime(Clock);

impl TimeProvider for BrokerTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_millis(self.0.now().as_millis());
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl Upstream {
    /// A client that trusts the certificate authorities of the system, at the time that `clock` tells.
    ///
    /// Where the system has none, HTTPS servers are refused when they are reached, and the log says so.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn new(clock: &Clock) -> Result<Self, UpstreamError> {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            warn!(%error, "a certificate authority of the system cannot be read");
        }
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(native.certs);
        if added == 0 {
            warn!(
                "the system trusts no certificate authority: no HTTPS server can be reached with a secret"
            );
        }
        Self::trusting(roots, clock)
    }

    /// A client that trusts these certificate authorities and no others.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn trusting(roots: RootCertStore, clock: &Clock) -> Result<Self, UpstreamError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let time = Arc::new(BrokerTime(clock.clone()));
        let tls = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(UpstreamError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self {
            client,
            widened: Arc::new([]),
        })
    }

    /// The same client for a session that may reach these too, public or not: a widening that its
    /// human asked for and that is on record.
    #[must_use]
    pub fn reaching(&self, widened: Vec<Reach>) -> Self {
        Self {
            client: self.client.clone(),
            widened: widened.into(),
        }
    }

    /// Whether the session was given this address although it is not public.
    pub(super) fn widened(&self, address: SocketAddr) -> bool {
        self.widened.iter().any(|reach| {
            reach.port.get() == address.port() && reach.host.address() == Some(address.ip())
        })
    }

    /// Whether the session was given this host and port, by this name.
    pub(super) fn named(&self, target: &Target) -> bool {
        self.widened
            .iter()
            .any(|reach| Target::of(reach) == *target)
    }

    /// Sends a request, and returns the head of the answer; redirects are answers.
    pub(super) async fn send(&self, request: Request<Sent>) -> Result<Response<Incoming>, Refusal> {
        let host = request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        match timeout(THINK, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Refusal::unreachable(&host, &error)),
            Err(_) => Err(Refusal::new(
                Reason::TooSlow,
                format!("`{host}` did not answer in {} s", THINK.as_secs()),
            )),
        }
    }
}
