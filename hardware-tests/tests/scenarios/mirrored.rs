//! Promise 4, seen from elsewhere: the attestor holds every record once, and a host cannot take back what it has said.

use std::process::Command;
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::{Scratch, Swtpm, bin, wait_until};
use holdfast_hardware_tests::world::{Attestor, Broker, World};
use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_protocol::management::Request;
use holdfast_protocol::wire::attestor::AuditUpload;
use holdfast_protocol::wire::attestor::mirror_client::MirrorClient;
use serde_json::Value;
use tonic::Code;

use super::recorded::database::{Copy, folder, forged, sqlite};
use super::recorded::log::{ask, exported, head, one_more, world};
use crate::support::Node;

/// How long the mirror may take to have everything: its longest wait between two tries is 30 s.
const PATIENCE: Duration = Duration::from_secs(90);

fn status(broker: &Broker) -> Value {
    let status = broker.holdfast(&["status", "--json"]).stdout;
    serde_json::from_str(&status).unwrap_or_default()
}

fn mirror(broker: &Broker) -> Value {
    status(broker)["mirror"].clone()
}

/// Waits until the attestor has every record that is there now.
fn current(broker: &Broker) {
    let size = head(broker).size;
    wait_until(PATIENCE, "the attestor has all of the log", || {
        let mirror = mirror(broker);
        mirror["mirror"] == "current" && mirror["size"].as_u64() >= Some(size)
    });
}

/// Waits until the attestor has cosigned what the newest checkpoint covers.
fn cosigned(world: &World) {
    let covered = head(&world.broker).checkpointed;
    wait_until(PATIENCE, "the attestor has cosigned it", || {
        held(&world.attestor)["cosigned"].as_u64() >= Some(covered)
    });
    current(&world.broker);
}

/// The attestor's one log, as `audit list` has it.
fn held(attestor: &Attestor) -> Value {
    let logs: Value = serde_json::from_str(&attestor.run(&["audit", "list", "--json"])).unwrap();
    assert_eq!(logs.as_array().map(Vec::len), Some(1), "{logs}");
    logs[0].clone()
}

/// The records that the attestor has.
fn shown(attestor: &Attestor) -> Vec<String> {
    let host = held(attestor)["host"].as_str().unwrap().to_owned();
    let all = [
        "audit",
        "show",
        &host,
        "--from",
        "0",
        "--count",
        "100000000",
        "--json",
    ];
    let records: Vec<Value> = serde_json::from_str(&attestor.run(&all)).unwrap();
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["index"], index);
    }
    records
        .iter()
        .map(|record| record["record"].as_str().unwrap().to_owned())
        .collect()
}

/// What the host has kept of the attestor's acknowledgements.
fn receipt(broker: &Broker) -> Value {
    let kept = std::fs::read(broker.state().join("mirror.json")).unwrap_or_default();
    serde_json::from_slice(&kept).unwrap_or_default()
}

/// The attestor's own check of its copy; its exit code and its words.
fn verified(attestor: &Attestor) -> (i32, Value) {
    let host = held(attestor)["host"].as_str().unwrap().to_owned();
    let output = Command::new(bin("holdfast-attestor"))
        .arg("--config")
        .arg(attestor.config())
        .args(["audit", "verify", &host, "--json"])
        .output()
        .unwrap();
    let logs: Value = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), logs[0].clone())
}

/// Both sides have the same records, each once, and both find nothing wrong.
pub fn agree(world: &World) {
    current(&world.broker);
    let (attestors, hosts) = (shown(&world.attestor), exported(&world.broker));
    assert_eq!(attestors, hosts);
    let (code, theirs) = verified(&world.attestor);
    assert_eq!((code, &theirs["findings"]), (0, &serde_json::json!([])));
    world.broker.holdfast(&["audit", "verify"]).success();
    let ours = serde_json::to_value(head(&world.broker)).unwrap();
    assert_eq!(theirs["size"], ours["size"]);
    assert_eq!(theirs["root"], ours["root"]);
}

