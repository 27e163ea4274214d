//! A bridge with a session's grants behind it, and who decides and reveals.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_issue_credentials::bridge::{Bridge, BridgeError, Door, Names, Upstream};
use holdfast_issue_credentials::decide::{Asked, Decide, Decision};
use holdfast_issue_credentials::grant::{Granted, NotRevealed, Placeholder, Reveal};
use holdfast_protocol::call::Effect;
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::vault::{AnthropicCredential, SecretName, SecretUse};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::async_trait;
use zeroize::Zeroizing;

use crate::support::clock;

/// The model's key.
pub const KEY: &str = "sk-ant-the-real-key";
/// The git token.
pub const TOKEN: &str = "ghp_the-real-token";

/// How calls are answered.
pub enum Rule {
    Allow,
    Deny(&'static str),
    /// Allowed, but only once somebody says so.
    Hold(Arc<Notify>),
}

/// Decides by a function, and remembers.
pub struct Decider {
    rule: Box<dyn Fn(&Asked) -> Rule + Send + Sync>,
    calls: AtomicU8,
    asked: Mutex<Vec<Asked>>,
    ended: Mutex<Vec<(String, Vec<Effect>)>>,
    refused: Mutex<Vec<(Asked, String)>>,
}

#[async_trait]
impl Decide for Decider {
    async fn decide(&self, asked: Asked) -> Decision {
        let rule = (self.rule)(&asked);
        self.asked.lock().unwrap().push(asked);
        match rule {
            Rule::Deny(why) => {
                return Decision::Deny {
                    why: why.to_owned(),
                };
            }
            Rule::Hold(until) => until.notified().await,
            Rule::Allow => {}
        }
        let call = CallId::from_random([self.calls.fetch_add(1, Ordering::Relaxed); 16]);
        Decision::Allow { call }
    }

    async fn refused(&self, asked: Asked, why: String) {
        self.refused.lock().unwrap().push((asked, why));
    }

    async fn ended(&self, _call: CallId, outcome: String, seen: Vec<Effect>) {
        self.ended.lock().unwrap().push((outcome, seen));
    }
}

struct Secrets(HashMap<SecretName, &'static str>);

#[async_trait]
impl Reveal for Secrets {
    async fn reveal(
        &self,
        session: SessionId,
        name: &SecretName,
    ) -> Result<Zeroizing<String>, NotRevealed> {
        assert_eq!(session, SessionId::from_random([7; 16]));
        match self.0.get(name) {
            Some(value) => Ok(Zeroizing::new((*value).to_owned())),
            None => Err(NotRevealed::NotGranted(name.clone())),
        }
    }
}

/// A session's bridge that runs.
pub struct World {
    pub port: NonZeroU16,
    pub granted: Vec<Granted>,
    pub decider: Arc<Decider>,
    stop: CancellationToken,
    task: JoinSet<Result<(), BridgeError>>,
}

/// The grant of a secret, with a placeholder of its own.
pub fn granted(name: &str, purpose: SecretUse) -> Granted {
    let mut bits = [0; 20];
    for (bit, byte) in bits.iter_mut().zip(name.bytes()) {
        *bit = byte;
    }
    Granted {
        name: name.parse().unwrap(),
        purpose,
        placeholder: Placeholder::from_random(bits),
    }
}

/// The grant of a model key that is good at `base`.
pub fn model(base: &str, credential: AnthropicCredential) -> Granted {
    let base = base.parse().unwrap();
    granted("model", SecretUse::Anthropic { base, credential })
}

/// The grant of a git token that is good at `remote`.
pub fn git(name: &str, remote: &str) -> Granted {
    let (remote, username) = (remote.parse().unwrap(), "x-access-token".parse().unwrap());
    granted(name, SecretUse::Git { remote, username })
}

/// A client that trusts nobody.
pub fn plain() -> Upstream {
    Upstream::trusting(RootCertStore::empty(), &clock()).unwrap()
}

impl World {
    /// A bridge where everything is allowed.
    pub async fn allowing(granted: Vec<Granted>) -> Self {
        Self::start(granted, plain(), |_| Rule::Allow).await
    }

    pub async fn start(
        granted: Vec<Granted>,
        upstream: Upstream,
        rule: impl Fn(&Asked) -> Rule + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(granted, upstream, vec![], None, rule).await
    }

    /// As [`World::start`], with more ways out than the proxy.
    pub async fn start_with(
        granted: Vec<Granted>,
        upstream: Upstream,
        doors: Vec<Door>,
        names: Option<Names>,
        rule: impl Fn(&Asked) -> Rule + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap();
        let decider = Arc::new(Decider {
            rule: Box::new(rule),
            calls: AtomicU8::new(0),
            asked: Mutex::default(),
            ended: Mutex::default(),
            refused: Mutex::default(),
        });
        let secrets = granted.iter().map(|granted| match granted.purpose {
            SecretUse::Anthropic { .. } => (granted.name.clone(), KEY),
            SecretUse::Git { .. } => (granted.name.clone(), TOKEN),
        });
        let bridge = Bridge {
            session: SessionId::from_random([7; 16]),
            reveal: Arc::new(Secrets(secrets.collect())),
            granted: granted.clone(),
            decide: decider.clone(),
            upstream,
            doors,
            names,
        };
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(bridge.serve(listener, stop.clone()));
        Self {
            port,
            granted,
            decider,
            stop,
            task,
        }
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.decider.asked.lock().unwrap().clone()
    }

    /// Everything that was refused without being asked about, and why.
    pub fn refused(&self) -> Vec<(Asked, String)> {
        self.decider.refused.lock().unwrap().clone()
    }

    /// The tools that were asked about so far.
    pub fn tools(&self) -> Vec<&'static str> {
        self.asked().iter().map(|asked| asked.tool).collect()
    }

    /// Ends the bridge, and says how its calls ended.
    pub async fn end(mut self) -> Vec<(String, Vec<Effect>)> {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
        self.decider.ended.lock().unwrap().clone()
    }

    /// A connection to the bridge.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port.get()))
            .await
            .unwrap()
    }

    /// What comes back for these bytes until the bridge closes.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        rest(&mut stream).await
    }

    /// What comes back for a request without a body; `fields` are lines.
    pub async fn get(&self, target: &str, fields: &[&str]) -> String {
        self.raw(head("GET", target, fields)).await
    }
}

/// The head of the last request of a connection.
pub fn head(method: &str, target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\n{fields}\r\n")
}

/// What comes until the other end closes.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is a close, too.
    let _ = timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes))
        .await
        .expect("the other end closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asserts that the bridge refused in its own name, with this status and reason.
pub fn assert_refused(answer: &str, status: u16, reason: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("holdfast-reason: {reason}\r\n")),
        "{answer}"
    );
    assert!(answer.contains("content-type: text/plain"), "{answer}");
}

/// An address as a URL.
pub fn http(address: SocketAddr) -> String {
    format!("http://{address}")
}
