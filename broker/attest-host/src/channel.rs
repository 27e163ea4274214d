//! One TLS 1.3 connection to the attestor, and the value that binds evidence to it (RFC 9266).
//!
//! The attestor is whoever the pinned authority names `spiffe://TD/attestor`; DNS names play no
//! part. A connection is made once and never silently remade: evidence for one must never travel on
//! another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_proof::evidence::ChannelBinding;
use holdfast_protocol::clock::Clock;
use hyper_util::rt::TokioIo;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use crate::pin::{Period, Pin, PinnedAttestor, is_of_time};
use crate::time::unix;
use crate::url::AttestorUrl;

/// How long one request to the attestor may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the attestor.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The gRPC channel over it.
    pub channel: tonic::transport::Channel,
    /// The connection's own exporter value.
    pub binding: ChannelBinding,
    /// What the attestor showed, leaf first.
    pub(crate) server: Vec<CertificateDer<'static>>,
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The network or the attestor is not there.
    #[error("no connection to {url}")]
    Unreachable {
        /// Where we tried.
        url: AttestorUrl,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It did not answer in time.
    #[error("{0} did not answer within {secs} s", secs = CONNECT_TIMEOUT.as_secs())]
    Timeout(AttestorUrl),
    /// TLS itself failed on our side.
    #[error("tls could not be set up")]
    Tls(#[source] rustls::Error),
    /// HTTP/2 did not come up.
    #[error("the attestor does not speak http/2")]
    Http(#[source] tonic::transport::Error),
}

impl ChannelError {
    /// Whether nothing but the time is against the attestor's certificate.
    pub fn is_of_time(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source
                .get_ref()
                .and_then(|error| error.downcast_ref::<rustls::Error>())
                .is_some_and(is_of_time),
            Self::Timeout(_) | Self::Tls(_) | Self::Http(_) => false,
        }
    }
}

/// Connects, verifies the attestor against `pin` at the time that `clock` tells, and shows a client certificate where
/// `identity` has one.
///
/// # Errors
/// [`ChannelError`] if it cannot be reached, or is not the pinned attestor.
pub async fn connect(
    url: &AttestorUrl,
    pin: &Pin,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    clock: &Clock,
) -> Result<Connection, ChannelError> {
    connect_within(url, pin, identity, clock, Period::Current).await
}

/// As [`connect`], to an attestor whose certificate is valid within `period`.
pub(crate) async fn connect_within(
    url: &AttestorUrl,
    pin: &Pin,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    clock: &Clock,
    period: Period,
) -> Result<Connection, ChannelError> {
    let config = client_config(pin, identity, clock, period)?;
    tokio::time::timeout(CONNECT_TIMEOUT, handshake(url, config))
        .await
        .map_err(|_| ChannelError::Timeout(url.clone()))?
}

async fn handshake(
    url: &AttestorUrl,
    config: rustls::ClientConfig,
) -> Result<Connection, ChannelError> {
    let unreachable = |source| ChannelError::Unreachable {
        url: url.clone(),
        source,
    };
    let tcp = TcpStream::connect(url.socket())
        .await
        .map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|error| unreachable(std::io::Error::other(error)))?;
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(unreachable)?;
    let exported = tls
        .get_ref()
        .1
        .export_keying_material([0_u8; 32], ChannelBinding::EXPORTER_LABEL, Some(&[]))
        .map_err(ChannelError::Tls)?;

    let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let server = shown
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();

    // Handed out once: a second attempt to connect finds nothing and fails.
    let stream = Mutex::new(Some(TokioIo::new(tls)));
    let connector = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        let stream = stream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| std::io::Error::other("the connection to the attestor has ended"));
        std::future::ready(stream)
    });
    let channel = Endpoint::from_static("http://attestor")
        .timeout(REQUEST_TIMEOUT)
        .connect_with_connector(connector)
        .await
        .map_err(ChannelError::Http)?;
    Ok(Connection {
        channel,
        binding: ChannelBinding::new(exported),
        server,
    })
}

/// The broker's clock, as TLS asks for it.
#[derive(Debug)]
struct BrokerTime(Clock);

impl TimeProvider for BrokerTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now()))
    }
}

fn client_config(
    pin: &Pin,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    clock: &Clock,
    period: Period,
) -> Result<rustls::ClientConfig, ChannelError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = PinnedAttestor::new(pin.clone(), period, &provider);
    let time = Arc::new(BrokerTime(clock.clone()));
    let builder = rustls::ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ChannelError::Tls)?
        // "Dangerous" for rustls because the verifier is ours: it checks more than the default one.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(resolver) => builder.with_client_cert_resolver(resolver),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the certificate; attestation always starts afresh.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
