//! Fetches a bundle from another trust domain's endpoint (SPIFFE Federation §5): one GET, bounded in time and size.
//!
//! What is fetched is only bytes. It must never follow a redirect, nor ask a server that has not shown who it is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::words::with_causes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, OtherError};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::document::MAX_BYTES;

/// How long a fetch may take, all of it.
const TIME: Duration = Duration::from_secs(20);

/// The longest URL.
const MAX_URL: usize = 2048;

/// Where a bundle is: HTTPS, with a host, and without a user's name (§5.1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BundleUrl(Url);

/// The text is not the URL of a bundle endpoint. The operator is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the url of a bundle endpoint: https://HOST/PATH, without user, password or fragment"
)]
pub struct InvalidBundleUrl(String);

/// A bundle was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It took too long.
    #[error("no whole answer within {} s", TIME.as_secs())]
    Late,
    /// There is no connection, or the server is not who it has to be: the source says which.
    #[error("no connection to {url}")]
    Unreachable {
        /// The endpoint.
        url: BundleUrl,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server does not speak HTTP.
    #[error("the server's answer is not http")]
    Http(#[from] hyper::Error),
    /// It answered something else than a bundle.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The answer is too large, or broke off.
    #[error("the answer is larger than {MAX_BYTES} bytes, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl FromStr for BundleUrl {
    type Err = InvalidBundleUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBundleUrl> {
        let refused = || InvalidBundleUrl(text.chars().take(80).collect());
        let url = Url::parse(text).map_err(|_| refused())?;
        let plain = url.scheme() == "https"
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if plain && text.len() <= MAX_URL {
            Ok(Self(url))
        } else {
            Err(refused())
        }
    }
}

impl TryFrom<String> for BundleUrl {
    type Error = InvalidBundleUrl;

    fn try_from(text: String) -> Result<Self, InvalidBundleUrl> {
        text.parse()
    }
}

impl fmt::Display for BundleUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl BundleUrl {
    /// The host's name or address, as a socket and a certificate have it.
    fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    fn path(&self) -> String {
        let query = self.0.query().map(|query| format!("?{query}"));
        format!("{}{}", self.0.path(), query.unwrap_or_default())
    }

    fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port().map(|port| format!(":{port}"));
        format!("{host}{}", port.unwrap_or_default())
    }
}

/// The bytes that a server has there which `tls` believes.
pub(super) async fn fetch(
    url: &BundleUrl,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Bytes, FetchError> {
    tokio::time::timeout(TIME, get(url, tls))
        .await
        .map_err(|_| FetchError::Late)?
}

async fn get(url: &BundleUrl, tls: Arc<rustls::ClientConfig>) -> Result<Bytes, FetchError> {
    let unreachable = |source| FetchError::Unreachable {
        url: url.clone(),
        source,
    };
    let host = url.host();
    let tcp = TcpStream::connect((host.as_str(), url.port()))
        .await
        .map_err(unreachable)?;
    let name =
        ServerName::try_from(host).map_err(|error| unreachable(std::io::Error::other(error)))?;
    let stream = TlsConnector::from(tls)
        .connect(name, tcp)
        .await
        .map_err(|error| unreachable(in_words(error)))?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await?;
    let request = Request::get(url.path())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "holdfast-attestor")
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(std::io::Error::other(error)))?;
    let answered = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await;
        Ok(body.map_err(FetchError::Body)?.to_bytes())
    };
    tokio::pin!(answered);
    tokio::select! {
        answered = &mut answered => answered,
        // The connection may end before its last answer was taken out of it.
        ended = connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(error.into()),
        },
    }
}

/// What our own verifier said, where it refused the server: TLS shows it as programmers see it.
fn in_words(error: std::io::Error) -> std::io::Error {
    let inner = error.get_ref();
    let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = inner
    {
        return std::io::Error::other(with_causes(why.as_ref()));
    }
    error
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_endpoint_is_https_and_nothing_besides() {
        let url: BundleUrl = "https://other.example:8444/bundle?x=1".parse().unwrap();
        assert_eq!((url.host().as_str(), url.port()), ("other.example", 8444));
        assert_eq!(url.path(), "/bundle?x=1");
        assert_eq!(url.authority(), "other.example:8444");
        let url: BundleUrl = "https://[::1]/".parse().unwrap();
        assert_eq!((url.host().as_str(), url.port()), ("::1", 443));
        assert_eq!(url.authority(), "[::1]");
        for bad in [
            "http://other.example/",
            "https://user@other.example/",
            "https://user:word@other.example/",
            "https://other.example/#x",
            "other.example",
            "file:///etc/passwd",
            &format!("https://other.example/{}", "x".repeat(MAX_URL)),
        ] {
            assert!(bad.parse::<BundleUrl>().is_err(), "{bad}");
        }
    }
}
