//! Bundles are fetched over real sockets; a server that is not who it has to be, or serves what it should not, changes
//! nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_protocol::id::TrustDomain;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Federation, Keep, Peer, Source, run};
use crate::certify::{Authority, Haste, KeyFolder};
use crate::serve::now;

const HOUR: Duration = Duration::from_secs(3600);

/// As often as a bundle may be fetched.
const HINT: Duration = Duration::from_secs(10);

fn other() -> TrustDomain {
    "other.example".parse().unwrap()
}

/// An authority with its own keys.
fn authority(folder: &Path, name: &str) -> Authority {
    let state = folder.join(name);
    std::fs::create_dir(&state).unwrap();
    Authority::open(&KeyFolder::plain(&state), &name.parse().unwrap(), now()).unwrap()
}

/// A server that shows a certificate and answers each request with the same bytes, both changed at will.
#[derive(Debug)]
struct Server {
    shown: Mutex<Arc<CertifiedKey>>,
    answer: Mutex<Vec<u8>>,
}

impl ResolvesServerCert for Server {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.lock().unwrap().clone())
    }
}

impl Server {
    async fn start(authority: &Authority) -> (Arc<Self>, u16, JoinSet<()>) {
        let shown = authority.server_identity(&[], HOUR, now()).unwrap();
        let server = Arc::new(Self {
            shown: Mutex::new(shown),
            answer: Mutex::default(),
        });
        server.serve(&authority.bundle(HINT));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(server.clone());
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = server.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = tls.accept(tcp).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = serving.answer.lock().unwrap().clone();
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        (server, port, tasks)
    }

    fn serve(&self, bundle: &Value) {
        self.say("200 OK", "", bundle.to_string().as_bytes());
    }

    fn say(&self, status: &str, header: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\n{header}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        *self.answer.lock().unwrap() = [head.as_bytes(), body].concat();
    }

    fn show(&self, authority: &Authority) {
        *self.shown.lock().unwrap() = authority.server_identity(&[], HOUR, now()).unwrap();
    }
}

/// One that federates, over a folder of its own.
struct Follower {
    folder: tempfile::TempDir,
    source: Source,
}

impl Follower {
    fn spiffe(port: u16, initial: &Value, id: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("initial.json");
        std::fs::write(&file, initial.to_string()).unwrap();
        let source = Source::Spiffe {
            url: format!("https://127.0.0.1:{port}/").parse().unwrap(),
            endpoint: id.parse().unwrap(),
            initial: file,
        };
        Self { folder, source }
    }

    /// Runs it anew, as after a start, until `done` holds of what it knows; what it knows then.
    async fn until(&self, what: &str, done: impl Fn(&Peer) -> bool) -> Arc<Peer> {
        let keep = Keep::new(self.folder.path());
        let sources = BTreeMap::from([(other(), self.source.clone())]);
        let federation = Arc::new(Federation::open(sources, keep.clone(), now()).unwrap());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(run(federation.clone(), stop.clone()));
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            // How it stands is on the disk, as the command line reads it.
            let kept = keep.load(&other(), now()).unwrap();
            if done(&kept) {
                stop.cancel();
                running.join_next().await.unwrap().unwrap();
                let given = federation.peers().get(&other()).cloned().unwrap();
                assert_eq!(
                    given.known.as_ref().map(|known| &known.document),
                    kept.known.as_ref().map(|known| &known.document),
                    "hosts get what is kept"
                );
                return Arc::new(kept);
            }
        }
        panic!("{what}: {:?}", keep.load(&other(), now()));
    }

    /// What is refused, and that nothing else changed by it.
    async fn refuses(&self, wanted: &str) {
        let keep = Keep::new(self.folder.path());
        let mut before = keep.load(&other(), now()).unwrap();
        before.error = None;
        keep.store(&other(), &before).unwrap();
        let after = self.until(wanted, |peer| peer.error.is_some()).await;
        let error = after.error.clone().unwrap();
        assert!(error.contains(wanted), "{error}");
        let document = |peer: &Peer| peer.known.as_ref().map(|known| known.document.clone());
        assert_eq!(
            document(&after),
            document(&before),
            "the last good one stays"
        );
    }
}

fn sequence(peer: &Peer) -> Option<u64> {
    peer.known.as_ref()?.document.sequence()
}

