//! What a recovery code is for, and that nothing else does it: a vault after a change of this machine's firmware, a PIN after
//! three wrong ones or none that is remembered.

use std::fs;
use std::time::Duration;

use holdfast_hardware_tests::harness::{EkKind, Scratch, Swtpm, wait_until};
use holdfast_hardware_tests::world::{Attestor, Ran, World};
use serde_json::Value;

use super::window::{asking, decision, questions};

#[test]
fn after_a_change_of_secure_boot_the_recovery_code_opens_the_vault_and_nothing_else_does() {
    let mut world = World::start();
    let made = world
        .broker
        .holdfast(&["secrets", "init", "--headless", "--json"])
        .success();
    let made: Value = serde_json::from_str(&made).unwrap();
    let code = made["recovery"].as_str().unwrap().to_owned();
    keep(&world, "first").success();

    // Another Secure Boot policy was measured.
    world.broker.stop();
    let measured = format!("7:sha256={}", "5a".repeat(32));
    world.tpm.tools().run("pcrextend", [measured.as_str()]);
    world.broker.resume(&world.scratch);
    let shut = keep(&world, "second");
    assert_eq!(shut.code, 1, "{shut:#?}");
    assert!(
        shut.stderr.contains("the TPM refuses to open it"),
        "{shut:#?}"
    );
    assert!(
        shut.stderr.contains("`holdfast secrets recover`"),
        "{shut:#?}"
    );

    // No code, no other code, no guess opens it.
    let other = "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGG-HHHH";
    let cut: String = code.chars().skip(1).collect();
    for wrong in [other, "hello", &cut] {
        let refused = recover(&world, wrong);
        assert_eq!(refused.code, 1, "{refused:#?}");
        let why = "the recovery code is not the one of this vault";
        assert!(refused.stderr.contains(why), "{refused:#?}");
    }
    assert_eq!(keep(&world, "second").code, 1);

    let words = recover(&world, &code.to_lowercase()).success();
    assert!(words.contains("present software"), "{words}");
    keep(&world, "second").success();

    // It opens after the next boot, whose state is the one before, and it still is this machine's alone.
    world.broker.stop();
    world.tpm.restart();
    world.broker.resume(&world.scratch);
    keep(&world, "third").success();
    let listed = world.broker.holdfast(&["secrets", "list"]).success();
    for name in ["first", "second", "third"] {
        assert!(listed.contains(name), "{listed}");
    }
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "50"])
        .success();
    assert!(record.contains("by its recovery code"), "{record}");
    assert!(!record.contains(&code), "{record}");
    world.broker.holdfast(&["audit", "verify"]).success();
    world.broker.stop();
    for kind in ["handles-transient", "handles-loaded-session"] {
        assert_eq!(world.tpm.tools().text("getcap", [kind]), "", "{kind}");
    }
}

#[test]
fn a_locked_or_forgotten_pin_is_recovered_by_its_code_and_by_nothing_else() {
    let Some(world) = World::sealed() else {
        return;
    };
    let enroll = |pin: &str| -> String {
        let file = world.scratch.private("pin", pin);
        let enrolled = ["factors", "enroll", "--pin-file", &file, "--json"];
        let enrolled = world.broker.holdfast(&enrolled).success();
        let enrolled: Value = serde_json::from_str(&enrolled).unwrap();
        enrolled["recovery"].as_str().unwrap().to_owned()
    };
    let recovered = |act: &str, code: &str| {
        let file = world.scratch.private("code", code);
        world
            .broker
            .holdfast(&["factors", act, "--code-file", &file])
    };
    let approved = |pin: &str| {
        let call = questions(&world).remove(0)["call"]
            .as_str()
            .unwrap()
            .to_owned();
        let file = world.scratch.private("typed", pin);
        world
            .broker
            .holdfast(&["approvals", "approve", &call, "--pin-file", &file])
    };
    let code = enroll("kelp-and-rock");
    let session = asking(&world, "git push origin main");
    for wrong in ["0001", "0002", "0003"] {
        assert_eq!(approved(wrong).code, 1, "{wrong}");
    }
    let locked = approved("kelp-and-rock");
    assert!(
        locked.stderr.contains("locked after too many failures"),
        "{locked:#?}"
    );
    assert!(
        locked.stderr.contains("`holdfast factors unlock`"),
        "{locked:#?}"
    );

    let other = "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGG-HHHH";
    for act in ["unlock", "remove"] {
        for wrong in [other, "kelp-and-rock"] {
            let refused = recovered(act, wrong);
            let why = "the recovery code is not the one of your approval key";
            assert!(
                refused.code == 1 && refused.stderr.contains(why),
                "{refused:#?}"
            );
        }
    }
    assert_eq!(approved("kelp-and-rock").code, 1, "it is locked still");
    recovered("unlock", &code).success();
    approved("kelp-and-rock").success();
    assert_eq!(decision(session), "allow");

    // Forgotten: the key goes, by its code alone, and another takes its place.
    recovered("remove", &code).success();
    let next = enroll("rock-and-kelp");
    assert_ne!(next, code);
    let session = asking(&world, "git push --force origin main");
    assert_eq!(approved("kelp-and-rock").code, 1);
    approved("rock-and-kelp").success();
    assert_eq!(decision(session), "allow");
    assert_eq!(
        recovered("remove", &code).code,
        1,
        "a code serves its own key"
    );
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "50"])
        .success();
    for event in [
        "unlocked by its recovery code",
        "given up by its recovery code",
    ] {
        assert!(record.contains(event), "{event} is missing:\n{record}");
    }
}

