//! What the human says to their agents goes along, to be read; what they add to a profile holds, and a
//! hostile profile does not.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;
use serde_json::{Value, json};

use crate::support::Human;

const PATH: &str = "/usr/bin:/bin";

#[test]
fn instructions_and_skills_come_to_be_read_and_settings_do_not() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    human.put(".claude/CLAUDE.md", "be kind");
    human.put("dotfiles/skills/review/SKILL.md", "review well");
    human.put(".claude/settings.json", "{\"hooks\": \"hunter2\"}");
    human.put(".claude/.credentials.json", "hunter2");
    human.put("outside.md", "hunter2");
    let claude = human.home().join(".claude");
    std::os::unix::fs::symlink("../dotfiles/skills", claude.join("skills")).unwrap();
    // Out of home: not followed.
    std::os::unix::fs::symlink("/etc", claude.join("rules")).unwrap();
    let script = "cat ~/.claude/CLAUDE.md ~/.claude/skills/review/SKILL.md; echo; \
                  echo x >> ~/.claude/CLAUDE.md && echo WRITTEN; \
                  echo x > ~/.claude/skills/new && echo WRITTEN; \
                  cat ~/.claude/settings.json ~/.claude/.credentials.json; ls ~/.claude/rules; \
                  echo mine > ~/.claude/state && cat ~/.claude/state";
    let claude = human.claude();
    let ran = human.run(&project, &["--"], &[&claude, "-c", script], PATH);
    assert_eq!(ran.stdout, "be kindreview well\nmine\n", "{ran:#?}");
    assert!(ran.stderr.contains("leads out of your home"), "{ran:#?}");
    // Another kind is told nothing of that.
    let ran = human.run(&project, &["--"], &["sh", "-c", script], PATH);
    assert!(!ran.stdout.contains("be kind"), "{ran:#?}");
}

#[test]
fn a_profile_of_the_humans_adds_and_defines() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    human.put(".tidy/rules.txt", "tidy up");
    human.put(
        ".config/holdfast/profiles/tidy.toml",
        "names = ['printenv']\narguments = ['TIDY', '{arguments}']\ninstructions = ['.tidy/rules.txt']\n\
         [[set]]\nname = 'TIDY'\nvalue = 'very'\n",
    );
    let ran = human.run(&project, &["--"], &["printenv"], PATH);
    assert_eq!(ran.stdout, "very\n", "{ran:#?}");
    human.put(".local/share/lint/rules", "four spaces");
    human.put(
        ".config/holdfast/profiles/shell.toml",
        "keep = ['MY_COLOR']\ntools = ['.local/share/lint']\nhosts = ['models.example']\n\
         [[set]]\nname = 'HOUSE'\nvalue = 'ours'\n",
    );
    let script = "echo $HOUSE; cat ~/.local/share/lint/rules";
    let ran = human.run(&project, &["--"], &["sh", "-c", script], PATH);
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(
        record.contains("hosts of their own profile: models.example"),
        "{record}"
    );
    assert_eq!(ran.stdout, "ours\nfour spaces", "{ran:#?}");
}

#[test]
fn from_the_hosts_of_its_models_an_agent_fetches_without_a_question_and_sends_nothing_there() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = world.scratch.folder("project");
    let call = |name: &str, command: &str| {
        let call = json!({
            "hook_event_name": "PreToolUse", "cwd": project, "tool_name": "Bash",
            "tool_use_id": format!("toolu_{name}"), "tool_input": {"command": command},
        });
        fs::write(project.join(name), call.to_string()).unwrap();
    };
    call("fetches", "curl https://api.anthropic.com/v1/models");
    call("sends", "curl -d kelp https://api.anthropic.com/v1/files");
    call("strays", "curl https://api.openai.com/v1/models");
    let questions = || -> Vec<Value> {
        let listed = world.broker.holdfast(&["approvals", "--json"]).success();
        serde_json::from_str(&listed).unwrap()
    };
    let asked = |call: &str| {
        let hook = format!("/opt/holdfast/libexec/holdfast-hook claude < {call}");
        let mut command = world.broker.holdfast_command();
        let mut session = command
            .current_dir(&project)
            .args(["run", "--", &human.claude(), "-c", &hook])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut asked = Vec::new();
        wait_until(Duration::from_secs(20), "an answer, or a question", || {
            asked = questions();
            !asked.is_empty() || session.try_wait().unwrap().is_some()
        });
        for question in &asked {
            let id = question["call"].as_str().unwrap();
            world.broker.holdfast(&["approvals", "deny", id]).success();
        }
        let output = session.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            said.contains("\"allow\""),
            asked.is_empty(),
            "{call}: {said}"
        );
        asked.len()
    };
    assert_eq!(asked("fetches"), 0);
    assert_eq!(asked("sends"), 1);
    // Another agent's.
    assert_eq!(asked("strays"), 1);
}

#[test]
fn a_hostile_profile_makes_no_session() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    for (text, word) in [
        ("refuse = []", "unknown field"),
        ("arguments = ['--bare', '{arguments}']", "Holdfast's own"),
        ("keep = ['LD_PRELOAD']", "decides what code runs"),
        ("keep = ['ANTHROPIC_API_KEY']", "your vault"),
        ("tools = ['../../etc']", "not a place below home"),
        (
            "[[set]]\nname = 'DISABLE_AUTOUPDATER'\nvalue = '0'",
            "set by Holdfast",
        ),
        ("not TOML [", "not valid"),
    ] {
        human.put(".config/holdfast/profiles/claude.toml", text);
        let flags = ["--agent", "claude", "--"];
        let ran = human.run(&project, &flags, &["echo", "RAN"], PATH);
        assert_eq!(ran.code, 2, "{text}: {ran:#?}");
        assert!(ran.stderr.contains(word), "{text}: {ran:#?}");
    }
    // A kind of one's own does not take a known agent away from what that refuses.
    human.put(".config/holdfast/profiles/claude.toml", "");
    human.put(".config/holdfast/profiles/mine.toml", "names = ['claude']");
    let flags = ["--agent", "mine", "--"];
    let ran = human.run(&project, &flags, &["echo", "RAN"], PATH);
    assert_eq!(ran.code, 2, "{ran:#?}");
}
