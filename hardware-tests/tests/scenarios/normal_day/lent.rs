//! What the human names comes in, is recorded, and ends where it must.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;
use serde_json::{Value, json};

use crate::support::Human;

const PATH: &str = "/usr/bin:/bin";

#[test]
fn what_the_human_names_comes_in_and_is_recorded() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    human.put("docs/guide.txt", "read me");
    human.put("data/table.csv", "1");
    let (docs, data) = (human.home().join("docs"), human.home().join("data"));
    let (docs, data) = (docs.display().to_string(), data.display().to_string());
    let script = format!(
        "cat {docs}/guide.txt; echo 2 >> {data}/table.csv; echo x > {docs}/new && echo DOCS-WRITTEN; ls ~"
    );
    let flags = ["--ro", &docs, "--rw", &data, "--"];
    let ran = human.run(&project, &flags, &["sh", "-c", &script], PATH);
    assert!(ran.stdout.starts_with("read me"), "{ran:#?}");
    assert!(!ran.stdout.contains("DOCS-WRITTEN"), "{ran:#?}");
    let table = human.home().join("data/table.csv");
    assert_eq!(fs::read_to_string(&table).unwrap(), "12\n");

    let record = world.broker.holdfast(&["audit", "tail"]).success();
    let said = format!("given --rw {data}, --ro {docs}");
    assert!(record.contains(&said), "{said} is missing:\n{record}");

    // Without the flags it is not there.
    let ran = human.run(&project, &["--"], &["sh", "-c", &script], PATH);
    assert!(!ran.stdout.contains("read me"), "{ran:#?}");
}

#[test]
fn what_is_never_lent_is_refused_with_words() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    human.put(".ssh/id_ed25519", "hunter2");
    human.put(".cargo/credentials.toml", "hunter2");
    human.put(".config/holdfast/profiles/x.toml", "");
    std::os::unix::fs::symlink(human.home().join(".ssh"), human.home().join("harmless")).unwrap();
    let home = |name: &str| human.home().join(name).display().to_string();
    let state = world.broker.state().display().to_string();
    let sockets = world
        .broker
        .socket()
        .parent()
        .unwrap()
        .display()
        .to_string();
    for (flag, place, word) in [
        ("--ro", "/".to_owned(), ""),
        ("--ro", home(""), "whole home"),
        ("--rw", home(""), "whole home"),
        ("--ro", "/proc".to_owned(), ""),
        ("--ro", "/dev".to_owned(), ""),
        ("--ro", "/run".to_owned(), ""),
        ("--ro", "/etc".to_owned(), "Holdfast's own"),
        ("--ro", state, "Holdfast's own"),
        ("--ro", sockets, "Holdfast's own"),
        ("--ro", home(".config/holdfast"), "Holdfast's own"),
        ("--ro", home(".ssh"), "secrets"),
        ("--ro", home(".cargo"), "secrets"),
        ("--ro", home("harmless"), "secrets"),
        ("--rw", "/opt".to_owned(), "belongs to uid 0"),
    ] {
        let ran = human.run(&project, &[flag, &place, "--"], &["echo", "RAN"], PATH);
        assert_eq!(ran.code, 2, "{flag} {place}: {ran:#?}");
        assert!(ran.stderr.contains(word), "{flag} {place}: {ran:#?}");
        assert!(!ran.stdout.contains("RAN"), "{flag} {place}: {ran:#?}");
    }
    // Nor is a home a project, nor what a home's name leads to lent.
    let ran = human.run(human.home(), &["--"], &["echo", "RAN"], PATH);
    assert_eq!(ran.code, 2, "{ran:#?}");
    let named = world.scratch.join("named-home");
    std::os::unix::fs::symlink(human.home(), &named).unwrap();
    let flags = ["--ro", &home(""), "--"];
    let ran = human.run_at(&named, &project, &flags, &["echo", "RAN"], PATH);
    assert!(ran.stderr.contains("whole home"), "{ran:#?}");
}

#[test]
fn a_host_may_say_that_nothing_is_lent() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.declare("[sessions.lend]\nwrite = \"refuse\"\nnever = [\"/opt\"]");
    let human = Human::new(&world);
    let project = human.project("app");
    let data = human.folder("data").display().to_string();
    let ran = |flag, place: &str| human.run(&project, &[flag, place, "--"], &["echo", "RAN"], PATH);
    for (flag, place) in [("--rw", data.as_str()), ("--ro", "/opt")] {
        let refused = ran(flag, place);
        assert_eq!(refused.code, 3, "{refused:#?}");
        assert!(refused.stderr.contains("configuration"), "{refused:#?}");
    }
    assert_eq!(ran("--ro", &data).stdout, "RAN\n");
}

#[test]
fn a_denial_names_the_path_and_the_flag_that_would_lend_it() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let call = json!({
        "hook_event_name": "PreToolUse",
        "cwd": project,
        "tool_name": "Write",
        "tool_use_id": "toolu_1",
        "tool_input": {"file_path": "/srv/site/index.html", "content": "x"},
    });
    fs::write(project.join("call.json"), call.to_string()).unwrap();
    let hook = "/opt/holdfast/libexec/holdfast-hook claude < call.json";
    let mut command = world.broker.holdfast_command();
    let session = command
        .current_dir(&project)
        .args(["run", "--", "sh", "-c", hook])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let questions = || -> Vec<Value> {
        let listed = world.broker.holdfast(&["approvals", "--json"]).success();
        serde_json::from_str(&listed).unwrap()
    };
    wait_until(Duration::from_secs(15), "a question", || {
        !questions().is_empty()
    });
    let id = questions()[0]["call"].as_str().unwrap().to_owned();
    world.broker.holdfast(&["approvals", "deny", &id]).success();
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for word in ["/srv/site/index.html", "holdfast run --rw /srv/site"] {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}
