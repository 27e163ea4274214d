//! What a recovery code is for, and that nothing else does it: a vault after a change of this machine's firmware, a PIN after
//! three wrong ones or none that is remembered.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use holdfast_hardware_tests::world::{Ran, World};
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
        let file = private(&world, "pin", pin);
        let enrolled = ["factors", "enroll", "--pin-file", &file, "--json"];
        let enrolled = world.broker.holdfast(&enrolled).success();
        let enrolled: Value = serde_json::from_str(&enrolled).unwrap();
        enrolled["recovery"].as_str().unwrap().to_owned()
    };
    let recovered = |act: &str, code: &str| {
        let file = private(&world, "code", code);
        world
            .broker
            .holdfast(&["factors", act, "--code-file", &file])
    };
    let approved = |pin: &str| {
        let call = questions(&world).remove(0)["call"]
            .as_str()
            .unwrap()
            .to_owned();
        let file = private(&world, "typed", pin);
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

/// A file that only its owner can read.
fn private(world: &World, name: &str, content: &str) -> String {
    let file = world.scratch.write(name, format!("{content}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

fn keep(world: &World, name: &str) -> Ran {
    let value = private(world, "value", "glpat-Zq7Wn3Vx9Ld2Rk5Tb8Yc");
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
    let file = private(world, "code", code);
    world
        .broker
        .holdfast(&["secrets", "recover", "--code-file", &file])
}
