//! The trust domain's bundle for other trust domains, over HTTPS (SPIFFE Federation §5): one document, to anybody.
//!
//! It has a listener of its own, because it asks nobody for a certificate and hosts have no business here. It must never
//! serve anything but public keys.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use holdfast_protocol::words::with_causes;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{ServeError, listener};
use crate::certify::files::{self, Access};
use crate::certify::{Authority, CertifyError};

/// How many may be served at once: each fetches a few kilobytes every some minutes.
const CONNECTIONS: usize = 64;

/// How long one connection may take from its beginning to its end.
const TIME: Duration = Duration::from_secs(10);

/// How often a certificate of the Web's is looked at, which others renew.
const LOOK: Duration = Duration::from_secs(30);

/// An endpoint that is bound.
#[derive(Debug)]
pub struct BundleEndpoint {
    listener: TcpListener,
    certificate: EndpointCertificate,
    refresh_hint: Duration,
}

/// Whose certificate it shows.
#[derive(Clone, Debug)]
pub enum EndpointCertificate {
    /// The attestor's own SVID (`https_spiffe`, §5.2.2).
    Own,
    /// One that browsers trust (`https_web`, §5.2.1).
    Web(Arc<WebCertificate>),
}

/// A certificate of the Web's, read anew when its file changes.
#[derive(Debug)]
pub struct WebCertificate {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl BundleEndpoint {
    /// Serves at a listener, and asks those who fetch to come back as often.
    pub fn new(
        listener: TcpListener,
        certificate: EndpointCertificate,
        refresh_hint: Duration,
    ) -> Self {
        Self {
            listener,
            certificate,
            refresh_hint,
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`ServeError::Address`] if that cannot be read.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Address)
    }

    /// Serves the authority's bundle until `stop`. `own` has the attestor's SVID.
    pub(super) async fn run(
        self,
        authority: Arc<Authority>,
        own: Arc<dyn ResolvesServerCert>,
        stop: CancellationToken,
    ) -> Result<(), ServeError> {
        let resolver = match &self.certificate {
            EndpointCertificate::Own => own,
            EndpointCertificate::Web(web) => Arc::clone(web) as Arc<dyn ResolvesServerCert>,
        };
        let tls = TlsAcceptor::from(Arc::new(config(resolver)?));
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        if let EndpointCertificate::Web(web) = self.certificate {
            connections.spawn(keep_fresh(web, stop.clone()));
        }
        loop {
            let (tcp, _, place) = tokio::select! {
                () = stop.cancelled() => break,
                // Those that ended are collected, so that they do not pile up.
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener::next(&self.listener, &places) => match accepted {
                    Some(accepted) => accepted,
                    None => continue,
                },
            };
            let (tls, authority) = (tls.clone(), Arc::clone(&authority));
            let hint = self.refresh_hint;
            connections.spawn(async move {
                let _place = place;
                // Whoever is slow or breaks off is nobody's concern.
                let _ = tokio::time::timeout(TIME, serve(tcp, tls, authority, hint)).await;
            });
        }
        connections.shutdown().await;
        Ok(())
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, authority: Arc<Authority>, hint: Duration) {
    let Ok(stream) = tls.accept(tcp).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &authority, hint);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(error = with_causes(&error), "the bundle was not fetched");
    }
}

fn answer(
    method: &Method,
    path: &str,
    authority: &Authority,
    hint: Duration,
) -> Response<Full<Bytes>> {
    if path != "/" {
        return plain(StatusCode::NOT_FOUND, "the bundle is at /\n");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "the bundle is to be read\n");
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    let bundle = authority.bundle(hint).to_string();
    typed(StatusCode::OK, "application/json", bundle.into())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain", Bytes::from_static(text.as_bytes()))
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn config(resolver: Arc<dyn ResolvesServerCert>) -> Result<rustls::ServerConfig, ServeError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        // 1.2 as well: who fetches is anybody's program.
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

impl WebCertificate {
    /// Reads a chain and its key, both PEM; the key has to be its owner's alone.
    ///
    /// # Errors
    /// [`CertifyError`] if a file cannot be read, or is something else.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, CertifyError> {
        let current = RwLock::new(Arc::new(read(&certificate, &key)?));
        Ok(Self {
            certificate,
            key,
            current,
        })
    }

    fn changed(&self) -> Option<SystemTime> {
        let files = [&self.certificate, &self.key];
        let changed = files.map(|path| std::fs::metadata(path).and_then(|about| about.modified()));
        changed.into_iter().filter_map(Result::ok).max()
    }
}

impl ResolvesServerCert for WebCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// Reads a certificate anew when its files change, until `stop`.
async fn keep_fresh(web: Arc<WebCertificate>, stop: CancellationToken) {
    let mut known = web.changed();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let changed = web.changed();
        if changed == known {
            continue;
        }
        match read(&web.certificate, &web.key) {
            Ok(fresh) => {
                // The lock only ever guards this assignment, so a poisoned one holds a whole value.
                *web.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                known = changed;
                tracing::info!("the bundle endpoint's certificate was read anew");
            }
            // Perhaps one of the two files is still being written; the old ones serve meanwhile.
            Err(error) => tracing::warn!(
                error = with_causes(&error),
                "the bundle endpoint's certificate was not read anew"
            ),
        }
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertifyError> {
    let unusable = |path: &Path, problem| CertifyError::Unusable {
        path: path.to_owned(),
        problem,
    };
    let there = |path: &Path, access| {
        files::load(path, access)?.ok_or_else(|| unusable(path, "is not there"))
    };
    let chain = there(certificate, Access::Everybody)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| unusable(certificate, "is not a certificate chain in PEM"))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "has no certificate"));
    }
    let private = there(key, Access::Owner)?;
    let private = PrivateKeyDer::from_pem_slice(private.as_bytes())
        .map_err(|_| unusable(key, "is not a key in PEM"))?;
    let signer =
        any_supported_type(&private).map_err(|_| unusable(key, "is not a key that TLS can use"))?;
    let certified = CertifiedKey::new(chain, signer);
    certified
        .keys_match()
        .map_err(|_| unusable(key, "is not the key of the certificate beside it"))?;
    Ok(certified)
}
