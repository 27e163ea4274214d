//! Promise 1 stands on the authority's keys: with a passphrase none of them lies plain, and all goes on as before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use holdfast_hardware_tests::harness::{Scratch, bin};
use holdfast_hardware_tests::world::{Attestor, World};
use serde_json::Value;

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn no_private_key_of_the_attestor_lies_plain() {
    let world = World::start_under(|scratch, _, _| {
        let file = scratch.private("passphrase", PASSPHRASE);
        Attestor::start_with(scratch, &format!("[keys]\npassphrase-file = \"{file}\"\n"))
    });
    let state = world.scratch.join("attestor");
    assert_eq!(
        keys(&state),
        Keys {
            plain: 0,
            encrypted: 3
        }
    );
    assert!(!world.attestor.log().contains(PASSPHRASE));
    world.enroll().success();
    world.attested();
    world.attestor.run(&["authority", "prepare"]);
    assert_eq!(
        keys(&state),
        Keys {
            plain: 0,
            encrypted: 5
        }
    );

    // A stock tool opens them by the passphrase and no other.
    for name in ["ca.key.pem", "jwt.key.pem", "ca.2.key.pem"] {
        let key = state.join(name);
        let opens = |pass: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkcs8", "-out", "/dev/null", "-passin"]);
            let pass = format!("pass:{pass}");
            let output = openssl.arg(pass).arg("-in").arg(&key).output().unwrap();
            output.status.success()
        };
        assert!(opens(PASSPHRASE), "{name}");
        assert!(!opens("another passphrase"), "{name}");
    }

    // The same keys sign: the node SVID verifies by the first of the bundle, after another start too.
    let status = world.broker.holdfast(&["status", "--renew"]);
    status.success();
    let status = world.broker.holdfast(&["status", "--json"]).success();
    let status: Value = serde_json::from_str(&status).unwrap();
    let chain = status["node"]["chain_pem"].as_str().unwrap().to_owned();
    let chain = world.scratch.write("chain.pem", chain);
    let bundle = world.attestor.run(&["bundle", "show"]);
    let bundle = world.scratch.write("bundle.pem", bundle);
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .args([&bundle, &chain])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn plain_keys_are_encrypted_and_then_want_their_passphrase() {
    let scratch = Scratch::new();
    let state = scratch.join("attestor");
    let mut attestor = Attestor::start(&scratch);
    let bundle = attestor.run(&["bundle", "show"]);
    assert_eq!(
        keys(&state),
        Keys {
            plain: 3,
            encrypted: 0
        }
    );
    attestor.kill();
    let without = fs::read_to_string(attestor.config()).unwrap();
    let words = refused(&attestor, &["authority", "encrypt"], 2);
    assert!(words.contains("names no passphrase"), "{words}");

    let file = scratch.private("passphrase", PASSPHRASE);
    let with = format!("{without}[keys]\npassphrase-file = \"{file}\"\n");
    fs::write(attestor.config(), with).unwrap();
    attestor.resume(&scratch);
    let told = attestor.run(&["authority", "encrypt"]);
    assert_eq!(told.matches("encrypted `").count(), 3, "{told}");
    assert_eq!(
        keys(&state),
        Keys {
            plain: 0,
            encrypted: 3
        }
    );
    let again = attestor.run(&["authority", "encrypt"]);
    assert_eq!(again.trim(), "no key lay plain");
    attestor.kill();
    attestor.resume(&scratch);
    assert_eq!(attestor.run(&["bundle", "show"]), bundle);
    attestor.kill();

    scratch.private("passphrase", "another passphrase");
    let words = refused(&attestor, &["serve"], 1);
    assert!(
        words.contains("is not opened by the configured passphrase"),
        "{words}"
    );
    assert!(words.contains("next: "), "{words}");
    fs::write(attestor.config(), without).unwrap();
    let words = refused(&attestor, &["serve"], 1);
    assert!(
        words.contains("is encrypted, and the configuration names no passphrase"),
        "{words}"
    );
    assert!(words.contains("next: name the file"), "{words}");
}

#[test]
fn a_new_state_folder_never_has_a_plain_key() {
    let scratch = Scratch::new();
    let file = scratch.private("passphrase", PASSPHRASE);
    let state = scratch.join("state");
    let made = Command::new(bin("holdfast-attestor"))
        .args(["init", "--trust-domain", "world.test", "--state"])
        .arg(&state)
        .args(["--passphrase-file", &file])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(
        keys(&state),
        Keys {
            plain: 0,
            encrypted: 3
        }
    );
}

/// How many files of a state folder hold private keys, and how.
#[derive(Debug, PartialEq, Eq)]
struct Keys {
    plain: usize,
    encrypted: usize,
}

fn keys(state: &Path) -> Keys {
    let mut keys = Keys {
        plain: 0,
        encrypted: 0,
    };
    for entry in fs::read_dir(state).unwrap() {
        let entry = entry.unwrap();
        let content = fs::read(entry.path()).unwrap();
        let content = String::from_utf8_lossy(&content);
        keys.plain += usize::from(content.contains("BEGIN PRIVATE KEY"));
        if content.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            keys.encrypted += 1;
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
    keys
}

/// What the attestor's command says when it fails.
fn refused(attestor: &Attestor, arguments: &[&str], code: i32) -> String {
    let output: Output = Command::new(bin("holdfast-attestor"))
        .arg("--config")
        .arg(attestor.config())
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
