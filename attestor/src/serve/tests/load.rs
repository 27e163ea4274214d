//! A fleet of a hundred thousand hosts on one attestor: how fast it attests, what each host costs. A benchmark:
//! `packaging/bench.sh fleet`.
//!
//! The hosts are TPMs in software; their evidence has the bytes of a real one's. Every host stands in the registry; some
//! of them attest at full speed, each time over a new TLS connection, as brokers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use holdfast_protocol::id::HostId;
use tokio::task::JoinSet;

use super::fleet::{Replica, init};
use crate::serve::now;
use crate::software_tpm::{SoftwareTpm, enrolled};
use crate::store::Store;
use crate::store::sql::{Home, SqlStore};

/// Hosts in the registry; `HOLDFAST_FLEET` names another number.
const FLEET: u32 = 100_000;

/// Hosts that attest, and how many of them at the same moment.
const BUSY: u32 = 256;
const AT_ONCE: u32 = 16;
const TIME: Duration = Duration::from_secs(15);

/// An SVID of one hour is renewed after half of it.
const RENEWED_EVERY: f64 = 1800.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark"]
async fn a_fleet_of_a_hundred_thousand_on_one_attestor() {
    let fleet = std::env::var("HOLDFAST_FLEET").map_or(FLEET, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    init(&state);
    let registry = state.join("registry.sqlite");
    let store = SqlStore::open(&Home::Sqlite(registry.clone()))
        .await
        .unwrap();
    let empty = size(&registry);
    let mut busy = Vec::new();
    for number in 0..fleet {
        let mut bits = [0; 16];
        bits[..4].copy_from_slice(&number.to_be_bytes());
        let (id, tpm) = (HostId::from_random(bits), SoftwareTpm::new());
        store
            .enroll(&enrolled(&tpm, now()), id, None, now())
            .await
            .unwrap();
        if number < BUSY {
            busy.push(Arc::new((id, tpm)));
        }
    }
    store.close().await;
    let each = (size(&registry) - empty) as f64 / f64::from(fleet);

    let replica = Replica::start(&state);
    let (idle, before) = (resident(replica.pid()), cpu(replica.pid()));
    let (attested, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let mut hosts = JoinSet::new();
    for first in 0..AT_ONCE {
        let own: Vec<_> = busy
            .iter()
            .skip(first as usize)
            .step_by(AT_ONCE as usize)
            .cloned()
            .collect();
        let (door, attested, bytes) = (
            replica.door.clone(),
            Arc::clone(&attested),
            Arc::clone(&bytes),
        );
        hosts.spawn(async move {
            for host in own.iter().cycle() {
                if started.elapsed() > TIME {
                    return;
                }
                let mut client = door.try_connect(None).await.unwrap();
                client.attest(&host.1, host.0).await.unwrap();
                attested.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(
                    client.on_the_wire.load(Ordering::Relaxed),
                    Ordering::Relaxed,
                );
            }
        });
    }
    hosts.join_all().await;
    let took = started.elapsed().as_secs_f64();
    let spent = cpu(replica.pid()) - before;
    let loaded = resident(replica.pid());

    let count = attested.load(Ordering::Relaxed) as f64;
    let (rate, per_core) = (count / took, count / spent);
    let needed = f64::from(fleet) / RENEWED_EVERY;
    println!("{fleet} hosts in the registry (SQLite): {each:.0} bytes each when enrolled");
    println!("attestor: {idle:.1} MB at rest, {loaded:.1} MB after {count} attestations");
    println!(
        "attestations: {rate:.0}/s beside {AT_ONCE} clients on the same machine; {per_core:.0}/s for each core of the attestor"
    );
    println!(
        "on the wire: {:.0} bytes each",
        bytes.load(Ordering::Relaxed) as f64 / count
    );
    println!(
        "renewals of {fleet} hosts with SVIDs of 1 h: {needed:.1}/s, {:.1} % of one core",
        100.0 * needed / per_core
    );
    assert!(count > 0.0);
}

/// What a registry takes on the disk, its log included.
fn size(registry: &std::path::Path) -> u64 {
    let log = registry.with_extension("sqlite-wal");
    [registry, &log]
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|about| about.len())
        .sum()
}

/// Megabytes of a process that are in memory (proc_pid_status(5), `VmRSS`).
pub(super) fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0 / 1e6
}

/// Seconds that a process has computed (proc_pid_stat(5), `utime` and `stime` in hundredths).
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next().unwrap().parse::<f64>().unwrap();
    (ticks() + ticks()) / 100.0
}
