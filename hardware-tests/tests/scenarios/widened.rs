//! What a human gives a session beyond its usual world is the host's policy's to allow, to ask about, or to forbid; and
//! on record.

mod raw;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Tmux, bin, wait_until};
use holdfast_hardware_tests::world::{Ran, World};

use super::asked::{question, questions};

const PATIENCE: Duration = Duration::from_secs(60);

/// The example that comes with Holdfast.
const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/policy/widenings.cedar"
);

/// A host whose policy asks about widenings.
fn narrow() -> Option<World> {
    World::sealed_with(&format!("[policy]\nfiles = [\"{EXAMPLE}\"]\n"))
}

fn project(world: &World) -> PathBuf {
    world.scratch.folder("project")
}

/// `holdfast run` of this project, with `flags`.
fn run(world: &World, flags: &[&str], script: &str) -> Command {
    let mut command = world.broker.holdfast_command();
    command.current_dir(project(world)).arg("run").args(flags);
    command.args(["--", "sh", "-c", script]);
    command
}

/// The same, as far as its question.
fn waits(world: &World, flags: &[&str], script: &str) -> (Child, String) {
    let waiting = run(world, flags, script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (waiting, question(world))
}

fn ended(waiting: Child) -> Ran {
    let output = waiting.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder outside of the project, and its name.
fn lent(world: &World, name: &str) -> String {
    let folder = world.scratch.folder(name);
    fs::write(folder.join("text"), format!("{name}\n")).unwrap();
    folder.display().to_string()
}

fn record(world: &World) -> String {
    world.broker.holdfast(&["audit", "export"]).success()
}

/// The record of the one launch.
fn launch(world: &World) -> serde_json::Value {
    let record = record(world);
    let mut launches = record.lines().filter(|line| line.contains("\"Launch\""));
    let launch = launches.next().expect("a launch is on record");
    assert!(launches.next().is_none(), "{record}");
    serde_json::from_str(launch).unwrap()
}

#[test]
fn what_the_policy_asks_about_waits_and_begins_when_its_human_approves() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let script = format!("cat {data}/text");
    let (waiting, id) = waits(&world, &["--ro", &data], &script);
    let card = &questions(&world)[0];
    let asked = format!(
        "Lend `{data}` for reading to shell in `{}`",
        project(&world).display()
    );
    assert_eq!(card["headline"], asked.as_str(), "{card:#}");
    assert!(world.sessions().is_empty(), "nothing runs yet");

    let approve = ["approvals", "approve", &id];
    world.broker.holdfast(&approve).success();
    let ran = ended(waiting);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "data\n"), "{ran:#?}");
    let told = format!("holdfast approvals approve {id}");
    for words in ["nothing runs yet", asked.as_str(), told.as_str()] {
        assert!(ran.stderr.contains(words), "{words} is missing: {ran:#?}");
    }
    assert!(questions(&world).is_empty());

    let beyond = &launch(&world)["unmapped"]["beyond"];
    assert_eq!(beyond["widenings"][0]["what"], data.as_str(), "{beyond:#}");
    assert_eq!(beyond["leave"]["call"], id.as_str(), "{beyond:#}");
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn what_its_human_denies_does_not_begin() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let (waiting, id) = waits(&world, &["--ro", &data], "echo ran");
    world.broker.holdfast(&["approvals", "deny", &id]).success();
    let ran = ended(waiting);
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{ran:#?}");
    assert!(ran.stderr.contains("leave out what was denied"), "{ran:#?}");
    assert!(!record(&world).contains("\"Launch\""));
    assert!(world.sessions().is_empty());
}

#[test]
fn what_the_policy_wants_a_pin_for_no_click_gives() {
    let Some(world) = narrow() else { return };
    let pin = world.scratch.private("pin", "kelp-and-rock");
    let factors = ["factors", "enroll", "--pin-file", &pin];
    world.broker.holdfast(&factors).success();
    let data = lent(&world, "data");
    let script = format!("echo mine > {data}/text");
    let (waiting, id) = waits(&world, &["--rw", &data], &script);
    assert_eq!(questions(&world)[0]["tier"], "R2");
    let click = world.broker.holdfast(&["approvals", "approve", &id]);
    assert_ne!(click.code, 0, "{click:#?}");
    let approve = ["approvals", "approve", &id, "--pin-file", &pin];
    world.broker.holdfast(&approve).success();
    assert_eq!(ended(waiting).code, 0);
    assert_eq!(
        fs::read_to_string(Path::new(&data).join("text")).unwrap(),
        "mine\n"
    );
}

#[test]
fn what_the_policy_forbids_is_refused_with_its_reason() {
    let Some(world) = narrow() else { return };
    let ran = Ran::of(&mut run(&world, &["--publish", "8000"], "echo ran"));
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:#?}");
    for words in ["sessions show no ports on this host", "leave the flag out"] {
        assert!(ran.stderr.contains(words), "{words} is missing: {ran:#?}");
    }
    assert!(questions(&world).is_empty());
    assert!(
        record(&world).contains("host/publish") || record(&world).contains("widenings/publish")
    );
}

#[test]
fn what_would_be_asked_is_shown_before_it_is() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let flags = ["--show", "--ro", &data, "--publish", "8000"];
    let shown = Ran::of(&mut run(&world, &flags, "true")).success();
    let read = format!("R1: --ro {data}, before it begins");
    for line in [read.as_str(), "never: --publish 8000, before it begins"] {
        assert!(shown.contains(line), "{line} is missing: {shown}");
    }
    assert!(questions(&world).is_empty());
}