#[test]
fn the_attestors_copy_is_the_hosts_log() {
    let world = world("");
    let broker = &world.broker;
    for _ in 0..5 {
        one_more(broker);
    }
    broker.holdfast(&["audit", "checkpoint"]).success();
    cosigned(&world);
    agree(&world);
    let log = held(&world.attestor);
    assert_eq!(log["cosigned"], head(broker).checkpointed);
    assert_eq!(log["counter"].as_u64(), head(broker).counter);
    assert_eq!(log["fork"], Value::Null);

    // The host has the receipt, by the key that the operator can read out.
    wait_until(PATIENCE, "the receipt is kept", || {
        receipt(broker)["size"] == log["cosigned"]
    });
    let kept = receipt(broker);
    let key = world.attestor.run(&["audit", "key"]);
    assert_eq!(kept["cosigner"], key.trim());
    let name = key.split('+').next().unwrap();
    assert!(
        kept["note"]
            .as_str()
            .unwrap()
            .contains(&format!("\u{2014} {name} "))
    );
}

#[test]
fn what_was_recorded_while_the_attestor_was_away_arrives_once() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    current(&world.broker);
    world.attestor.kill();
    for _ in 0..300 {
        ask(world.broker.socket(), &Request::Attest).unwrap();
    }
    let project = world.scratch.folder("project");
    world.broker.run(&project, &["/bin/true"]).success();
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    let behind = mirror(&world.broker);
    assert_eq!(behind["mirror"], "behind", "{behind}");
    assert!(behind["why"].is_string(), "{behind}");

    // Through a restart of the broker, too.
    world.broker.kill();
    world.broker.resume(&world.scratch);
    world.attestor.resume(&world.scratch);
    agree(&world);
    assert!(shown(&world.attestor).len() > 300);
}

#[test]
fn kill_9_of_either_side_amid_uploads_loses_and_doubles_nothing() {
    let mut world = world("[audit]\ncounter-per-day = 288\n");
    world.attestor.kill();
    for round in 0_u64..8 {
        for _ in 0..120 {
            ask(world.broker.socket(), &Request::Attest).unwrap();
        }
        if round % 3 == 0 {
            world.broker.holdfast(&["audit", "checkpoint"]).success();
        }
        world.attestor.resume(&world.scratch);
        ask(world.broker.socket(), &Request::Attest).unwrap();
        std::thread::sleep(Duration::from_millis(7 * round * round));
        if round % 2 == 0 {
            world.broker.kill();
            world.attestor.kill();
        } else {
            world.attestor.kill();
            world.broker.kill();
        }
        world.broker.resume(&world.scratch);
    }
    world.attestor.resume(&world.scratch);
    agree(&world);
}

#[test]
fn a_host_that_rewrote_what_it_had_sent_is_caught() {
    // The first leaves the note of what was sent as it is; the second skips what it forged.
    for (named, skip) in [("fork-record", false), ("fork-root", true)] {
        let mut world = world("");
        world.broker.holdfast(&["audit", "checkpoint"]).success();
        cosigned(&world);
        wait_until(PATIENCE, "the receipt is kept", || {
            receipt(&world.broker)["size"] == head(&world.broker).checkpointed
        });
        one_more(&world.broker);
        current(&world.broker);
        let last = head(&world.broker).size - 1;
        world.broker.kill();
        let forgery = forged(&world.broker, last, "holdfast", "holdfist");
        sqlite(&world.broker, &forgery);
        if skip {
            let mut kept = receipt(&world.broker);
            kept["size"] = (last + 1).into();
            let path = world.broker.state().join("mirror.json");
            std::fs::write(path, kept.to_string()).unwrap();
        }
        world.broker.resume(&world.scratch);
        world.broker.holdfast(&["audit", "checkpoint"]).success();
        // The host itself is none the wiser.
        world.broker.holdfast(&["audit", "verify"]).success();
        wait_until(PATIENCE, "the fork is seen", || {
            mirror(&world.broker)["why"].to_string().contains(named)
        });
        assert_eq!(held(&world.attestor)["fork"]["reason"], named);
        let (code, log) = verified(&world.attestor);
        assert_eq!(code, 1);
        assert!(log["findings"][0].to_string().contains(named), "{log}");
        assert!(world.attestor.log().contains(named));
        // Nothing more of it is taken, and the host's own log goes on.
        let size = held(&world.attestor)["size"].clone();
        world.broker.stop();
        world.broker.resume(&world.scratch);
        wait_until(PATIENCE, "it is still refused", || {
            mirror(&world.broker)["why"].to_string().contains("forked")
        });
        assert_eq!(held(&world.attestor)["size"], size);
    }
}

