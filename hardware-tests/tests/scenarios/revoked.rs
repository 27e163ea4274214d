//! Promise 2: what an attestor takes back is gone within a second: the host's sessions stand still, their identities end,
//! and what was leased to them is dead in the TPM.

mod beating;
mod leased;
mod within_a_second;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::{Scratch, Swtpm, eventually, wait_until};
use holdfast_hardware_tests::world::{Attestor, World};
use holdfast_issue_credentials::workload::api::X509svidRequest;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Handed, Node, secured, session_with_accomplice};
use beating::{Beating, is_frozen};
use leased::Leased;

const PATIENCE: Duration = Duration::from_secs(20);

/// TPM_RC_POLICY: a comparison with the clock, the reset counters or the epoch failed.
const POLICY: u32 = 0x126;

#[tokio::test]
async fn a_revoked_hosts_agent_is_denied_its_identity_ends_and_its_leases_are_dead_in_the_tpm() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let host = host(&world);
    let leased = Leased::make(&mut world).await;
    let project = world.scratch.folder("project");
    let mut session = session_with_accomplice(&world, &project);
    let (mut client, _) = Handed::take(&project).client().await;
    let stream = client.fetch_x509svid(secured(X509svidRequest {})).await;
    let mut stream = stream.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    // A call that waits for its human when the order comes.
    let mut call = JoinSet::new();
    call.spawn(Handed::take(&project).ask_as_hook("git push --force origin main"));
    eventually(PATIENCE, "a question", async || {
        let questions = world.broker.holdfast(&["approvals", "--json"]).success();
        serde_json::from_str::<Vec<Value>>(&questions)
            .unwrap()
            .len()
            == 1
    })
    .await;

    let ordered = Instant::now();
    order(&world, &host, "revoke", &["--why", "stolen"]);
    let ended = stream.message().await.unwrap_err();
    println!(
        "revoked; the SVID stream ended after {:?}",
        ordered.elapsed()
    );
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
    let answer = call.join_next().await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("deny"), "{answer}");
    eventually(PATIENCE, "the session stands still", async || {
        is_frozen(&world.launcher.as_ref().unwrap().sessions()[0])
    })
    .await;
    eventually(PATIENCE, "the epoch to end", async || {
        tail(&world).contains("are dead in the TPM")
    })
    .await;
    let (code, words) = status(&world);
    assert_eq!(code, 5, "{words}");
    assert!(words.contains("revoked it: stolen"), "{words}");
    let ran = world.broker.run(&project, &["true"]);
    assert_eq!(ran.code, 5, "{ran:#?}");
    // There is no way back.
    order(&world, &host, "unban", &[]);
    assert_eq!(world.broker.holdfast(&["status", "--renew"]).code, 5);
    world.broker.stop();
    session.wait().unwrap();

    leased.refused(&world, POLICY).await;
}

#[test]
fn an_order_that_was_given_while_the_attestor_was_away_is_not_lost() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let host = host(&world);
    let beating = Beating::start(&world);
    world.attestor.kill();
    order(&world, &host, "ban", &[]);
    beating.beats();
    world.attestor.resume(&world.scratch);
    wait_until(PATIENCE, "the session stands still", || {
        beating.is_frozen(&world)
    });
    beating.end();
}

#[test]
fn a_host_attests_when_its_operator_asks() {
    let world = World::enrolled();
    let host = host(&world);
    let seen = || {
        shown(&world, &host)["last"]["clock"]["clock_ms"]
            .as_u64()
            .unwrap()
    };
    let before = seen();
    order(&world, &host, "reattest", &[]);
    wait_until(PATIENCE, "another attestation", || seen() > before);
    // Once for each time that it is asked.
    let verdicts = || shown(&world, &host)["verdicts"].as_array().unwrap().len();
    let after = verdicts();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(verdicts(), after);
}