fn keep(world: &World, name: &str) -> Ran {
    let value = world.scratch.private("value", "glpat-Zq7Wn3Vx9Ld2Rk5Tb8Yc");
    let git = ["--git", "https://git.example/org", "--username", "agent"];
    let add = [
        &["secrets", "add", name],
        &git[..],
        &["--value-file", &value],
    ]
    .concat();
    world.broker.holdfast(&add)
}

fn recover(world: &World, code: &str) -> Ran {
    let file = world.scratch.private("code", code);
    world
        .broker
        .holdfast(&["secrets", "recover", "--code-file", &file])
}

/// OPERATIONS.md, "A new board": the same disk in a machine with another TPM.
#[test]
fn a_host_whose_board_was_replaced_starts_over_as_another_host_and_its_old_log_is_still_judged() {
    let mut world = World::enrolled();
    let host = |world: &World| {
        let status = world.broker.holdfast(&["status", "--json"]).success();
        let status: Value = serde_json::from_str(&status).unwrap();
        let id = status["node"]["spiffe_id"].as_str().unwrap();
        id.rsplit('/').next().unwrap().to_owned()
    };
    let old = host(&world);
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.broker.stop();

    // Another TPM answers at the same place.
    let board = Swtpm::with_ek(EkKind::Rsa2048, &world.ek_authority);
    let config = fs::read_to_string(world.broker.config()).unwrap();
    let there = board.ports().command().to_string();
    let here = world.proxy.ports().command().to_string();
    fs::write(world.broker.config(), config.replace(&here, &there)).unwrap();
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(
        words.contains("is not the one of this host's provisioning"),
        "{words}"
    );

    // As the procedure says: the old state goes aside, the old host is revoked, the new one enrolls.
    let aside = world.scratch.join("aside");
    fs::rename(world.broker.state(), &aside).unwrap();
    world.broker.resume(&world.scratch);
    let why = ["host", "revoke", &old, "--why", "its board was replaced"];
    world.attestor.run(&why);
    world.enroll().success();
    let new = host(&world);
    assert_ne!(new, old);
    let hosts = world.attestor.run(&["host", "list", "--json"]);
    let hosts: Value = serde_json::from_str(&hosts).unwrap();
    assert_eq!(hosts.as_array().unwrap().len(), 2, "{hosts:#}");

    // What the old one recorded is with the attestor, and is judged as before.
    let verified = world.attestor.run(&["audit", "verify", &old, "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(
        verified[0]["findings"],
        serde_json::json!([]),
        "{verified:#}"
    );
    world.broker.stop();
}

/// OPERATIONS.md, "It is gone" and "Break glass": another attestor takes the host as it is.
#[test]
fn a_host_moves_to_another_attestor_with_its_secrets_and_its_log() {
    let mut world = World::enrolled();
    let secrets = ["secrets", "init", "--headless"];
    world.broker.holdfast(&secrets).success();
    keep(&world, "first").success();
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.attestor.kill();

    let scratch = Scratch::new();
    let other = Attestor::start_as(
        &scratch,
        "run-by = \"owner\"\n[enrollment]\naccept-simulated = true\n",
    );
    let token = world.scratch.write("token", other.token());
    let token = token.display().to_string();
    let enroll = ["enroll", &other.url(), "--token-file", &token];
    let words = world.broker.holdfast(&enroll).success();
    assert!(words.contains("SELF-ATTESTED"), "{words}");
    let status = world.broker.holdfast(&["status"]).success();
    assert!(status.contains("SELF-ATTESTED"), "{status}");
    keep(&world, "second").success();
    let listed = world.broker.holdfast(&["secrets", "list"]).success();
    assert!(
        listed.contains("first") && listed.contains("second"),
        "{listed}"
    );
    world.broker.holdfast(&["audit", "verify"]).success();

    // The new one gets the whole log, from before it knew the host.
    wait_until(Duration::from_secs(60), "the log is mirrored", || {
        let status = world.broker.holdfast(&["status", "--json"]).success();
        let status: Value = serde_json::from_str(&status).unwrap();
        status["mirror"]["mirror"] == "current"
    });
    let logs: Value = serde_json::from_str(&other.run(&["audit", "list", "--json"])).unwrap();
    let host = logs[0]["host"].as_str().unwrap().to_owned();
    let verified = other.run(&["audit", "verify", &host, "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(
        verified[0]["findings"],
        serde_json::json!([]),
        "{verified:#}"
    );
    world.broker.stop();
    world.broker.resume(&world.scratch);
    world.attested();
}
