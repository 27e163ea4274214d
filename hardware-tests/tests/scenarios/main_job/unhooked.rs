//! A real agent that is told by its own settings to run no hooks.

use std::fs;
use std::path::Path;

use holdfast_hardware_tests::harness::{ModelServer, bare_claude, claude};
use holdfast_hardware_tests::world::Ran;
use serde_json::{Value, json};

use super::stage::{Stage, said};
use super::{FORBIDDEN, bash, end};

/// Puts these settings below a folder where Claude Code reads them.
fn settings(folder: &Path, name: &str, settings: &Value) {
    let folder = folder.join(".claude");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), settings.to_string()).unwrap();
}

#[test]
fn an_agent_that_switches_its_hooks_off_is_asked_all_the_same() {
    let Some(stage) = Stage::set(&[bash(FORBIDDEN), bash("git push origin main"), end()]) else {
        return;
    };
    let off = json!({"disableAllHooks": true});
    for name in ["settings.json", "settings.local.json"] {
        settings(&stage.project, name, &off);
    }
    // Its own home is of its kind: a program of that name has it, too.
    let shell = stage.world.scratch.folder("bin").join("claude");
    fs::copy("/bin/bash", &shell).unwrap();
    let write = format!("mkdir -p ~/.claude && echo '{off}' > ~/.claude/settings.json");
    let look = "cat ~/.claude/settings.json .claude/settings.json";
    let shell = shell.display().to_string();
    let output = |script: &str| {
        let output = stage.session(&[&shell, "-c", script]).wait_with_output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:#?}");
        String::from_utf8(output.stdout).unwrap()
    };
    output(&write);
    assert_eq!(output(look), format!("{off}\n{off}"));

    let mut session = stage.claude(&["--allowedTools", "Bash"]);
    let question = stage.question(&mut session);
    assert_eq!(question["tier"], "R2", "{question:#}");
    stage.deny(&question);
    said(session);
    // Both at the hook: neither ran, nor did the push come to where it would have left.
    let results = stage.model.tool_results();
    let [forbidden, pushed] = &results[..] else {
        panic!("{results:#?}")
    };
    for result in [forbidden, pushed] {
        assert!(
            result.failed && result.text.contains("Holdfast"),
            "{result:#?}"
        );
    }
    assert!(!pushed.text.contains("rejected"), "{pushed:#?}");
    assert!(stage.remote.requests().is_empty() && stage.remote.refs().is_empty());
    assert_eq!(output(look), format!("{off}\n{off}"));
}

#[test]
fn outside_those_settings_switch_every_hook_off() {
    let Some(program) = claude() else { return };
    let scratch = holdfast_hardware_tests::harness::Scratch::new();
    let model = ModelServer::start("key", &[bash("true"), end()]);
    let asked = scratch.join("asked");
    let run = |off: bool| {
        let hook = json!({"type": "command", "command": format!("touch {}", asked.display())});
        let hooks = json!({"PreToolUse": [{"matcher": "*", "hooks": [hook]}]});
        let own = json!({"hooks": hooks, "disableAllHooks": off});
        settings(&scratch.folder("claude-home"), "settings.json", &own);
        let mut command = bare_claude(&program, &scratch, &model, "key");
        let prompt = ["-p", "Hold fast.", "--allowedTools", "Bash"];
        Ran::of(command.args(prompt)).success();
        let was_asked = asked.exists();
        fs::remove_file(&asked).ok();
        was_asked
    };
    assert!(run(false));
    assert!(!run(true));
}
