//! A git service that wants basic authentication: git's own `http-backend` behind HTTP.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::servers::acceptor;
use super::world::TOKEN;

/// A service with one repository, `org/repo.git`, which has one commit on `main`.
pub struct GitService {
    /// Its address, as a person writes it.
    pub url: String,
    root: TempDir,
    /// The passwords that it was shown.
    shown: Arc<Mutex<Vec<String>>>,
    /// Ends with the service.
    tasks: JoinSet<()>,
}

impl GitService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::at(url, listener, |stream| ready(Some(stream)))
    }

    /// As [`GitService::start`], on TLS with a certificate for `localhost`, which is returned.
    pub async fn with_tls() -> (Self, CertificateDer<'static>) {
        let (acceptor, certificate) = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let secure = move |stream| {
            let accepting = acceptor.accept(stream);
            async move { accepting.await.ok() }
        };
        (Self::at(url, listener, secure), certificate)
    }

    /// Serves what `secure` makes of each connection.
    fn at<S, F>(
        url: String,
        listener: TcpListener,
        secure: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send,
    {
        let root = tempfile::tempdir().unwrap();
        make_repository(root.path());
        let mut service = Self {
            url,
            shown: Arc::default(),
            tasks: JoinSet::new(),
            root,
        };
        let (projects, shown) = (service.root.path().to_owned(), service.shown.clone());
        service.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Some(stream) = secure(stream).await {
                    connections.spawn(serve(TokioIo::new(stream), projects.clone(), shown.clone()));
                }
            }
        });
        service
    }

    /// Where the repository of the service is.
    pub fn repository(&self) -> PathBuf {
        self.root.path().join("org/repo.git")
    }

    /// The passwords that it was shown.
    pub fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap().clone()
    }

    /// The commit that a ref names, as the service has it.
    pub fn names(&self, reference: &str) -> Option<String> {
        let out = StdCommand::new("git")
            .arg("-C")
            .arg(self.repository())
            .args(["rev-parse", "--verify", "--quiet", reference])
            .output()
            .unwrap();
        let name = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        (!name.is_empty()).then_some(name)
    }
}

fn make_repository(root: &Path) {
    let script = "
        set -e
        git init -q --bare -b main org/repo.git
        git -C org/repo.git config http.receivepack true
        git -C org/repo.git config receive.advertisePushOptions true
        git init -q -b main seed && cd seed
        git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m first
        git push -q ../org/repo.git main
    ";
    let made = StdCommand::new("sh")
        .args(["-c", script])
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: TokioIo<S>,
    projects: PathBuf,
    shown: Arc<Mutex<Vec<String>>>,
) {
    let service = service_fn(|request: Request<Incoming>| async {
        let expected = format!(
            "Basic {}",
            BASE64.encode(format!("x-access-token:{TOKEN}").as_bytes())
        );
        let given = request.headers().get(AUTHORIZATION).cloned();
        if let Some(given) = &given {
            shown
                .lock()
                .unwrap()
                .push(given.to_str().unwrap().to_owned());
        }
        if given.is_none_or(|given| given != expected) {
            let mut response = Response::new(Full::new(Bytes::from_static(b"who are you?")));
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let wanted = HeaderValue::from_static("Basic realm=\"git\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, wanted);
            return Ok(response);
        }
        backend(&projects, request).await
    });
    let _ = http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

/// Runs `git http-backend` as CGI (RFC 3875).
async fn backend(
    projects: &Path,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let field = |name: &str| {
        let value = head.headers.get(name);
        value
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", projects)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REMOTE_USER", "x-access-token")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", field("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = async move {
        let _ = stdin.write_all(&body).await;
    };
    let (out, ()) = tokio::join!(child.wait_with_output(), write);
    Ok(answer(&out.unwrap().stdout))
}

fn answer(out: &[u8]) -> Response<Full<Bytes>> {
    let end = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (head, body) = (std::str::from_utf8(&out[..end]).unwrap(), &out[end + 4..]);
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body)));
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            *response.status_mut() = value.get(..3).unwrap().parse().unwrap();
        } else {
            let name: HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    response
}
