//! Servers that a session's requests end at; each remembers what reached it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A server whose requests are answered by a function.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
    /// Ends with the server.
    tasks: JoinSet<()>,
}

impl Server {
    /// The requests so far.
    pub fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }

    pub async fn start(
        answer: impl Fn(&Request<Bytes>) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Self::at(&listener);
        let seen = server.seen.clone();
        server.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(stream, seen.clone(), answer.clone()));
            }
        });
        server
    }

    /// A server on TLS with a certificate for `localhost`, which is returned.
    pub async fn with_tls(
        answer: impl Fn(&Request<Bytes>) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> (Self, CertificateDer<'static>) {
        let (acceptor, certificate) = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Self::at(&listener);
        let seen = server.seen.clone();
        server.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    connections.spawn(serve(stream, seen.clone(), answer.clone()));
                }
            }
        });
        (server, certificate)
    }

    fn at(listener: &TcpListener) -> Self {
        Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            tasks: JoinSet::new(),
        }
    }
}

/// What makes TLS of connections, and its fresh certificate for `localhost`.
pub fn acceptor() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

async fn serve<S, A>(stream: S, seen: Arc<Mutex<Vec<Request<Bytes>>>>, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(&Request<Bytes>) -> Response<Body>,
{
    let service = service_fn(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        // What breaks off is not a request.
        let body = body.collect().await?.to_bytes();
        let request = Request::from_parts(head, body);
        seen.lock().unwrap().push(request.clone());
        Ok::<_, hyper::Error>(answer(&request))
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An answer.
pub fn text(text: &'static str) -> Response<Body> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync())
}

/// A body whose parts come as they are sent.
pub fn streamed() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, mut parts) = mpsc::unbounded_channel::<&'static str>();
    let parts = futures::stream::poll_fn(move |context| parts.poll_recv(context));
    let frames = futures::StreamExt::map(parts, |part| {
        Ok(Frame::data(Bytes::from_static(part.as_bytes())))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}
