//! Fleets of simulated hosts (TPMs in software, real TLS) against attestors that are processes of their own.
//!
//! Two attestors on one PostgreSQL: what one has done the other knows, and either may die. One attestor on SQLite: all
//! hosts come at once.

mod listening;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use holdfast_proof::svid::Svid;
use holdfast_protocol::id::HostId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Code;

use super::client::Door;
use crate::certify::{Authority, KeyFolder};
use crate::registry::Outcome;
use crate::serve::now;
use crate::software_tpm::{SoftwareTpm, enrolled};
use crate::store::sql::{Home, SqlStore};
use crate::store::{Enrolling, Store};
use crate::test_engines::PrivatePostgres;

/// How often each host renews.
const ROUNDS: usize = 3;

/// Hosts that talk at the same moment: a fleet's renewals are spread, and this process plays all of them.
const AT_ONCE: usize = 32;

/// How long a host may go without an answer from either.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running attestor.
pub(super) struct Replica {
    process: Child,
    pub(super) door: Door,
}

impl Replica {
    /// Starts one in `state`, a folder that has keys and configuration.
    pub(super) fn start(state: &Path) -> Self {
        let process = Command::new(program())
            .args(["serve", "--config"])
            .arg(state.join("attestor.toml"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let trust_domain = "example.org".parse().unwrap();
        let authority = Authority::open(&KeyFolder::plain(state), &trust_domain, now()).unwrap();
        let root = authority.x509_authorities()[0].clone();
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            if let Ok(text) = std::fs::read_to_string(state.join("address")) {
                break text.trim().parse().unwrap();
            }
            assert!(Instant::now() < deadline, "the attestor does not start");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self {
            process,
            door: Door { address, root },
        }
    }

    /// Starts one with the keys of `keys`, on the database whose URL is in `registry`.
    fn beside(keys: &Path, state: &Path, registry: &Path) -> Self {
        let copied = Command::new("cp").arg("-a").arg(keys).arg(state).status();
        assert!(copied.unwrap().success());
        let url_file = format!("[store]\npostgres-url-file = {registry:?}\n");
        edit(
            state,
            &[
                (keys.to_str().unwrap(), state.to_str().unwrap()),
                ("[store]\n", &url_file),
            ],
        );
        Self::start(state)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The attestor's program, which cargo builds beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    folder.join("holdfast-attestor")
}

/// A folder with keys and configuration, where `registry.sqlite` is still to come.
pub(super) fn init(state: &Path) {
    let made = Command::new(program())
        .args([
            "init",
            "--trust-domain",
            "example.org",
            "--listen",
            "127.0.0.1:0",
            "--state",
        ])
        .arg(state)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    edit(
        state,
        &[("server-names = []", "server-names = [\"localhost\"]")],
    );
}

fn edit(state: &Path, replacements: &[(&str, &str)]) {
    let config = state.join("attestor.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(&config, text).unwrap();
}

/// `count` hosts that are enrolled.
async fn fleet(store: &SqlStore, count: u16) -> Vec<Arc<Simulated>> {
    let mut fleet = Vec::new();
    for number in 0..count {
        let mut bits = [0; 16];
        bits[..2].copy_from_slice(&number.to_be_bytes());
        let host = Simulated {
            id: HostId::from_random(bits),
            tpm: SoftwareTpm::new(),
        };
        let known = enrolled(&host.tpm, now());
        let enrolling = store.enroll(&known, host.id, None, now()).await;
        assert_eq!(enrolling.unwrap(), Enrolling::New(host.id));
        fleet.push(Arc::new(host));
    }
    fleet
}

/// One host of the fleet, and what it was answered.
struct Simulated {
    id: HostId,
    tpm: SoftwareTpm,
}

impl Simulated {
    /// Renews at `first`, or where that is gone at `second`; the SVID has to be this host's.
    async fn renew(&self, first: &Door, second: &Door) {
        let deadline = Instant::now() + PATIENCE;
        let doors = [first, second];
        for door in doors.into_iter().cycle() {
            match self.attempt(door).await {
                Ok(()) => return,
                Err(why) => assert!(Instant::now() < deadline, "{}: {why}", self.id),
            }
        }
    }

    /// Attests; sends the same evidence twice at once, of which one may be taken.
    async fn attempt(&self, door: &Door) -> Result<(), String> {
        let mut client = door.try_connect(None).await?;
        let (_key, evidence) = client
            .evidence(&self.tpm, self.id)
            .await
            .map_err(|status| status.to_string())?;
        let mut twin = client.attestation.clone();
        let (one, other) = tokio::join!(
            client.attestation.attest(evidence.clone()),
            twin.attest(evidence)
        );
        let (svid, refused) = match (one, other) {
            (Ok(svid), Err(refused)) | (Err(refused), Ok(svid)) => (svid.into_inner(), refused),
            (Ok(_), Ok(_)) => panic!("one nonce was accepted twice"),
            (Err(one), Err(_)) => return Err(one.to_string()),
        };
        if refused.code() == Code::PermissionDenied {
            assert!(refused.message().contains("nonce"), "{refused}");
        }
        let svid = Svid::parse(&svid.chain[0]).unwrap();
        assert_eq!(
            svid.spiffe_id.to_string(),
            format!("spiffe://example.org/host/{}", self.id)
        );
        assert!(svid.not_after > now());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_renews_while_one_of_two_attestors_is_killed() {
    let postgres = PrivatePostgres::start();
    let url = postgres.database().await;
    let home = Home::Postgres(url.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("postgres-url");
    std::fs::write(&registry, url).unwrap();
    std::fs::set_permissions(&registry, Permissions::from_mode(0o600)).unwrap();
    let keys = folder.path().join("keys");
    init(&keys);

    let mut mortal = Replica::beside(&keys, &folder.path().join("mortal"), &registry);
    let survivor = Replica::beside(&keys, &folder.path().join("survivor"), &registry);
    let store = SqlStore::open(&home).await.unwrap();
    let fleet = fleet(&store, 500).await;

    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut renewals = JoinSet::new();
    for round in 0..ROUNDS {
        for (number, host) in fleet.iter().enumerate() {
            let (host, turns) = (Arc::clone(host), Arc::clone(&turns));
            let (first, second) = match (number + round) % 2 {
                0 => (mortal.door.clone(), survivor.door.clone()),
                _ => (survivor.door.clone(), mortal.door.clone()),
            };
            renewals.spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                host.renew(&first, &second).await;
            });
        }
    }
    let started = Instant::now();
    let half = fleet.len() * ROUNDS / 2;
    let mut done = 0;
    while let Some(renewed) = renewals.join_next().await {
        renewed.unwrap();
        done += 1;
        if done == half {
            mortal.kill();
        }
    }
    println!(
        "{} hosts, {done} renewals, one of two attestors killed at {half}: {:?}",
        fleet.len(),
        started.elapsed()
    );

    // Whatever a host was given stands in the registry, and nothing was given that does not.
    for host in &fleet {
        let verdicts = store.verdicts(host.id, 100).await.unwrap();
        let accepted = verdicts
            .iter()
            .filter(|verdict| verdict.outcome == Outcome::Accepted)
            .count();
        assert!(accepted >= ROUNDS, "{}: {accepted}", host.id);
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_that_comes_at_once_is_served_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    init(&state);
    let replica = Replica::start(&state);
    let store = SqlStore::open(&Home::Sqlite(state.join("registry.sqlite")))
        .await
        .unwrap();
    let herd = fleet(&store, 2000).await;
    store.close().await;

    let started = Instant::now();
    let mut renewals = JoinSet::new();
    for host in herd {
        let door = replica.door.clone();
        // Each has one try: who is refused for load fails the test.
        renewals.spawn(async move {
            let mut client = door.try_connect(None).await?;
            let svid = client.attest(&host.tpm, host.id).await;
            svid.map_err(|status| status.to_string())?;
            Ok::<_, String>(client.on_the_wire.load(Ordering::Relaxed))
        });
    }
    let mut bytes = Vec::new();
    while let Some(renewed) = renewals.join_next().await {
        bytes.push(renewed.unwrap().unwrap());
    }
    println!(
        "2000 hosts at once: {:?}; at most {} bytes each on the wire",
        started.elapsed(),
        bytes.iter().max().unwrap()
    );
    assert_eq!(bytes.len(), 2000);
    assert!(bytes.iter().all(|bytes| *bytes <= 8 << 10), "{bytes:?}");
}