#[test]
fn an_older_database_that_the_counter_does_not_miss_is_caught() {
    let mut world = world("");
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    one_more(&world.broker);
    current(&world.broker);
    world.broker.kill();
    let older = Copy::of(&world, "older");
    world.broker.resume(&world.scratch);
    for _ in 0..3 {
        one_more(&world.broker);
    }
    current(&world.broker);
    world.broker.kill();
    older.put_back(&world.broker);
    world.broker.resume(&world.scratch);
    wait_until(PATIENCE, "the fork is seen", || {
        mirror(&world.broker)["why"]
            .to_string()
            .contains("fork-record")
    });
    world.broker.holdfast(&["audit", "verify"]).success();
    assert_eq!(held(&world.attestor)["fork"]["reason"], "fork-record");
}

#[tokio::test]
async fn another_hosts_certificate_writes_into_no_log_but_its_own() {
    let world = world("");
    current(&world.broker);
    let before = shown(&world.attestor);
    let scratch = Scratch::new();
    let tpm = Swtpm::bare();
    let other = Node::attested(&scratch, &tpm, &world.attestor).await;
    let upload = AuditUpload {
        origin: head(&world.broker).origin,
        first: before.len() as u64,
        records: vec![b"{}".to_vec()],
        checkpoint: String::new(),
    };
    let mut client = MirrorClient::new(other.with_certificate().await.channel);
    let answer = client.upload(upload.clone()).await.unwrap().into_inner();
    assert_eq!(answer.refused, "origin");
    let mut nobody = MirrorClient::new(other.without_certificate().await.channel);
    let refused = nobody.upload(upload).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(shown(&world.attestor), before);
    other.close().await;
}

#[test]
fn a_backlog_drains() {
    let long = std::env::var_os("HOLDFAST_TEST_LONG").is_some();
    let backlog: u64 = if long { 605_000 } else { 20_000 };
    let mut world = world("");
    current(&world.broker);
    world.attestor.kill();
    world.broker.kill();
    swell(&world.broker, backlog);
    world.broker.resume(&world.scratch);
    let size = head(&world.broker).size;
    world.attestor.resume(&world.scratch);
    let begun = Instant::now();
    ask(world.broker.socket(), &Request::Attest).unwrap();
    wait_until(Duration::from_secs(600), "the backlog is drained", || {
        // Looking costs a process; the machine is to be busy with draining.
        std::thread::sleep(Duration::from_millis(100));
        held(&world.attestor)["size"].as_u64().unwrap() >= size
    });
    let took = begun.elapsed();
    println!(
        "{backlog} records in {took:.1?}: {:.0} records/s, {} bytes of log",
        backlog as f64 / took.as_secs_f64(),
        held(&world.attestor)["bytes"]
    );
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    current(&world.broker);
    let (code, log) = verified(&world.attestor);
    assert_eq!(
        (code, log["size"].as_u64()),
        (0, Some(head(&world.broker).size))
    );
}

/// Adds `count` records to a log that nobody has open, as if they had been recorded.
fn swell(broker: &Broker, count: u64) {
    let last = sqlite(
        broker,
        "SELECT hex(json) FROM record ORDER BY idx DESC LIMIT 1",
    );
    let json = data_encoding::HEXUPPER
        .decode(last.trim().as_bytes())
        .unwrap();
    let leaf = leaf_hash(&json);
    let leaves = sqlite(broker, "SELECT hex(leaf) FROM record ORDER BY idx");
    let mut tree = Frontier::empty();
    for leaf in leaves.lines() {
        let leaf = data_encoding::HEXUPPER.decode(leaf.as_bytes()).unwrap();
        tree.append(leaf.as_slice().try_into().unwrap());
    }
    let first = tree.size();
    for _ in 0..count {
        tree.append(leaf);
    }
    let hex = |bytes: &[u8]| data_encoding::HEXUPPER.encode(bytes);
    let peaks: Vec<u8> = tree
        .peaks()
        .iter()
        .flat_map(|peak| *peak.as_bytes())
        .collect();
    sqlite(
        broker,
        &format!(
            "INSERT INTO record (idx, leaf, json) SELECT value, x'{}', x'{}' FROM \
             generate_series({first}, {}); UPDATE log SET size = {}, peaks = x'{}';",
            hex(leaf.as_bytes()),
            hex(&json),
            tree.size() - 1,
            tree.size(),
            hex(&peaks)
        ),
    );
    assert!(folder(broker).exists());
}
