//! An attestor on loopback, in the test's own process.
#![allow(clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::hash::sha256;
use holdfast_protocol::id::HostId;
use holdfast_protocol::management::RunBy;
use holdfast_protocol::token::{JoinToken, TokenSecret};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Door, Identity};
use crate::certify::{Authority, KeyFolder};
use crate::config::Explain;
use crate::enroll_host::{EnrollmentPolicy, Simulated, UnknownHosts};
use crate::federation::Federation;
use crate::group::{HostPolicy, Policies};
use crate::mirror_audit::Cosigner;
use crate::registry::{TokenHash, TokenRecord};
use crate::serve::{ServeError, Server, Settings, now};
use crate::software_tpm::{SoftwareTpm, policy};
use crate::store::Store;
use crate::store::sql::{Home, SqlStore};

/// A running attestor.
pub(super) struct Fixture {
    pub(super) door: Door,
    pub(super) store: SqlStore,
    stop: CancellationToken,
    running: JoinSet<Result<(), ServeError>>,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn start(explain: Explain) -> Self {
        Self::start_with(explain, UnknownHosts::Refuse).await
    }

    /// As that, with another answer to hosts that nothing vouches for.
    pub(super) async fn start_with(explain: Explain, unknown: UnknownHosts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust_domain = "example.org".parse().unwrap();
        let authority =
            Authority::open(&KeyFolder::plain(folder.path()), &trust_domain, now()).unwrap();
        let root = authority.x509_authorities()[0].clone();
        let store = SqlStore::open(&home(&folder)).await.unwrap();
        let settings = Settings {
            federation: Arc::new(Federation::none()),
            enrollment: EnrollmentPolicy {
                simulated: Simulated::Refuse,
                roots: Vec::new(),
                intermediates: Vec::new(),
                revocation: holdfast_proof::ek_certificate::Revocation::Off,
                allowed: Default::default(),
                unknown,
            },
            policies: Policies {
                rest: HostPolicy {
                    evidence: policy(),
                    x509_ttl: Duration::from_secs(3600),
                },
                groups: BTreeMap::new(),
            },
            jwt_ttl: Duration::from_secs(300),
            server_names: vec!["localhost".parse().unwrap()],
            explain,
            run_by: RunBy::Team,
            mirror: crate::config::MirrorConfig::default().limits(),
            connections: 64,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cosigner = Cosigner::open(&KeyFolder::plain(folder.path()), &trust_domain).unwrap();
        let server = Server::new(listener, authority, cosigner, store.clone(), settings).unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(server.run(stop.clone()));
        Self {
            door: Door { address, root },
            store,
            stop,
            running,
            folder,
        }
    }

    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap().unwrap();
        }
    }

    /// Where its registry is.
    pub(super) fn home(&self) -> Home {
        home(&self.folder)
    }

    /// A token, as an operator would make one.
    pub(super) async fn token(&self, host_name: Option<&str>) -> String {
        let token = JoinToken {
            trust_domain: "example.org".parse().unwrap(),
            authority: sha256(&self.door.root),
            secret: TokenSecret::from_random(crate::random::bytes().unwrap()),
        };
        let record = TokenRecord {
            hash: TokenHash(sha256(token.secret.expose())),
            host_name: host_name.map(|name| name.parse().unwrap()),
            ek: None,
            created_at: now(),
            expires_at: now() + Duration::from_secs(60),
        };
        self.store.add_token(&record).await.unwrap();
        token.reveal().to_string()
    }

    /// A host that has joined and attested.
    pub(super) async fn node(&self) -> (HostId, Identity) {
        let tpm = SoftwareTpm::new();
        let token = self.token(None).await;
        let mut client = self.connect(None).await;
        let host = client.join(&tpm, &token).await.unwrap();
        let (key, svid) = client.attest(&tpm, host).await.unwrap();
        (host, Identity::new(svid, &key))
    }

    pub(super) async fn connect(&self, identity: Option<&Identity>) -> Client {
        self.door.connect(identity).await
    }
}

fn home(folder: &tempfile::TempDir) -> Home {
    Home::Sqlite(folder.path().join("registry.sqlite"))
}
