//! What a live session holds is gone with it: its processes, its SVID's stream, its socket, its placeholders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::{ModelServer, eventually, wait_until};
use holdfast_hardware_tests::world::World;
use holdfast_issue_credentials::workload::api::{X509svidRequest, X509svidResponse};
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};

use super::{SOON, nothing_left, sockets};
use crate::support::{Handed, accomplice_by, secured};

const KEY: &str = "sk-ant-api03-not-a-real-one";
/// The variable that a session finds its placeholder in.
const SHOWN: &str = "ANTHROPIC_AUTH_TOKEN=";

/// A world whose sessions have the use of a secret.
struct Stage {
    world: World,
    model: ModelServer,
    project: PathBuf,
    /// A shell of a name whose kind has the use of that secret.
    claude: String,
}

/// A session that lives, and what it holds.
struct Held {
    run: Child,
    stream: Streaming<X509svidResponse>,
    placeholder: String,
}

impl Stage {
    fn set() -> Option<Self> {
        let world = World::sealed()?;
        let model = ModelServer::start(KEY, []);
        let (url, value) = (model.url(), world.scratch.private("value", KEY));
        let holdfast = |arguments: &[&str]| world.broker.holdfast(arguments).success();
        holdfast(&["secrets", "init", "--headless"]);
        let add = ["secrets", "add", "anthropic", "--anthropic-key"];
        let more = ["--base-url", &url, "--value-file", &value];
        holdfast(&[&add[..], &more].concat());
        let project = world.scratch.folder("project");
        let claude = world.scratch.folder("bin").join("claude");
        fs::copy("/bin/bash", &claude).unwrap();
        Some(Self {
            world,
            model,
            project,
            claude: claude.display().to_string(),
        })
    }

    async fn session(&self) -> Held {
        let script = "exec /usr/bin/python3 -S accomplice.py";
        let run = accomplice_by(&self.world, &self.project, &[&self.claude, "-c", script]);
        let (mut client, _) = Handed::take(&self.project).client().await;
        let stream = client.fetch_x509svid(secured(X509svidRequest {})).await;
        let mut stream = stream.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        let pids = self.world.launcher.as_ref().unwrap().pids();
        let mut shown = pids.into_iter().filter_map(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let environment = String::from_utf8(environment).ok()?;
            let mut variables = environment.split('\0');
            variables.find_map(|variable| Some(variable.strip_prefix(SHOWN)?.to_owned()))
        });
        let placeholder = shown.next().expect("a placeholder");
        Held {
            run,
            stream,
            placeholder,
        }
    }

    /// A session of now shows the one of before at its bridge, and then its own.
    fn is_refused(&self, placeholder: &str) {
        self.is_refused_in(&self.project, placeholder);
    }

    fn is_refused_in(&self, project: &Path, placeholder: &str) {
        let show = |token: &str| {
            let script = format!(
                "curl -s -w '%{{http_code}}' -o /dev/null -H \"authorization: Bearer {token}\" \
                 -H 'content-type: application/json' \
                 -d '{{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}' \
                 \"$ANTHROPIC_BASE_URL/v1/messages\""
            );
            self.world
                .broker
                .run(project, &[&self.claude, "-c", &script])
                .success()
        };
        let before = self.model.requests().len();
        let refused = show(placeholder);
        assert!(["401", "403", "407"].contains(&&*refused), "{refused}");
        assert_eq!(self.model.requests().len(), before);
        assert_eq!(show("$ANTHROPIC_AUTH_TOKEN"), "200");
        assert!(self.model.requests().len() > before);
    }
}

impl Held {
    /// Its stream's end.
    async fn cut(&mut self) -> Option<Status> {
        let message = tokio::time::timeout(SOON, self.stream.message()).await;
        match message.expect("the stream's end, in time") {
            Ok(Some(_)) => panic!("another SVID after its session's end"),
            Ok(None) => None,
            Err(status) => Some(status),
        }
    }
}

/// It was told that it has no identity any more, or its connection was closed first.
fn is_over(status: &Status) -> bool {
    matches!(status.code(), Code::PermissionDenied | Code::Unavailable)
}

