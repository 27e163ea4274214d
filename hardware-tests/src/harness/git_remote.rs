//! A git service on 127.0.0.1: git's own `http-backend` behind basic authentication.
//!
//! It must never show a repository to who does not know the token.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use data_encoding::BASE64;
use hyper::Request;
use hyper::body::Bytes;

use super::Scratch;
use super::http::{Answer, Server, answer};

/// The repository's place on the server.
const REPOSITORY: &str = "repo.git";

/// What the service asks a credential for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// Everything, as a private repository.
    Everything,
    /// Pushes alone, as a public one.
    Pushes,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRequest {
    /// Method and path, with the query.
    pub line: String,
    /// What was shown as `user:password`.
    pub credential: Option<String>,
    /// `content-encoding` and `transfer-encoding`, where there are any.
    pub encodings: Vec<String>,
    /// What was answered.
    pub status: u16,
}

/// A running service with one repository.
#[derive(Debug)]
pub struct GitRemote {
    server: Server,
    repository: PathBuf,
    seen: Arc<Mutex<Vec<GitRequest>>>,
}

impl GitRemote {
    /// Starts one with an empty repository, for who knows `user` and `token`.
    ///
    /// # Panics
    /// When git is not installed.
    pub fn start(scratch: &Scratch, user: &str, token: &str, guarded: Guarded) -> Self {
        let root = scratch.folder("git-remote");
        let repository = root.join(REPOSITORY);
        let folder = repository.display().to_string();
        git(&root, &["init", "--quiet", "--bare", "-b", "main", &folder]);
        // Who may push is the service's to say; without this git refuses all who have no name.
        git(&repository, &["config", "http.receivepack", "true"]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (credential, record) = (format!("{user}:{token}"), Arc::clone(&seen));
        let server = Server::start(move |request| {
            let shown = credential_of(&request);
            let wanted = guarded == Guarded::Everything || is_push(&request);
            let answered = if wanted && shown.as_deref() != Some(&*credential) {
                let challenge = [("www-authenticate", "Basic realm=\"git\"")];
                answer(401, &challenge, ["who are you?\n"])
            } else {
                backend(&root, &request)
            };
            record.lock().expect("the record").push(GitRequest {
                line: format!("{} {}", request.method(), request.uri()),
                credential: shown,
                encodings: ["content-encoding", "transfer-encoding"]
                    .iter()
                    .filter_map(|name| header(&request, name))
                    .collect(),
                status: answered.status().as_u16(),
            });
            answered
        });
        Self {
            server,
            repository,
            seen,
        }
    }

    /// The repository's address.
    pub fn url(&self) -> String {
        format!("http://{}/{REPOSITORY}", self.server.address())
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<GitRequest> {
        self.seen.lock().expect("the record").clone()
    }

    /// What the repository's refs point at.
    pub fn refs(&self) -> BTreeMap<String, String> {
        let listed = git(
            &self.repository,
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        );
        let lines = listed.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }
}

/// Runs git in `folder`, untouched by the configuration of who runs the test; what it printed.
///
/// # Panics
/// When git fails.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = plain_git(folder)
        .args(arguments)
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Git in `folder`, without the configuration, the identity and the helpers of who runs the test.
pub fn plain_git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).stdin(Stdio::null());
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    let proxies = ["http_proxy", "https_proxy", "all_proxy"];
    for name in proxies {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "kelp")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "kelp@rock.test")));
    command
}

fn header(request: &Request<Bytes>, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// RFC 7617: `user:password`.
fn credential_of(request: &Request<Bytes>) -> Option<String> {
    let value = header(request, "authorization")?;
    let decoded = BASE64.decode(value.strip_prefix("Basic ")?.as_bytes());
    String::from_utf8(decoded.ok()?).ok()
}

fn is_push(request: &Request<Bytes>) -> bool {
    let service = request.uri().query().unwrap_or_default();
    service == "service=git-receive-pack" || request.uri().path().ends_with("/git-receive-pack")
}

/// One run of git-http-backend(1), as a web server does it (RFC 3875).
fn backend(root: &Path, request: &Request<Bytes>) -> Answer {
    let mut command = plain_git(root);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_LENGTH", request.body().len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "HTTP_GIT_PROTOCOL"),
    ] {
        if let Some(value) = header(request, name) {
            command.env(variable, value);
        }
    }
    let mut backend = command.spawn().expect("git is installed");
    let (mut stdin, body) = (backend.stdin.take().expect("piped"), request.body().clone());
    // Beside the reading: it may answer before it has read all.
    let writer = thread::spawn(move || stdin.write_all(&body).ok());
    let output = backend.wait_with_output().expect("git http-backend ends");
    writer.join().ok();
    parse(&output.stdout).unwrap_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        answer(500, &[], [words])
    })
}

/// The answer that a CGI program wrote: header lines, an empty line, the body.
fn parse(output: &[u8]) -> Option<Answer> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&output[..end]).ok()?;
    let headers: Vec<(&str, &str)> = head
        .lines()
        .map(|line| line.split_once(": "))
        .collect::<Option<_>>()?;
    let status = headers.iter().find(|(name, _)| *name == "Status");
    let status = status.map_or(Some(200), |(_, status)| status.get(..3)?.parse().ok())?;
    Some(answer(status, &headers, [output[end + 4..].to_vec()]))
}
