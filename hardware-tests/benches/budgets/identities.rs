//! How long a session waits for an identity that is at hand, and how many a broker gives out.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_hardware_tests::world::World;
use holdfast_issue_credentials::workload::api::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use holdfast_issue_credentials::workload::api::{JwtsvidRequest, X509svidRequest};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::own_program;
use crate::samples::{tell, told};
use crate::table::{Figure, Row};

const WARM_UP: usize = 200;
const JWTS: usize = 3000;
const X509S: usize = 1000;
/// How many wait at once when the rate is measured, over how many connections, and how long.
const CALLERS: usize = 32;
const CONNECTIONS: usize = 4;
const RATE: Duration = Duration::from_secs(3);
/// User and system time in `/proc/PID/stat` are in hundredths of a second (proc_pid_stat(5), `USER_HZ`).
const TICKS: f64 = 100.0;

type Client = SpiffeWorkloadApiClient<Channel>;

pub fn measure() -> Vec<Row> {
    let Some(world) = World::sealed() else {
        return Vec::new();
    };
    let project = world.scratch.folder("project");
    let mut session = (world.broker.holdfast_command())
        .current_dir(&project)
        .args(["run", "--", &own_program(), "inside", "identities"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let broker = world.broker.pid().unwrap();
    let mut output = String::new();
    let mut busy = Vec::new();
    // The lines tell when the rate begins and when it is over.
    for line in BufReader::new(session.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("now") || line.starts_with("rate ours") {
            busy.push(cpu(broker));
        }
        output += &line;
        output.push('\n');
    }
    assert!(session.wait().unwrap().success(), "{output}");
    let rate = |name: &str| count(&output, name) / RATE.as_secs_f64();
    let per_core = Figure::Rate(count(&output, "rate ours") / (busy[1] - busy[0]));
    let bare_per_core = Figure::Rate(count(&output, "rate bare") / count(&output, "busy bare"));

    let latency = |what: &str, ours: &str, theirs: &str| {
        let (ours, theirs) = (told(&output, ours), told(&output, theirs));
        Row {
            name: format!("{what}, warm"),
            median: ours.median(),
            p99: ours.p99(),
            reference: ("bare gRPC over a Unix socket".to_owned(), theirs.median()),
            goal: "p99 < 2 ms",
        }
    };
    vec![
        latency("FetchX509SVID", "x509 ours", "x509 bare"),
        latency("FetchJWTSVID", "jwt ours", "jwt bare"),
        Row {
            name: format!("JWT-SVIDs, {CALLERS} callers beside"),
            median: Figure::Rate(rate("rate ours")),
            p99: None,
            reference: (
                "bare gRPC, same callers".to_owned(),
                Figure::Rate(rate("rate bare")),
            ),
            goal: "-",
        },
        Row {
            name: "JWT-SVIDs per core of holdfastd".to_owned(),
            median: per_core,
            p99: None,
            reference: ("bare gRPC, per core of it".to_owned(), bare_per_core),
            goal: ">= 5,000/s",
        },
    ]
}

/// Seconds that a process has been busy.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / TICKS
}

fn count(output: &str, name: &str) -> f64 {
    let line = output.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

/// In the session: ours and the bare server in turn.
pub fn inside() {
    let server = Bare::start();
    crate::block_on(async {
        let socket = std::env::var("SPIFFE_ENDPOINT_SOCKET").unwrap();
        let bare = format!(
            "unix://{}",
            Path::new(BARE).canonicalize().unwrap().display()
        );
        for (whose, endpoint) in [("ours", &socket), ("bare", &bare)] {
            let mut client = connect(endpoint).await;
            for _ in 0..WARM_UP {
                jwt(&mut client).await;
                x509(&mut client).await;
            }
            tell(
                &format!("jwt {whose}"),
                &timed(JWTS, &mut client, jwt).await,
            );
            tell(
                &format!("x509 {whose}"),
                &timed(X509S, &mut client, x509).await,
            );
        }
        println!("now");
        println!("rate ours {}", served(&socket).await);
        let before = cpu(server.0.id());
        println!("rate bare {}", served(&bare).await);
        println!("busy bare {}", cpu(server.0.id()) - before);
    });
}

async fn timed(runs: usize, client: &mut Client, ask: impl AsyncFn(&mut Client)) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        ask(client).await;
        times.push(started.elapsed());
    }
    times
}

/// How many answers came within [`RATE`].
async fn served(endpoint: &str) -> usize {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(endpoint).await);
    }
    let end = Instant::now() + RATE;
    let mut callers = JoinSet::new();
    for mut client in clients.into_iter().cycle().take(CALLERS) {
        callers.spawn(async move {
            let mut served = 0;
            while Instant::now() < end {
                jwt(&mut client).await;
                served += 1;
            }
            served
        });
    }
    callers.join_all().await.iter().sum()
}

async fn connect(endpoint: &str) -> Client {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).unwrap();
    SpiffeWorkloadApiClient::new(endpoint.connect().await.unwrap())
}

async fn jwt(client: &mut Client) {
    let message = JwtsvidRequest {
        audience: vec!["api.example".to_owned()],
        spiffe_id: String::new(),
    };
    let answer = client.fetch_jwtsvid(secured(message)).await.unwrap();
    assert_eq!(answer.into_inner().svids.len(), 1);
}

async fn x509(client: &mut Client) {
    let answer = client.fetch_x509svid(secured(X509svidRequest {})).await;
    let first = answer.unwrap().into_inner().message().await.unwrap();
    assert_eq!(first.unwrap().svids.len(), 1);
}

fn secured<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = request.metadata_mut();
    header.insert("workload.spiffe.io", "true".parse().unwrap());
    request
}

const BARE: &str = "bare.sock";

/// The bare server, in a process of its own as the broker is.
struct Bare(Child);

impl Bare {
    fn start() -> Self {
        let server = Command::new(std::env::current_exe().unwrap())
            .args(["inside", "bare", BARE])
            .spawn()
            .unwrap();
        let started = Self(server);
        while !Path::new(BARE).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        started
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