#[tokio::test]
async fn a_bundle_is_followed_through_a_change_of_its_keys_by_its_own_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = authority(folder.path(), "other.example");
    let (server, port, _serving) = Server::start(&theirs).await;
    let follower = Follower::spiffe(
        port,
        &theirs.bundle(HINT),
        "spiffe://other.example/attestor",
    );
    let first = follower
        .until("the first", |peer| {
            sequence(peer) == Some(1) && peer.due > now()
        })
        .await;
    assert_eq!(first.error, None);

    theirs
        .rotate(|keys| keys.prepare(now()).map(drop), now())
        .unwrap();
    server.serve(&theirs.bundle(HINT));
    follower
        .until("the prepared", |peer| sequence(peer) == Some(2))
        .await;
    // The endpoint is known by the bundle of before, which has the key that signs now.
    theirs
        .rotate(
            |keys| keys.activate(now(), HOUR, Haste::Now).map(drop),
            now(),
        )
        .unwrap();
    theirs
        .rotate(|keys| keys.retire(now(), Haste::Now).map(drop), now())
        .unwrap();
    server.show(&theirs);
    server.serve(&theirs.bundle(HINT));
    let last = follower
        .until("the last", |peer| sequence(peer) == Some(4))
        .await;
    let document = &last.known.as_ref().unwrap().document;
    assert_eq!(
        document.x509_authorities(),
        [theirs.x509_authorities()[0].to_vec()]
    );
    assert_eq!(document.jwt_keys(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_the_endpoint_or_serves_something_else_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = authority(folder.path(), "other.example");
    theirs
        .rotate(|keys| keys.prepare(now()).map(drop), now())
        .unwrap();
    let good = theirs.bundle(HINT);
    let (server, port, _serving) = Server::start(&theirs).await;
    let id = "spiffe://other.example/attestor";
    let follower = Follower::spiffe(port, &good, id);
    follower
        .until("the first", |peer| {
            sequence(peer) == Some(2) && peer.due > now()
        })
        .await;

    let mut older = good.clone();
    older["spiffe_sequence"] = json!(1);
    server.serve(&older);
    follower.refuses("went back from 2 to 1").await;
    older.as_object_mut().unwrap().remove("spiffe_sequence");
    server.serve(&older);
    follower.refuses("no sequence any more").await;
    server.say("200 OK", "", &vec![b' '; 300 * 1024]);
    follower.refuses("larger than 262144 bytes").await;
    server.say("200 OK", "", b"{}");
    follower.refuses("not a jwk set").await;
    server.say("302 Found", "Location: https://127.0.0.1:1/\r\n", b"");
    follower.refuses("answered 302").await;
    server.say("404 Not Found", "", good.to_string().as_bytes());
    follower.refuses("answered 404").await;

    // The right bundle by the wrong server: of another authority, or of that one by another name.
    server.serve(&good);
    let stranger = tempfile::tempdir().unwrap();
    server.show(&authority(stranger.path(), "other.example"));
    follower.refuses("no connection").await;
    server.show(&theirs);
    let elsewhere = Follower {
        source: match &follower.source {
            Source::Spiffe { url, initial, .. } => Source::Spiffe {
                url: url.clone(),
                endpoint: "spiffe://other.example/bundles".parse().unwrap(),
                initial: initial.clone(),
            },
            Source::File(_) | Source::Web { .. } => panic!("another source"),
        },
        folder: follower.folder,
    };
    elsewhere
        .refuses(
            "the server is `spiffe://other.example/attestor`, not `spiffe://other.example/bundles`",
        )
        .await;
}

#[tokio::test]
async fn a_file_by_hand_is_read_anew_and_may_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("by-hand.json");
    let write = |sequence: u64| {
        let bundle = json!({ "keys": [], "spiffe_sequence": sequence });
        std::fs::write(&file, bundle.to_string()).unwrap();
    };
    let follower = Follower {
        folder: tempfile::tempdir().unwrap(),
        source: Source::File(file.clone()),
    };
    follower.refuses("by-hand.json` cannot be read").await;
    write(5);
    follower
        .until("the first", |peer| sequence(peer) == Some(5))
        .await;
    write(3);
    let known = follower
        .until("an older one", |peer| sequence(peer) == Some(3))
        .await;
    assert_eq!(known.error, None);
    std::fs::write(&file, "{").unwrap();
    follower.refuses("not a jwk set").await;
}