#[test]
fn a_copied_tpm_is_told_from_a_rebooted_one() {
    let mut world = World::enrolled();
    let host = host(&world);
    world.broker.stop();
    let copy = world.tpm.copied();
    let stolen = world.scratch.join("stolen");
    copy_folder(world.broker.state(), &stolen);
    for _ in 0..2 {
        world.tpm.restart();
        world.broker.resume(&world.scratch);
        wait_until(PATIENCE, "the host is attested", || status(&world).0 == 0);
        world.broker.stop();
    }
    let told = world.attestor.run(&["host", "show", &host]);
    assert!(told.contains("attestation accepted: rebooted:"), "{told}");

    // Disk and TPM as they were copied: the copy was started once since, the chip twice.
    fs::remove_dir_all(world.broker.state()).unwrap();
    copy_folder(&stolen, world.broker.state());
    let config = fs::read_to_string(world.broker.config()).unwrap();
    let there = copy.ports().command().to_string();
    let here = world.proxy.ports().command().to_string();
    fs::write(world.broker.config(), config.replace(&here, &there)).unwrap();
    world.broker.resume(&world.scratch);
    wait_until(PATIENCE, "the copy is found out", || {
        let told = world.attestor.run(&["host", "show", &host]);
        told.contains("attestation refused: clock: cloned or rolled back")
    });
    assert_eq!(status(&world).0, 5);
    world.broker.stop();
}

#[tokio::test]
async fn a_host_attests_when_one_of_its_pcrs_has_changed() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let tpm = Swtpm::bare();
    let node = Node::attested(&scratch, &tpm, &attestor).await;
    node.measure(11).await;
    let noted = || {
        let listed: Value =
            serde_json::from_str(&attestor.run(&["host", "list", "--json"])).unwrap();
        let id = listed[0]["id"].as_str().unwrap();
        attestor
            .run(&["host", "show", id, "--json"])
            .contains("pcr 11 is")
    };
    eventually(PATIENCE, "the attestor to hear of it", async || noted()).await;
    node.close().await;
}

/// Long: an SVID lives a minute at least.
#[test]
fn a_host_that_is_cut_off_goes_on_until_its_certificate_ends_and_again_with_a_new_one() {
    let minute = "[svid]\nx509-ttl = \"1m\"\n";
    let Some(mut world) = World::sealed_under(|scratch| Attestor::start_with(scratch, minute))
    else {
        return;
    };
    let before = Instant::now();
    world.enroll().success();
    let beating = Beating::start(&world);
    world.attestor.kill();
    wait_until(Duration::from_secs(90), "the session stands still", || {
        beating.is_frozen(&world)
    });
    let lived = before.elapsed();
    assert!(lived > Duration::from_secs(30), "{lived:?}");
    let (code, words) = status(&world);
    assert_eq!(code, 5, "{words}");
    let resumed = world
        .broker
        .holdfast(&["sessions", "resume", &beating.session]);
    assert!(
        resumed.stderr.contains("its certificate has ended"),
        "{resumed:#?}"
    );
    // Nothing was ordered, so no lease was killed for good.
    assert!(!tail(&world).contains("are dead in the TPM"));

    world.attestor.resume(&world.scratch);
    world.broker.holdfast(&["status", "--renew"]).success();
    beating.beats();
    let record = tail(&world);
    for line in [
        "this host may do nothing: its certificate has ended",
        &format!("session {} goes on with its host", beating.session),
    ] {
        assert!(record.contains(line), "{line} is missing:\n{record}");
    }
    beating.end();
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

fn host(world: &World) -> String {
    let listed: Value =
        serde_json::from_str(&world.attestor.run(&["host", "list", "--json"])).unwrap();
    listed[0]["id"].as_str().unwrap().to_owned()
}

fn shown(world: &World, host: &str) -> Value {
    let shown = world.attestor.run(&["host", "show", host, "--json"]);
    serde_json::from_str(&shown).unwrap()
}

fn order(world: &World, host: &str, what: &str, more: &[&str]) {
    let mut arguments = vec!["host", what, host];
    arguments.extend(more);
    world.attestor.run(&arguments);
}

fn status(world: &World) -> (i32, String) {
    let ran = world.broker.holdfast(&["status"]);
    (ran.code, ran.stdout + &ran.stderr)
}

fn tail(world: &World) -> String {
    let tail = world.broker.holdfast(&["audit", "tail", "-n", "200"]);
    tail.success()
}
