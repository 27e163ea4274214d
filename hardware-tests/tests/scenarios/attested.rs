//! Promise 1: no identity without a fresh, verified quote of this host.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{EkAuthority, EkKind, ListAge, Scratch, Swtpm};
use holdfast_hardware_tests::world::{Attestor, Ran, World};
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

#[test]
fn a_vendor_certificate_of_the_ek_lets_a_host_join_without_a_token() {
    let mut world = World::start_under(|scratch, _, vendor| by_vendor(scratch, vendor));
    enroll_by_authority(&world).success();
    assert_eq!(hosts(&world)[0]["ek_trust"], "certificate");
    world.broker.holdfast(&["status", "--renew"]).success();
    world.broker.stop();
}

#[test]
fn a_certificate_of_a_vendor_that_is_not_trusted_lets_nobody_join() {
    let world = World::start_under(|scratch, _, _| by_vendor(scratch, &EkAuthority::new()));
    let refused = enroll_by_authority(&world);
    assert_ne!(refused.code, 0);
    let told = "enrollment refused: ek-trust";
    assert!(refused.stderr.contains(told), "{refused:#?}");
    let log = world.attestor.log();
    assert!(log.contains("reason=ek-trust"), "{log}");
    assert!(hosts(&world).is_empty());
}

#[test]
fn a_revoked_ek_certificate_lets_nobody_join() {
    let of_tpm = |tpm: &Swtpm| ek_serial(tpm);
    let other = |_: &Swtpm| vec![1, 2, 3];
    // (whom the issuer's list names, how old it is, what is asked of lists, why the host is refused)
    let revoked = "is revoked by the list";
    let expired = "is outside its validity";
    for (policy, age, named, why) in [
        (
            "where-there-is-one",
            ListAge::Current,
            of_tpm as fn(&Swtpm) -> Vec<u8>,
            Some(revoked),
        ),
        ("require", ListAge::Expired, of_tpm, Some(revoked)),
        ("require", ListAge::Expired, other, Some(expired)),
        ("where-there-is-one", ListAge::Expired, other, Some(expired)),
        ("require", ListAge::Current, other, None),
    ] {
        let world = World::start_under(|scratch, tpm, vendor| {
            let lists = scratch.folder("ek-crls");
            std::fs::write(lists.join("root.crl"), vendor.root_list()).unwrap();
            let list = vendor.issuer_list(&[named(tpm)], age);
            std::fs::write(lists.join("issuer.crl"), list).unwrap();
            let more = format!("crl = \"{policy}\"\nek-crls = \"{}\"\n", lists.display());
            by_vendor_with(scratch, vendor, &more)
        });
        let ran = enroll_by_authority(&world);
        let log = world.attestor.log();
        match why {
            Some(why) => {
                assert_ne!(ran.code, 0);
                let told = "enrollment refused: ek-trust";
                assert!(ran.stderr.contains(told), "{ran:#?}");
                assert!(log.contains(why) && log.contains("issuer.crl"), "{log}");
                assert!(hosts(&world).is_empty());
            }
            None => {
                ran.success();
                assert_eq!(hosts(&world)[0]["ek_trust"], "certificate");
            }
        }
    }
}

#[test]
fn where_every_issuer_needs_a_list_one_without_refuses() {
    let world = World::start_under(|scratch, _, vendor| {
        let lists = scratch.folder("ek-crls");
        std::fs::write(lists.join("root.crl"), vendor.root_list()).unwrap();
        let more = format!("crl = \"require\"\nek-crls = \"{}\"\n", lists.display());
        by_vendor_with(scratch, vendor, &more)
    });
    let refused = enroll_by_authority(&world);
    assert_ne!(refused.code, 0);
    let log = world.attestor.log();
    assert!(
        log.contains("there is no revocation list of an issuer"),
        "{log}"
    );
    // The operator may still answer for the machine, as for any whose maker nobody trusts.
    world.enroll().success();
    assert_eq!(hosts(&world)[0]["ek_trust"], "token");
}

#[test]
fn an_ek_on_the_allow_list_joins_without_a_token_and_no_other_does() {
    let allowed = World::start_under(|scratch, tpm, _| allowing(scratch, tpm));
    enroll_by_authority(&allowed).success();
    assert_eq!(hosts(&allowed)[0]["ek_trust"], "allow-list");

    let stranger = Swtpm::with_ek(EkKind::Rsa2048, &EkAuthority::new());
    let other = World::start_under(|scratch, _, _| allowing(scratch, &stranger));
    let refused = enroll_by_authority(&other);
    let told = "enrollment refused: ek-trust";
    assert!(refused.stderr.contains(told), "{refused:#?}");
    assert!(hosts(&other).is_empty());
}

