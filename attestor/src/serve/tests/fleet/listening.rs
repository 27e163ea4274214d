//! Hosts that listen, to attestors that are processes of their own: each order arrives wherever its host listens, and all
//! of a fleet can listen at once.

use holdfast_protocol::orders::{HostStanding, Instance, Orders};
use holdfast_protocol::wire::attestor::{HostOrders, WatchRequest};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tonic::Streaming;

use super::super::client::{Client, Identity};
use super::super::load::resident;
use super::*;

/// What the promise is about.
const SECOND: Duration = Duration::from_secs(1);

/// How many brokers each simulated host has here: as many as may listen as one.
const BROKERS: u8 = 4;

/// More hosts than this process and the attestor have file descriptors for, if neither asks for more.
const LISTENERS: usize = 2560;

/// The most that one connection may cost the attestor.
const KILOBYTES_EACH: f64 = 64.0;

/// A broker that listens; its stream ends with its connection.
struct Listener {
    stream: Streaming<HostOrders>,
    _client: Client,
}

impl Listener {
    async fn open(door: &Door, identity: &Identity, instance: u8) -> Self {
        let mut client = door.connect(Some(identity)).await;
        let request = WatchRequest::from(Instance([instance; 16]));
        let stream = client.host.watch(request).await.unwrap().into_inner();
        let mut listener = Self {
            stream,
            _client: client,
        };
        assert_eq!(listener.hears().await.standing, HostStanding::Active);
        listener
    }

    async fn hears(&mut self) -> Orders {
        let message = tokio::time::timeout(PATIENCE, self.stream.message());
        let message = message.await.expect("a word in time").unwrap();
        Orders::try_from(message.expect("a stream goes on")).unwrap()
    }

    /// Past the heartbeats, which say what was said before.
    async fn hears_standing(&mut self, banned: bool) {
        while (self.hears().await.standing == HostStanding::Active) == banned {}
    }
}

async fn identity(door: &Door, host: &Simulated) -> Identity {
    let mut client = door.connect(None).await;
    let (key, svid) = client.attest(&host.tpm, host.id).await.unwrap();
    Identity::new(svid, &key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_given_beside_one_attestor_reaches_a_host_that_listens_to_another() {
    let postgres = PrivatePostgres::start();
    let url = postgres.database().await;
    let home = Home::Postgres(url.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("postgres-url");
    std::fs::write(&registry, url).unwrap();
    std::fs::set_permissions(&registry, Permissions::from_mode(0o600)).unwrap();
    let keys = folder.path().join("keys");
    init(&keys);
    let here = Replica::beside(&keys, &folder.path().join("here"), &registry);
    let there = Replica::beside(&keys, &folder.path().join("there"), &registry);
    let store = SqlStore::open(&home).await.unwrap();
    let host = &fleet(&store, 1).await[0];
    let identity = identity(&here.door, host).await;
    let mut near = Listener::open(&here.door, &identity, 1).await;
    let mut far = Listener::open(&there.door, &identity, 2).await;

    let mut times = Vec::new();
    for round in 0..100 {
        let banned = round % 2 == 0;
        let given = Instant::now();
        if banned {
            store.ban(host.id, "lost", now()).await.unwrap();
        } else {
            store.unban(host.id).await.unwrap();
        }
        near.hears_standing(banned).await;
        far.hears_standing(banned).await;
        times.push(given.elapsed());
    }
    times.sort_unstable();
    println!(
        "100 orders over PostgreSQL, to hosts at two attestors: median {:?}, longest {:?}",
        times[50], times[99]
    );
    assert!(times[99] < SECOND, "{times:?}");

    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_listens_at_once_and_each_host_costs_little() {
    all_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    init(&state);
    let replica = Replica::start(&state);
    let store = SqlStore::open(&Home::Sqlite(state.join("registry.sqlite")))
        .await
        .unwrap();
    let hosts = LISTENERS / usize::from(BROKERS);
    let fleet = fleet(&store, u16::try_from(hosts).unwrap()).await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut joining = JoinSet::new();
    for host in &fleet {
        let (host, turns, door) = (Arc::clone(host), Arc::clone(&turns), replica.door.clone());
        joining.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            (host.id, identity(&door, &host).await)
        });
    }
    let identities = joining.join_all().await;

    let before = resident(replica.pid());
    let mut opening = JoinSet::new();
    for (host, identity) in identities {
        let (turns, door) = (Arc::clone(&turns), replica.door.clone());
        opening.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let mut listeners = Vec::new();
            for instance in 0..BROKERS {
                listeners.push((host, Listener::open(&door, &identity, instance).await));
            }
            listeners
        });
    }
    let mut listeners: Vec<_> = opening.join_all().await.into_iter().flatten().collect();
    assert_eq!(listeners.len(), LISTENERS);
    let each = (resident(replica.pid()) - before) * 1e3 / LISTENERS as f64;

    let given = Instant::now();
    store.ban(fleet[0].id, "lost", now()).await.unwrap();
    for (_, listener) in listeners.iter_mut().filter(|(id, _)| *id == fleet[0].id) {
        listener.hears_standing(true).await;
    }
    let took = given.elapsed();
    println!(
        "{LISTENERS} connections that listen: {each:.1} kB each; one of the hosts is banned in {took:?}"
    );
    assert!(each < KILOBYTES_EACH, "{each}");
    assert!(took < SECOND, "{took:?}");
    store.close().await;
}

/// This process plays the whole fleet.
fn all_descriptors() {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}
