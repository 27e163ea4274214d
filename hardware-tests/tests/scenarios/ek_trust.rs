//! Whose EK is trusted: by its maker's certificate, an operator's list, an operator's token, or not at all.

use std::io::Write;
use std::process::{Command, Stdio};

use holdfast_hardware_tests::harness::{EkAuthority, EkKind, ListAge, Scratch, Swtpm};
use holdfast_hardware_tests::world::{Attestor, Ran, World};

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
fn a_host_that_nothing_vouches_for_waits_until_an_operator_approves_it() {
    let world = World::start_under(|scratch, _, _| {
        Attestor::start_with(scratch, "unknown-hosts = \"pending\"\n")
    });
    let waits = enroll_by_authority(&world);
    assert_ne!(waits.code, 0);
    let told = "enrollment waits: an operator of `world.test` has to approve";
    assert!(waits.stderr.contains(told), "{waits:#?}");
    assert!(hosts(&world).is_empty());
    let pending = world.attestor.run(&["host", "pending", "--json"]);
    let pending: Vec<serde_json::Value> = serde_json::from_str(&pending).unwrap();
    let name = pending[0]["name"].as_str().unwrap();
    let ek = ek_hash(&world.scratch, &world.tpm);
    assert_eq!(
        (pending.len(), &pending[0]["ek_fingerprint"]),
        (1, &ek.clone().into())
    );
    assert!(
        waits.stderr.contains(&ek) && waits.stderr.contains(name),
        "{waits:#?}"
    );

    // Still nobody, until an operator has said so.
    assert_ne!(enroll_by_authority(&world).code, 0);
    world.attestor.run(&["host", "approve", name]);
    enroll_by_authority(&world).success();
    assert_eq!(hosts(&world)[0]["ek_trust"], "allow-list");
    assert_eq!(
        world.attestor.run(&["host", "pending"]).trim(),
        "no host waits"
    );
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