#[test]
fn without_a_policy_of_the_hosts_the_flag_is_word_enough_and_on_record() {
    let Some(world) = World::sealed() else { return };
    let (data, docs) = (lent(&world, "data"), lent(&world, "docs"));
    let script = format!("cat {docs}/text && echo mine > {data}/text");
    let flags = [
        "--rw",
        &data,
        "--ro",
        &docs,
        "--reach",
        "localhost:9",
        "--host",
        "a.example",
    ];
    let ran = Ran::of(&mut run(&world, &flags, &script));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "docs\n"), "{ran:#?}");
    assert!(!ran.stderr.contains("nothing runs yet"), "{ran:#?}");
    let beyond = &launch(&world)["unmapped"]["beyond"];
    let widenings = beyond["widenings"].as_array().unwrap();
    let given: Vec<String> = widenings
        .iter()
        .map(|one| format!("{} {}", one["way"], one["what"]).replace('"', ""))
        .collect();
    let (data, docs) = (format!("write {data}"), format!("read {docs}"));
    assert_eq!(
        given,
        ["reach localhost:9", "host a.example", &data, &docs],
        "{beyond:#}"
    );
    assert_eq!(
        beyond["leave"]["because"]["rule"], "default/widening",
        "{beyond:#}"
    );
}

#[test]
fn a_link_hides_no_place_from_the_policy() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let link = world.scratch.join("link").display().to_string();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let (waiting, id) = waits(&world, &["--ro", &link], "true");
    let asked = questions(&world)[0]["effects"].to_string();
    for place in [&data, &link] {
        assert!(asked.contains(place.as_str()), "{asked}");
    }
    world.broker.holdfast(&["approvals", "deny", &id]).success();
    assert_eq!(ended(waiting).code, 4);
}

#[test]
fn ctrl_z_lets_the_question_wait_and_ctrl_c_takes_it_back() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "--noprofile", "-i"])
        .current_dir(project(&world))
        .env("PS1", "at: ")
        .env("XDG_STATE_HOME", world.scratch.folder("state"));
    let terminal = Tmux::open(&world.scratch, "shell", &shell, (120, 24));
    terminal.shows("at:");
    terminal.line(&format!(
        "alias run='{} --socket {} run --no-snapshot'; clear",
        bin("holdfast").display(),
        world.broker.socket().display()
    ));
    terminal.line(&format!("run --ro {data} -- sh -c 'echo r\"\"an'"));
    terminal.shows("Ctrl-C takes the question back");
    let id = question(&world);
    terminal.key("C-z");
    terminal.shows("Stopped");
    assert_eq!(question(&world), id, "it waits on");
    terminal.line("clear; fg");
    terminal.shows("run --no-snapshot --ro");
    assert_eq!(question(&world), id, "it waits on");
    terminal.key("C-c");
    terminal.shows("interrupted: the question was taken back");
    terminal.line("echo code $?");
    terminal.shows("code 1");
    assert!(questions(&world).is_empty());
    let late = world.broker.holdfast(&["approvals", "approve", &id]);
    assert_ne!(late.code, 0, "{late:#?}");
    assert!(record(&world).contains("approval/withdrawn"));
    assert!(!record(&world).contains("\"Launch\""));
}

#[test]
fn a_command_that_is_killed_leaves_no_question_behind() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let (mut waiting, _) = waits(&world, &["--ro", &data], "echo ran");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    wait_until(PATIENCE, "no question", || questions(&world).is_empty());
    assert!(record(&world).contains("approval/withdrawn"));
    assert!(world.sessions().is_empty());
}

#[test]
fn what_was_asked_before_the_host_was_stopped_begins_nothing() {
    let Some(world) = narrow() else { return };
    let data = lent(&world, "data");
    let (waiting, id) = waits(&world, &["--ro", &data], "echo ran");
    let hosts = world.attestor.run(&["host", "list", "--json"]);
    let hosts: serde_json::Value = serde_json::from_str(&hosts).unwrap();
    let host = hosts[0]["id"].as_str().unwrap();
    world.attestor.run(&["host", "ban", host]);
    let ran = ended(waiting);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:#?}");
    world.attestor.run(&["host", "unban", host]);
    world.attested();
    let late = world.broker.holdfast(&["approvals", "approve", &id]);
    assert_ne!(late.code, 0, "{late:#?}");
    assert!(!record(&world).contains("\"Launch\""));
}

#[test]
fn a_policy_that_is_wrong_keeps_the_broker_from_starting() {
    let mut world = World::start();
    world.broker.stop();
    let config = world.broker.config().to_owned();
    let before = fs::read_to_string(&config).unwrap();
    let wrong = world.scratch.write(
        "wrong.cedar",
        "@id(\"a\") @reason(\"b\") permit (principal, action, resource);",
    );
    let missing = world.scratch.join("missing.cedar");
    for (file, words) in [(&wrong, "wrong"), (&missing, "missing.cedar")] {
        let more = format!("[policy]\nfiles = [\"{}\"]\n", file.display());
        fs::write(&config, format!("{before}\n{more}")).unwrap();
        let (code, said) = world.broker.attempt(&world.scratch);
        assert_ne!(code, 0, "{said}");
        assert!(said.contains(words), "{said}");
        let checked = ["config", "check", &config.display().to_string()];
        let checked = world.broker.holdfast(&checked);
        assert_eq!(checked.code, 2, "{checked:#?}");
        assert!(checked.stderr.contains(words), "{checked:#?}");
    }
    fs::write(&config, before).unwrap();
    world.broker.resume(&world.scratch);
}
