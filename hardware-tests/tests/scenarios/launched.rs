//! What runs is what was measured, as the kind that it is.

mod agents;
mod runner;
mod stage;
mod swapped;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use self::stage::{CODEX, Stage};

#[test]
fn a_command_of_a_package_runs_from_its_measured_copy() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.run(&[], &[&stage.command("codex"), "--flag", "text"]);
    let output = ran.success();
    assert!(output.contains("argv --flag text\n"), "{output}");
    assert!(output.contains("dependency found\n"), "{output}");
    let place = format!("/opt/holdfast/package/node_modules/{CODEX}");
    assert!(output.contains(&format!("script {place}\n")), "{output}");
    // Its neighbours, of which it needs nothing, are not there.
    assert!(output.contains("neighbour absent\n"), "{output}");
    assert!(output.contains("written EROFS\n"), "{output}");

    let session = stage.last_session();
    assert_eq!(session["kind"], "codex");
    assert_eq!(session["package"]["name"], "@openai/codex");
    let digest = session["package"]["digest"].as_str().unwrap().to_owned();
    let record = stage.world.broker.holdfast(&["audit", "tail", "--json"]);
    let record = record.success();
    assert!(record.contains(&digest), "{record}");
    // The same files are the same package; another byte is another.
    stage.run(&[], &[&stage.command("codex")]).success();
    assert_eq!(stage.last_session()["package"]["digest"], digest.as_str());
    fs::write(stage.packages().join("dependency/index.js"), "// other\n").unwrap();
    stage.run(&[], &[&stage.command("codex")]);
    assert_ne!(stage.last_session()["package"]["digest"], digest.as_str());
}

#[test]
fn a_package_that_is_rewritten_while_it_runs_stays_what_it_was() {
    let Some(stage) = Stage::new() else { return };
    let mut session = stage
        .holdfast(&[], &[&stage.command("codex"), "--wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(session.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| {
        let found = lines.by_ref().find(|line| {
            let line = line.as_ref().unwrap();
            line.starts_with(wanted)
        });
        found.unwrap_or_else(|| panic!("no `{wanted}`")).unwrap()
    };
    until("waiting");
    // In place, by another file, and by a link: three ways of being another package.
    let package = stage.packages().join("@openai/codex");
    fs::write(package.join("late.js"), "module.exports = 'rewritten'\n").unwrap();
    let evil = stage.write("evil.js", "module.exports = 'renamed over'\n");
    fs::rename(evil, package.join("later.js")).unwrap();
    let evil = stage.write("evil/index.js", "module.exports = 'swapped'\n");
    let dependency = stage.packages().join("dependency");
    fs::rename(&dependency, stage.packages().join("moved")).unwrap();
    symlink(evil.parent().unwrap(), &dependency).unwrap();
    drop(session.stdin.take());
    assert_eq!(until("late"), "late original original found");
    assert!(session.wait().unwrap().success());
}

#[test]
fn a_kind_is_not_to_be_had_for_the_asking() {
    let Some(stage) = Stage::new() else { return };
    let refused = |word: &str| {
        let ran = stage.run(&["--agent", "codex"], &[word, "-c", "echo RAN"]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(!ran.stdout.contains("RAN"), "{ran:#?}");
        assert!(ran.stderr.contains("is not codex"), "{ran:#?}");
    };
    refused("bash");
    refused("node");
    // A script that calls itself so, a package that is another, a file of the right package that is no
    // command of its.
    let script = stage.write("bin/codex", "#!/bin/sh\necho RAN\n");
    stage::executable(&script);
    refused(script.to_str().unwrap());
    refused(&stage.command("other"));
    let inner = stage.packages().join("@openai/codex/late.js");
    fs::write(&inner, "#!/usr/bin/env node\nconsole.log('RAN')\n").unwrap();
    stage::executable(&inner);
    refused(inner.to_str().unwrap());
    // Unasked, each is what it is: any command.
    stage.run(&[], &[script.to_str().unwrap()]).success();
    assert_eq!(stage.last_session()["kind"], "shell");
    stage.run(&[], &[&stage.command("other")]).success();
    assert_eq!(stage.last_session()["kind"], "shell");
}

#[test]
fn what_the_host_does_not_list_is_not_launched() {
    let Some(stage) = Stage::with(
        "[launch]\nallow = \"listed\"\nprograms = [{ kind = \"shell\", sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\" }]\n",
    ) else {
        return;
    };
    let ran = stage.run(&[], &["bash", "-c", "echo RAN"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(!ran.stdout.contains("RAN"), "{ran:#?}");
    let line = |stderr: &str| {
        let mut quoted = stderr.split('`');
        let line = quoted.find(|part| part.starts_with("{ kind"));
        line.unwrap_or_else(|| panic!("no line in {stderr}"))
            .to_owned()
    };
    let bash = line(&ran.stderr);
    assert!(
        bash.starts_with("{ kind = \"shell\", sha256 = \""),
        "{bash}"
    );
    let ran = stage.run(&[], &[&stage.command("codex")]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let codex = line(&ran.stderr);
    assert!(codex.contains("package = \""), "{codex}");
    let record = stage.world.broker.holdfast(&["audit", "tail"]).success();
    assert!(record.contains("was not launched"), "{record}");
    drop(stage);

    // The lines that the refusals named, and nothing else.
    let config = format!("[launch]\nallow = \"listed\"\nprograms = [{bash}, {codex}]\n");
    let Some(stage) = Stage::with(&config) else {
        return;
    };
    stage.run(&[], &["bash", "-c", "true"]).success();
    assert_eq!(stage.run(&[], &["sh", "-c", "true"]).code, 3);
    stage.run(&[], &[&stage.command("codex")]).success();
    assert_eq!(stage.last_session()["kind"], "codex");
    // The listed interpreter, without the listed package.
    assert_eq!(stage.run(&[], &["node", "-e", "1"]).code, 3);
    assert_eq!(stage.run(&[], &[&stage.command("other")]).code, 3);
}

#[test]
fn a_python_environment_finds_its_own_modules() {
    let Some(stage) = Stage::new() else { return };
    let environment = stage.folder().join("env");
    let made = std::process::Command::new("/usr/bin/python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&environment)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        holdfast_hardware_tests::harness::skipped("no venv module: install python3-venv");
        return;
    }
    let mut site = fs::read_dir(environment.join("lib")).unwrap();
    let site = site.next().unwrap().unwrap().path().join("site-packages");
    fs::write(site.join("only_here.py"), "NAME = 'found'\n").unwrap();
    let script = environment.join("bin/tool");
    let content = format!(
        "#!{}/bin/python\nimport sys, only_here\nprint(only_here.NAME, sys.prefix, sys.argv[1:])\n",
        environment.display()
    );
    fs::write(&script, content).unwrap();
    stage::executable(&script);
    let output = stage.run(&[], &[script.to_str().unwrap(), "x"]).success();
    assert_eq!(output, "found /opt/holdfast/package/env ['x']\n");
    assert_eq!(stage.last_session()["package"]["script"], "bin/tool");
}

#[test]
fn what_not_everybody_may_read_is_not_read_for_anybody() {
    use std::os::unix::fs::PermissionsExt;
    let Some(stage) = Stage::new() else { return };
    let private = stage.packages().join("@openai/codex/late.js");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = stage.run(&[], &[&stage.command("codex")]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("late.js"), "{ran:#?}");
    assert!(ran.stderr.contains("chmod"), "{ran:#?}");
}
