//! Two attestors, real processes, on one PostgreSQL: what one has done the other knows, and either may die.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_proof::svid::Svid;
use holdfast_protocol::id::HostId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Code;

use super::client::Door;
use crate::certify::Authority;
use crate::registry::Outcome;
use crate::serve::now;
use crate::software_tpm::{SoftwareTpm, enrolled};
use crate::store::sql::{Home, SqlStore};
use crate::store::{Enrolling, Store};
use crate::test_engines::PrivatePostgres;

/// How often each host renews.
const ROUNDS: usize = 4;

/// Hosts that talk at the same moment: a fleet's renewals are spread, and this process plays all of them.
const AT_ONCE: usize = 32;

/// How long a host may go without an answer from either.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running attestor.
struct Replica {
    process: Child,
    door: Door,
}

impl Replica {
    /// Starts one with the keys of `keys`, on `registry`.
    fn start(folder: &Path, keys: &Path, registry: &Path) -> Self {
        let state = folder.to_owned();
        copy(keys, &state);
        let config = state.join("attestor.toml");
        let text = std::fs::read_to_string(keys.join("attestor.toml")).unwrap();
        let url_file = format!(
            "[store]\npostgres-url-file = {:?}\n",
            registry.to_str().unwrap()
        );
        let text = text
            .replace(keys.to_str().unwrap(), state.to_str().unwrap())
            .replace("server-names = []", "server-names = [\"localhost\"]")
            .replace("[store]\n", &url_file);
        std::fs::write(&config, text).unwrap();
        let process = Command::new(program())
            .args(["serve", "--config"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let trust_domain = "example.org".parse().unwrap();
        let authority = Authority::open(&state, &trust_domain, now()).unwrap();
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

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
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
    let long = std::env::var_os("HOLDFAST_TEST_LONG").is_some();
    let hosts = if long { 500_u16 } else { 60 };
    let postgres = PrivatePostgres::start();
    let url = postgres.database().await;
    let home = Home::Postgres(url.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("postgres-url");
    std::fs::write(&registry, url).unwrap();
    std::fs::set_permissions(&registry, Permissions::from_mode(0o600)).unwrap();
    let keys = folder.path().join("keys");
    let made = Command::new(program())
        .args([
            "init",
            "--trust-domain",
            "example.org",
            "--listen",
            "127.0.0.1:0",
            "--state",
        ])
        .arg(&keys)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let mut mortal = Replica::start(&folder.path().join("mortal"), &keys, &registry);
    let survivor = Replica::start(&folder.path().join("survivor"), &keys, &registry);
    let store = SqlStore::open(&home).await.unwrap();
    let mut fleet = Vec::new();
    for number in 0..hosts {
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
        "{hosts} hosts, {done} renewals, one of two attestors killed at {half}: {:?}",
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
