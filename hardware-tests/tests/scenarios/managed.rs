//! The broker's edges as an operator meets them: configuration, one broker per folder, who may manage, an attestor that is
//! away.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use holdfast_hardware_tests::harness::{
    CountingProxy, DelayProfile, EkAuthority, EkKind, Scratch, Swtpm, bin, skipped,
};
use holdfast_hardware_tests::world::{Broker, World};
use serde_json::Value;

/// Nobody's on this machine.
const STRANGER: u32 = 4242;

#[test]
fn a_second_broker_on_the_same_folder_refuses() {
    let mut world = World::start();
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    let state = world.broker.state().display();
    assert!(
        words.contains(&format!(
            "another holdfastd uses `{state}`; stop it, or give this one a state folder of its own"
        )),
        "{words}"
    );
    // The first goes on, with its socket.
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_file_line_and_key() {
    let mut world = World::start();
    world.broker.stop();
    let config = world.broker.config().to_owned();
    let text = fs::read_to_string(&config).unwrap();
    let line = text.lines().count() + 2;
    fs::write(&config, text + "[audit]\ncheckpoint-second = 5\n").unwrap();

    let (code, words) = world.broker.attempt(&world.scratch);
    let checked = world
        .broker
        .holdfast(&["config", "check", config.to_str().unwrap()]);
    for (code, words) in [(code, words), (checked.code, checked.stderr)] {
        assert_eq!(code, 2, "{words}");
        for named in [
            config.to_str().unwrap(),
            &format!("line {line}"),
            "`checkpoint-second`",
            "expected one of `checkpoint-seconds`",
        ] {
            assert!(words.contains(named), "{named} is not in: {words}");
        }
    }
}

#[test]
fn a_stranger_may_not_manage_and_a_named_uid_may() {
    let mut world = World::enrolled();
    if !rustix::process::geteuid().is_root() {
        skipped("to be another uid needs root");
        return;
    }
    // What lies on the way to the socket may be passed; the folder of secrets stays shut.
    let program = world.scratch.join("holdfast-cli");
    fs::copy(bin("holdfast"), &program).unwrap();
    fs::set_permissions(world.scratch.path(), Permissions::from_mode(0o711)).unwrap();
    let token = world
        .scratch
        .write("strangers-token", world.attestor.token());
    let url = world.attestor.url();
    let standing = || {
        let status = world.broker.holdfast(&["status", "--json"]).success();
        let mut status: Value = serde_json::from_str(&status).unwrap();
        // It goes on by itself.
        assert!(status.as_object_mut().unwrap().remove("clock").is_some());
        status
    };
    let before = standing();

    for arguments in [
        &["status"][..],
        &["status", "--renew"],
        &["enroll", &url, "--token-file", token.to_str().unwrap()],
        &["audit", "tail"],
        &["audit", "verify"],
        &["audit", "checkpoint"],
        &["audit", "export"],
    ] {
        let (code, stdout, stderr) = as_stranger(&program, &world.broker, arguments);
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("uid 4242 may not manage Holdfast on this machine")
                && stderr.contains("next: "),
            "{arguments:?}: {stderr}"
        );
    }
    assert_eq!(standing(), before, "nothing was done, nothing recorded");

    world.broker.stop();
    let config = world.broker.config();
    let text = fs::read_to_string(config).unwrap();
    fs::write(config, format!("{text}[management]\nuids = [{STRANGER}]\n")).unwrap();
    world.broker.resume(&world.scratch);
    let (code, stdout, stderr) = as_stranger(&program, &world.broker, &["audit", "tail"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("holdfastd"), "{stdout}");
}

#[test]
fn a_simulator_outlives_no_broker_that_was_killed() {
    let scratch = Scratch::new();
    let mut broker = Broker::start(&scratch, "simulator");
    let first = broker.holdfast(&["audit", "checkpoint"]).success();
    broker.kill();
    broker.resume(&scratch);
    // The same TPM: it remembers what it counted.
    broker.holdfast(&["audit", "verify"]).success();
    assert_ne!(broker.holdfast(&["audit", "checkpoint"]).success(), first);
    broker.stop();
}

#[test]
fn an_attestor_that_is_away_is_said_and_waited_for() {
    let mut world = World::enrolled();
    let node = || {
        let status = world.broker.holdfast(&["status", "--json"]).success();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["node"].clone()
    };
    let before = node();
    world.attestor.kill();

    // The identity lasts as long as its certificate.
    assert_eq!(before["state"], "attested");
    assert_eq!(node(), before);
    let renewed = world.broker.holdfast(&["status", "--renew"]);
    assert_eq!(renewed.code, 5, "{renewed:#?}");
    let url = world.attestor.url();
    let address = url.strip_prefix("https://").unwrap();
    assert!(renewed.stderr.contains(address), "{renewed:#?}");
    assert!(
        renewed
            .stderr
            .contains("next: see whether the attestor runs at that address"),
        "{renewed:#?}"
    );
    let tail = world
        .broker
        .holdfast(&["audit", "tail", "-n", "1"])
        .success();
    assert!(tail.contains("not attested: "), "{tail}");
    world.broker.holdfast(&["status"]).success();

    world.attestor.resume(&world.scratch);
    world.broker.holdfast(&["status", "--renew"]).success();
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn a_token_stays_used_when_the_attestor_is_killed() {
    let mut world = World::start();
    let token = world.scratch.write("token", world.attestor.token());
    let enroll = [
        "enroll",
        &world.attestor.url(),
        "--token-file",
        token.to_str().unwrap(),
    ];
    world.broker.holdfast(&enroll).success();
    world.attestor.kill();
    world.attestor.resume(&world.scratch);

    // Another machine finds the token.
    let scratch = Scratch::new();
    let ek_authority = EkAuthority::new();
    let tpm = Swtpm::with_ek(EkKind::Rsa2048, &ek_authority);
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let device = format!("swtpm:{}", proxy.ports().command());
    let thief = Broker::start(&scratch, &device);
    let refused = thief.holdfast(&enroll);
    assert_eq!(refused.code, 5, "{refused:#?}");
    assert!(
        refused.stderr.contains("enrollment refused: token")
            && refused.stderr.contains("next: a token serves once"),
        "{refused:#?}"
    );
    assert_eq!(thief.holdfast(&["status"]).code, 5);
    let hosts = world.attestor.run(&["host", "list", "--json"]);
    let hosts: serde_json::Value = serde_json::from_str(&hosts).unwrap();
    assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
}

fn as_stranger(program: &Path, broker: &Broker, arguments: &[&str]) -> (i32, String, String) {
    let uid = STRANGER.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"])
        .arg(program)
        .arg("--socket")
        .arg(broker.socket())
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
