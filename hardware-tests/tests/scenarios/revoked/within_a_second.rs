//! How fast: from the operator's command, its own start counted, to what it means for a session.

use std::process::Command;
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::{eventually, wait_until};
use holdfast_hardware_tests::world::World;
use holdfast_issue_credentials::workload::api::X509svidRequest;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use super::beating::{Beating, is_frozen};
use super::{PATIENCE, host, order, status, tail};
use crate::support::{Handed, secured, session_with_accomplice};

/// What the promise is about; the bound on its p99.
const SECOND: Duration = Duration::from_secs(1);

/// How often each is measured; `--long` is the count that the promise names.
fn rounds() -> usize {
    match std::env::var_os("HOLDFAST_TEST_LONG") {
        Some(_) => 200,
        None => 10,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn within_a_second_of_a_revocation_the_call_is_denied_the_session_frozen_and_the_svid_gone() {
    let Some(world) = World::sealed() else { return };
    let host = &host(&world);
    let project = world.scratch.folder("project");
    let mut run = session_with_accomplice(&world, &project);
    let listed = world.broker.holdfast(&["sessions", "--json"]).success();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let session = listed[0]["session"].as_str().unwrap();
    let cgroup = &world.launcher.as_ref().unwrap().sessions()[0];
    let [mut denied, mut frozen, mut gone] = [const { Vec::new() }; 3];
    for round in 0..rounds() {
        let (mut client, _) = Handed::take(&project).client().await;
        let stream = client.fetch_x509svid(secured(X509svidRequest {})).await;
        let mut stream = stream.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        // A frozen session asks nothing more: its next call is one that waits for its human when the order comes.
        let handed = Handed::take(&project);
        let mut call = JoinSet::new();
        call.spawn(async move {
            let push = format!("git push --force origin b{round}");
            (handed.ask_as_hook(&push).await, Instant::now())
        });
        eventually(PATIENCE, "a question", async || questions(&world) == 1).await;
        // Tasks of their own, so that each sees its end when it comes.
        let mut gone_at = JoinSet::new();
        gone_at.spawn(async move { (stream.message().await, Instant::now()) });

        let ordered = Instant::now();
        tokio::task::block_in_place(|| {
            order(&world, host, "revoke", &["--why", "stolen"]);
            while !is_frozen(cgroup) {
                assert!(ordered.elapsed() < PATIENCE, "{}", world.broker.log());
                std::thread::yield_now();
            }
        });
        frozen.push(ordered.elapsed());
        let (answer, at) = call.join_next().await.unwrap().unwrap();
        denied.push(at - ordered);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("deny"), "{answer}");
        let (ended, at) = gone_at.join_next().await.unwrap().unwrap();
        gone.push(at - ordered);
        let ended = ended.unwrap_err();
        assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
        let (code, words) = status(&world);
        assert_eq!(code, 5, "{words}");
        assert!(words.contains("revoked it: stolen"), "{words}");
        assert_eq!(world.broker.run(&project, &["true"]).code, 5);

        taken_back(&world);
        eventually(PATIENCE, "the host is attested again", async || {
            status(&world).0 == 0
        })
        .await;
        world
            .broker
            .holdfast(&["sessions", "resume", session])
            .success();
    }
    within_a_second("revoke to the waiting call denied", denied);
    within_a_second("revoke to a frozen session", frozen);
    within_a_second("revoke to the end of its SVID stream", gone);
    run.kill().unwrap();
    run.wait().unwrap();
}

fn questions(world: &World) -> usize {
    let questions = world.broker.holdfast(&["approvals", "--json"]).success();
    serde_json::from_str::<Vec<Value>>(&questions)
        .unwrap()
        .len()
}

/// What no command does: a revocation is for good. Behind the attestor's back, so that one host can be revoked again and
/// again.
fn taken_back(world: &World) {
    let registry = world.scratch.join("attestor").join("registry.sqlite");
    let edited = Command::new("sqlite3")
        .args(["-bail", "-cmd", ".timeout 5000"])
        .arg(registry)
        .arg(
            "UPDATE host SET revision = revision + 1, revoked_at = NULL, revoked_why = NULL; \
             INSERT INTO host_order (host) SELECT id FROM host;",
        )
        .status();
    assert!(edited.unwrap().success());
}

#[test]
fn within_a_second_of_a_ban_every_session_stands_still_and_only_the_human_lets_it_go_on() {
    let Some(world) = World::sealed() else { return };
    let host = host(&world);
    let beating = Beating::start(&world);
    let mut times = Vec::new();
    let rounds = rounds();
    for _ in 0..rounds {
        wait_until(PATIENCE, "the host is attested", || status(&world).0 == 0);
        // From the moment that the operator presses the key: the command's own start counts.
        let ordered = Instant::now();
        order(&world, &host, "ban", &["--why", "lost on a train"]);
        while !beating.is_frozen(&world) {
            assert!(ordered.elapsed() < PATIENCE, "{}", world.broker.log());
            std::hint::spin_loop();
        }
        times.push(ordered.elapsed());
        let (code, words) = status(&world);
        assert_eq!(code, 5, "{words}");
        assert!(
            words.contains("the attestor has banned it: lost on a train"),
            "{words}"
        );
        let resumed = world
            .broker
            .holdfast(&["sessions", "resume", &beating.session]);
        assert_eq!(resumed.code, 5, "{resumed:#?}");

        order(&world, &host, "unban", &[]);
        wait_until(PATIENCE, "the host is attested again", || {
            status(&world).0 == 0
        });
        assert!(beating.is_frozen(&world), "nobody let it go on");
        let resume = ["sessions", "resume", &beating.session];
        world.broker.holdfast(&resume).success();
        beating.beats();
    }
    within_a_second("ban to a frozen session", times);
    let record = tail(&world);
    for line in [
        "this host may do nothing: the attestor has banned it",
        "was frozen with its host",
        "this host may act again",
        &format!("resumes session {}", beating.session),
    ] {
        assert!(record.contains(line), "{line} is missing:\n{record}");
    }
    world.broker.holdfast(&["audit", "verify"]).success();
    beating.end();
}

/// Prints and judges what was measured.
fn within_a_second(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    let (p50, p99, longest) = (at(50), at(99), at(100));
    println!(
        "{} times {what}: p50 {p50:?}, p99 {p99:?}, longest {longest:?}",
        times.len()
    );
    assert!(p99 < SECOND, "{what}: {times:?}");
}