#[test]
fn a_fleets_list_lets_its_hosts_join_and_no_other_name() {
    let world = World::start();
    let ek = ek_hash(&world.scratch, &world.tpm);
    let import = |name: &str| {
        let fleet = format!("host name,ek hash\n{name},{ek}\nother,{}\n", "0".repeat(64));
        let fleet = world.scratch.write("fleet.csv", fleet);
        let fleet = fleet.display().to_string();
        world.attestor.run(&["ek-hashes", "import", &fleet]);
    };
    // The attestor runs already, and knows the list at its next request.
    import("somebody-else");
    let refused = enroll_by_authority(&world);
    assert!(
        refused.stderr.contains("enrollment refused: ek-trust"),
        "{refused:#?}"
    );
    let log = world.attestor.log();
    assert!(log.contains("is listed for `somebody-else`"), "{log}");
    import("");
    enroll_by_authority(&world).success();
    assert_eq!(hosts(&world)[0]["ek_trust"], "allow-list");
    assert_eq!(hosts(&world)[0]["ek_fingerprint"], ek);
}

#[test]
fn a_token_for_one_ek_enrolls_that_one_alone() {
    let world = World::start();
    let enroll_with = |ek: &str| {
        let token = world.attestor.run(&["token", "create", "--for-ek", ek]);
        let token = world.scratch.write("token", token);
        let token = token.display().to_string();
        let url = world.attestor.url();
        world
            .broker
            .holdfast(&["enroll", &url, "--token-file", &token])
    };
    let refused = enroll_with(&"0".repeat(64));
    assert!(
        refused.stderr.contains("enrollment refused: token"),
        "{refused:#?}"
    );
    enroll_with(&ek_hash(&world.scratch, &world.tpm)).success();
}

#[test]
fn a_simulated_tpm_is_refused_where_policy_does_not_accept_it() {
    let world = World::start_under(|scratch, _, _| Attestor::start_as(scratch, ""));
    let refused = world.enroll();
    assert_ne!(refused.code, 0);
    let told = "enrollment refused: grade";
    assert!(refused.stderr.contains(told), "{refused:#?}");
    assert!(hosts(&world).is_empty());
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

/// An attestor that trusts one TPM vendor.
pub fn by_vendor(scratch: &Scratch, vendor: &EkAuthority) -> Attestor {
    by_vendor_with(scratch, vendor, "")
}

/// The same, with more configuration: keys of the table `enrollment`, then TOML tables of their own.
pub fn by_vendor_with(scratch: &Scratch, vendor: &EkAuthority, tables: &str) -> Attestor {
    let (roots, issuers) = (scratch.folder("ek-roots"), scratch.folder("ek-issuers"));
    std::fs::write(roots.join("root.der"), vendor.root_der()).unwrap();
    std::fs::write(issuers.join("issuer.der"), vendor.issuer_der()).unwrap();
    let more = format!(
        "ek-roots = \"{}\"\nek-intermediates = \"{}\"\n{tables}",
        roots.display(),
        issuers.display()
    );
    Attestor::start_with(scratch, &more)
}

/// An attestor whose operator listed this TPM's EK.
fn allowing(scratch: &Scratch, tpm: &Swtpm) -> Attestor {
    let ek = ek_hash(scratch, tpm);
    Attestor::start_with(scratch, &format!("ek-allow-list = [\"{ek}\"]\n"))
}

/// The fingerprint of a TPM's EK, as stock tools give it.
fn ek_hash(scratch: &Scratch, tpm: &Swtpm) -> String {
    let der = scratch.join("ek.der");
    std::fs::write(&der, tpm.tools().run("nvread", ["0x1c00002"])).unwrap();
    let openssl = "openssl x509 -inform der -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum";
    let output = Command::new("sh")
        .args(["-c", openssl])
        .arg(&der)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

/// The serial number of a TPM's EK certificate, as stock tools read it.
fn ek_serial(tpm: &Swtpm) -> Vec<u8> {
    let der = tpm.tools().run("nvread", ["0x1c00002"]);
    let mut openssl = Command::new("openssl")
        .args(["x509", "-inform", "der", "-noout", "-serial"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(&der).unwrap();
    let output = openssl.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let digits = text.trim().strip_prefix("serial=").unwrap();
    data_encoding::HEXUPPER.decode(digits.as_bytes()).unwrap()
}

/// Enrolls the host by what its EK is alone.
pub fn enroll_by_authority(world: &World) -> Ran {
    let bundle = world.attestor.run(&["bundle", "show"]);
    let bundle = world.scratch.write("authority.pem", bundle);
    let bundle = bundle.display().to_string();
    let url = world.attestor.url();
    world
        .broker
        .holdfast(&["enroll", &url, "--authority", &bundle])
}

pub fn hosts(world: &World) -> Vec<serde_json::Value> {
    serde_json::from_str(&world.attestor.run(&["host", "list", "--json"])).unwrap()
}