fn pids_are_gone(pids: &[u32]) -> bool {
    pids.iter()
        .all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_holds_nothing_by_the_time_that_its_end_is_told() {
    let Some(stage) = Stage::set() else { return };
    let world = &stage.world;
    let mut held = stage.session().await;
    let id = world.sessions()[0]["session"].as_str().unwrap().to_owned();
    let pids = world.launcher.as_ref().unwrap().pids();
    assert!(!pids.is_empty() && sockets(world) == 1);
    let mut stream = held.stream;
    let mut cut = JoinSet::new();
    cut.spawn(async move { (stream.message().await, Instant::now()) });

    let began = Instant::now();
    let (told, gone, dead) = tokio::task::block_in_place(|| {
        let mut end = world.broker.holdfast_command();
        let mut end = end.args(["sessions", "end", &id]).spawn().unwrap();
        let since = |done: &dyn Fn() -> bool| {
            wait_until(SOON, "its end", done);
            began.elapsed()
        };
        let dead = since(&|| pids_are_gone(&pids));
        let gone = since(&|| sockets(world) == 0);
        assert!(end.wait().unwrap().success());
        assert_eq!(held.run.wait().unwrap().code(), Some(137));
        (began.elapsed(), gone, dead)
    });
    // Told last: nothing of it is waited for from here on.
    assert_eq!(sockets(world), 0);
    assert!(pids_are_gone(&pids));
    let done = cut.try_join_next();
    let (ended, at) = done
        .expect("its stream to have ended before its end was told")
        .unwrap();
    let ended = ended.unwrap_err();
    assert!(is_over(&ended), "{ended:?}");
    println!(
        "from the command's start, which counts: no process after {dead:?}, its stream ended after {:?}, \
         its socket gone after {gone:?}, told after {told:?}",
        at - began
    );
    stage.is_refused(&held.placeholder);
    nothing_left(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_sessions_placeholder_is_worth_nothing_in_another_project() {
    let Some(stage) = Stage::set() else { return };
    let mut held = stage.session().await;
    let other = stage.world.scratch.folder("other");
    stage.is_refused_in(&other, &held.placeholder);
    assert!(held.run.try_wait().unwrap().is_none(), "it lives");
    held.run.kill().unwrap();
    held.run.wait().unwrap();
    nothing_left(&stage.world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_leaves_nothing_of_a_session_that_lived() {
    let Some(mut stage) = Stage::set() else {
        return;
    };
    let mut held = stage.session().await;
    let launcher = stage.world.launcher.as_ref().unwrap();
    let pids = launcher.pids();
    assert!(!pids.is_empty());
    stage.world.broker.kill();
    held.cut().await;
    eventually(SOON, "no process is left", async || {
        pids_are_gone(&pids) && launcher.sessions().is_empty()
    })
    .await;
    assert!(!held.run.wait().unwrap().success());
    stage.world.broker.resume(&stage.world.scratch);
    stage.world.attested();
    assert_eq!(sockets(&stage.world), 0);
    assert_eq!(stage.world.sessions().len(), 0);
    stage.is_refused(&held.placeholder);
    let record = stage.world.broker.holdfast(&["audit", "verify"]);
    record.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_launcher_leaves_nothing_of_a_session_that_lived() {
    let Some(mut stage) = Stage::set() else {
        return;
    };
    let mut held = stage.session().await;
    let launcher = stage.world.launcher.as_mut().unwrap();
    let pids = launcher.pids();
    assert!(!pids.is_empty());
    launcher.kill();
    let ended = held.cut().await.expect("a reason");
    assert!(is_over(&ended), "{ended:?}");
    eventually(SOON, "no process is left", async || pids_are_gone(&pids)).await;
    assert_eq!(held.run.wait().unwrap().code(), Some(137));
    assert_eq!(sockets(&stage.world), 0);
    let launcher = stage.world.launcher.as_mut().unwrap();
    launcher.resume(&stage.world.scratch);
    wait_until(Duration::from_secs(20), "sessions are made again", || {
        stage.world.broker.run(&stage.project, &["true"]).code == 0
    });
    stage.is_refused(&held.placeholder);
    nothing_left(&stage.world);
}
