//! Promise 1: no identity without a fresh, verified quote of this host.

use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Scratch, Swtpm};
use holdfast_hardware_tests::world::{Attestor, World};
use holdfast_proof::svid::Svid;
use holdfast_protocol::wire::attestor::host_client::HostClient;
use holdfast_protocol::wire::attestor::{
    FetchBundleRequest, SignJwtSvidRequest, SignX509SvidRequest,
};
use tonic::{Code, Status};

use crate::support::{Chip, Node, join, request_by};

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

#[tokio::test]
async fn a_token_is_good_for_one_host_once_and_for_its_time() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let (first, second) = (Swtpm::bare(), Swtpm::bare());
    let first = Chip::open(first.ports().command(), None).await;
    let second = Chip::open(second.ports().command(), None).await;

    let token = attestor.token();
    let host = join(&first, &attestor, &token, "simulated").await.unwrap();
    refused(join(&second, &attestor, &token, "simulated").await, "token");
    // Not even by the host that used it; with another token it stays who it is.
    refused(join(&first, &attestor, &token, "simulated").await, "token");
    let again = join(&first, &attestor, &attestor.token(), "simulated").await;
    assert_eq!(again.unwrap(), host);

    let brief = attestor.run(&["token", "create", "--ttl", "1s"]);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    refused(
        join(&second, &attestor, brief.trim(), "simulated").await,
        "token",
    );
    let bound = attestor.run(&["token", "create", "--host-name", "somebody-else"]);
    refused(
        join(&second, &attestor, bound.trim(), "simulated").await,
        "token",
    );
    assert_eq!(attestor.log().matches("reason=token").count(), 4);
    for chip in [first, second] {
        chip.nothing_is_left().await;
        chip.close();
    }
}

#[tokio::test]
async fn a_host_signs_in_with_its_certificate_and_names_only_its_own_agents() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let tpm = Swtpm::bare();
    let node = Node::attested(&scratch, &tpm, &attestor).await;
    let csr = request_by(&rcgen::KeyPair::generate().unwrap());
    let ask = |spiffe_id: String| SignX509SvidRequest {
        spiffe_id,
        csr: csr.clone(),
    };
    let own = format!("{}/agent/shell/one", node.spiffe_id);

    // Without a certificate: nothing at all.
    let mut stranger = HostClient::new(node.without_certificate().await.channel);
    let answers = [
        stranger.sign_x509_svid(ask(own.clone())).await.err(),
        stranger.fetch_bundle(FetchBundleRequest {}).await.err(),
        stranger.sign_jwt_svid(jwt(&own)).await.err(),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap().code(), Code::Unauthenticated);
    }

    // With it: agents of its own, and no other name.
    let mut host = HostClient::new(node.with_certificate().await.channel);
    let signed = host.sign_x509_svid(ask(own.clone())).await.unwrap();
    let leaf = Svid::parse(&signed.into_inner().chain[0]).unwrap();
    assert_eq!(leaf.spiffe_id.to_string(), own);
    host.sign_jwt_svid(jwt(&own)).await.unwrap();
    let other = format!(
        "spiffe://world.test/host/{}/agent/shell/one",
        "a".repeat(26)
    );
    for name in [
        other,
        node.spiffe_id.clone(),
        format!("{}x/agent/shell/one", node.spiffe_id),
        "spiffe://world.test/attestor".to_owned(),
        own.replace("world.test", "another.test"),
        format!("{}/../{}", node.spiffe_id, "a".repeat(26)),
    ] {
        for answer in [
            host.sign_x509_svid(ask(name.clone())).await.err(),
            host.sign_jwt_svid(jwt(&name)).await.err(),
        ] {
            let status = answer.unwrap_or_else(|| panic!("{name} was signed"));
            assert_eq!(status.code(), Code::PermissionDenied, "{name}: {status}");
            assert!(status.message().starts_with("name refused"), "{status}");
        }
    }
    node.close().await;
}

fn jwt(spiffe_id: &str) -> SignJwtSvidRequest {
    SignJwtSvidRequest {
        spiffe_id: spiffe_id.to_owned(),
        audience: vec!["somebody".to_owned()],
    }
}

fn refused(answer: Result<String, Status>, reason: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert_eq!(status.message(), format!("enrollment refused: {reason}"));
}
