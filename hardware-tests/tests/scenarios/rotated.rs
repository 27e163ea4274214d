//! Promise 1 through a change of the authority's keys: nobody is cut off who was there, and nothing of the old keys counts
//! afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{bin, wait_until};
use holdfast_hardware_tests::world::World;
use serde_json::Value;

use crate::support::install_spiffe;

/// A running attestor looks every few seconds whether its keys were changed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches an X.509-SVID and validates a JWT-SVID by the bundle that the session has.
const CLIENT: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    client.fetch_x509_svid()
    jwt = client.fetch_jwt_svid(audience={'api.example'})
    client.validate_jwt_svid(jwt.token, 'api.example')
    bundle = client.fetch_x509_bundles()
    print('authorities', sum(len(b.x509_authorities) for b in bundle.bundles))
";

#[test]
fn the_authoritys_keys_change_and_hosts_and_agents_go_on() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let project = world.scratch.folder("project");
    if !install_spiffe(&project.join("site")) {
        return;
    }
    fs::write(project.join("client.py"), CLIENT).unwrap();
    let agent = |world: &World| {
        let python = ["/usr/bin/python3", "-S", "client.py"];
        world.broker.run(&project, &python).success()
    };
    assert_eq!(known(&world), 1);
    let first = root(&world, "first.pem");
    assert!(verifies(&world, &first));

    // The next keys are published and sign nothing; whoever renews learns of them, and keeps them.
    world.attestor.run(&["authority", "prepare"]);
    renewed_until(&world, "the host knows both", || known(&world) == 2);
    assert!(verifies(&world, &first));
    world.broker.stop();
    world.broker.resume(&world.scratch);
    world.attested();
    let words = refused(&world, &["authority", "activate"]);
    assert!(
        words.contains("is not known to everybody before"),
        "{words}"
    );
    assert!(words.contains("next: "), "{words}");

    // They sign. The attestor's own certificate is of them too, and the host takes it.
    world.attestor.run(&["authority", "activate", "--now"]);
    let second = root(&world, "second.pem");
    renewed_until(&world, "an SVID by the new key", || {
        verifies(&world, &second)
    });
    assert!(!verifies(&world, &first));
    assert_eq!(agent(&world).trim(), "authorities 2");

    // The old ones are gone for everybody.
    let words = refused(&world, &["authority", "retire"]);
    assert!(words.contains("may be valid until"), "{words}");
    world.attestor.run(&["authority", "retire", "--now"]);
    renewed_until(&world, "the host knows one again", || known(&world) == 1);
    assert!(verifies(&world, &second));
    world.broker.stop();
    world.broker.resume(&world.scratch);
    world.attested();
    wait_until(PATIENCE, "the agents know one again", || {
        agent(&world).trim() == "authorities 1"
    });
    let shown = world.attestor.run(&["authority", "show", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["sequence"], 4, "{shown:#}");
    assert_eq!(shown["generations"][0]["role"], "active", "{shown:#}");
    // Its audit log went on, and new hosts join by tokens that pin the new keys.
    world.broker.holdfast(&["audit", "verify"]).success();
    world.enroll().success();
}

fn node(world: &World) -> Value {
    let status = world.broker.holdfast(&["status", "--json"]).success();
    let mut status: Value = serde_json::from_str(&status).unwrap();
    status["node"].take()
}

/// How many authorities the host knows.
fn known(world: &World) -> usize {
    let node = node(world);
    let pem = node["authorities_pem"].as_str().unwrap_or_default();
    pem.matches("BEGIN CERTIFICATE").count()
}

/// The authority that signs, by the operator's own word: the bundle's first.
fn root(world: &World, name: &str) -> PathBuf {
    let bundle = world.attestor.run(&["bundle", "show"]);
    let end = "-----END CERTIFICATE-----\n";
    let first = bundle.split_inclusive(end).next().unwrap().to_owned();
    world.scratch.write(name, first)
}

/// Whether the node SVID is by this authority, in the eyes of a stock verifier.
fn verifies(world: &World, root: &PathBuf) -> bool {
    let node = node(world);
    let chain = node["chain_pem"].as_str().unwrap_or_default().to_owned();
    let chain = world.scratch.write("chain.pem", chain);
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .args([root, &chain])
        .output()
        .unwrap();
    verified.status.success()
}

fn renewed_until(world: &World, what: &str, mut done: impl FnMut() -> bool) {
    wait_until(PATIENCE, what, || {
        world.broker.holdfast(&["status", "--renew"]).code == 0 && done()
    });
}

/// What the attestor's command says when it fails.
fn refused(world: &World, arguments: &[&str]) -> String {
    let output = Command::new(bin("holdfast-attestor"))
        .arg("--config")
        .arg(world.attestor.config())
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
