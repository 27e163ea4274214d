//! Promise 1: no identity without a fresh, verified quote of this host.

use std::process::Command;

use holdfast_hardware_tests::world::World;

#[test]
fn an_enrolled_host_gets_a_node_svid_that_openssl_verifies() {
    let world = World::enrolled();
    let status = world.broker.holdfast(&["status", "--json"]).success();
    let node: serde_json::Value = serde_json::from_str(&status).unwrap();
    let chain = world
        .scratch
        .write("chain.pem", node["node"]["chain_pem"].as_str().unwrap());
    // From the attestor itself, not from what the host was told.
    let bundle = world
        .scratch
        .write("bundle.pem", world.attestor.run(&["bundle", "show"]));
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .args([&bundle, &chain])
        .output()
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[test]
fn a_broker_that_restarts_keeps_its_identity_and_its_log() {
    let mut world = World::enrolled();
    let before = world.broker.holdfast(&["status", "--json"]).success();
    world.broker.stop();
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["status", "--renew"]).success();
    let after = world.broker.holdfast(&["status", "--json"]).success();
    let id = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).unwrap();
        (
            status["node"]["spiffe_id"].clone(),
            status["audit"]["origin"].clone(),
        )
    };
    assert_eq!(id(&before), id(&after));
    world.broker.holdfast(&["audit", "verify"]).success();
}
