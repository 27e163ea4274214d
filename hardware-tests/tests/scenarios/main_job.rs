//! The main job, with a real agent: it works, it asks before it pushes, and it never holds a secret.
//!
//! Claude Code runs sealed against a scripted model. Model and git service want secrets that only the vault has.

mod secrets;
mod stage;
mod unhooked;

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_hardware_tests::harness::{Turn, Window, bin};
use serde_json::Value;

use self::secrets::{Swept, USER};
use self::stage::{Stage, said};
use super::mirrored;

/// A hook that lets everything through, and yet brings git its placeholder.
const OWN_SHIM: &str = include_str!("main_job/own_shim.py");

const FORBIDDEN: &str = "cat ~/.ssh/id_ed25519";

const SWEEP: &str = "/usr/bin/python3 -I sweep.py";

fn bash(command: &str) -> Turn {
    Turn::Bash(command.to_owned())
}

fn end() -> Turn {
    Turn::Text("The rock holds.".to_owned())
}

#[test]
fn a_real_agent_works_asks_before_it_pushes_and_never_holds_a_secret() {
    let harmless = "echo kelp > note && git add note && git commit -qm Note && cat note";
    let Some(mut stage) = Stage::set(&[
        bash(harmless),
        bash(FORBIDDEN),
        bash("git push origin main"),
        bash(SWEEP),
        end(),
    ]) else {
        return;
    };
    // From here to the end nobody hears of it elsewhere: the attestor is away, and the job goes on.
    stage.world.attestor.kill();
    let mut session = stage.claude(&[]);

    // Only the push is asked about, and it has not happened.
    let question = stage.question(&mut session);
    let headline = question["headline"].as_str().unwrap();
    assert!(headline.contains("main"), "{question:#}");
    assert!(
        question.to_string().contains(&stage.remote.url()),
        "{question:#}"
    );
    assert_eq!(question["tier"], "R2", "{question:#}");
    assert!(stage.remote.refs().is_empty());
    let call = stage.approve_in_a_terminal(&question);
    let said = said(session);
    assert_eq!(said["result"], "The rock holds.", "{said:#}");
    let denials = said["permission_denials"].as_array().unwrap();
    assert_eq!(denials.len(), 1, "{said:#}");
    assert_eq!(denials[0]["tool_input"]["command"], FORBIDDEN, "{said:#}");

    let results = stage.model.tool_results();
    let [worked, forbidden, pushed, swept] = &results[..] else {
        panic!("{results:#?}");
    };
    assert_eq!((worked.text.trim(), worked.failed), ("kelp", false));
    assert!(
        forbidden.failed && forbidden.text.contains("files that hold secrets"),
        "the reason reaches the model: {forbidden:#?}"
    );
    assert!(
        !pushed.failed && pushed.text.contains("main -> main"),
        "{pushed:#?}"
    );
    assert_eq!(stage.remote.refs()["refs/heads/main"], stage.head());
    assert!(!swept.failed, "{swept:#?}");

    // Inside there were placeholders; outside the secrets.
    let swept = Swept::take(&stage.project);
    swept.found_only_what_lay_open();
    let agents = |place: &&str| place.ends_with("/environ");
    assert!(
        swept.places("placeholder").iter().any(agents),
        "its own environment was read"
    );
    let transcript = |place: &&str| place.contains("/.claude/projects/");
    assert!(
        swept.places("prompt").iter().any(transcript),
        "its transcript was read"
    );
    let memory = |place: &&str| place.ends_with("/mem");
    assert!(
        swept.places("prompt").iter().any(memory),
        "its own memory was read"
    );
    the_real_ones_arrived(&stage);
    nothing_of_them_stayed(&stage, &said);

    // Asked once: what the push did on its way out was covered. Anybody can check the consent.
    let verified = stage
        .holdfast(&["audit", "verify-receipt", &call])
        .success();
    assert!(verified.contains(&call), "{verified}");
    stage.holdfast(&["audit", "verify"]).success();
    let record = stage.holdfast(&["audit", "tail", "-n", "200"]).success();
    for event in ["denied by policy", &format!("approved call {call}")] {
        assert!(record.contains(event), "{event} is missing:\n{record}");
    }
    the_harmless_call_is_on_record(&stage, harmless);

    // All of it arrives, once, when the attestor is back.
    stage.world.attestor.resume(&stage.world.scratch);
    mirrored::agree(&stage.world);
}

#[test]
fn no_mode_of_the_agents_own_leads_past_its_hooks() {
    for mode in [
        &["--safe-mode"][..],
        &["--restricted", "--tools", "Bash"],
        &["--permission-mode", "acceptEdits"],
    ] {
        let Some(stage) = Stage::set(&[bash(FORBIDDEN), end()]) else {
            return;
        };
        let said = said(stage.claude(mode));
        assert_eq!(said["result"], "The rock holds.", "{mode:?}: {said:#}");
        let results = stage.model.tool_results();
        let [forbidden] = &results[..] else {
            panic!("{mode:?}: {results:#?}");
        };
        assert!(
            forbidden.failed && forbidden.text.contains("files that hold secrets"),
            "{mode:?}: {forbidden:#?}"
        );
    }
}

#[test]
fn the_push_of_a_real_agent_is_approved_in_the_window() {
    let Some(mut stage) = Stage::set(&[bash("git push origin main"), end()]) else {
        return;
    };
    stage.take_pins_on_x11();
    let mut session = stage.claude(&[]);
    let question = stage.question(&mut session);
    let window = Window::open(stage.world.broker.socket(), &stage.world.scratch);
    let headline = window.wait_question();
    assert!(headline.contains("main"), "{headline}");
    assert!(window.text().contains(&stage.remote.url()));
    assert!(stage.remote.refs().is_empty());

    stage.approve_in(&window);
    let said = said(session);
    assert_eq!(said["result"], "The rock holds.", "{said:#}");
    assert_eq!(stage.remote.refs()["refs/heads/main"], stage.head());
    let call = question["call"].as_str().unwrap();
    stage.holdfast(&["audit", "verify-receipt", call]).success();
    let record = stage.holdfast(&["audit", "tail", "-n", "200"]).success();
    assert!(record.contains("in a window on X11"), "{record}");
}

#[test]
fn however_a_push_is_spelled_it_waits() {
    let spellings = [
        "git -C . push origin main",
        "sh -c 'git push origin main'",
        "g=git; $g push origin main",
        "git push origin main '",
    ];
    let mut script = spellings.map(bash).to_vec();
    script.push(end());
    let Some(stage) = Stage::set(&script) else {
        return;
    };
    let mut session = stage.claude(&[]);
    for spelling in spellings {
        let question = stage.question(&mut session);
        let quoted = question["quoted"]["arguments"].as_str().unwrap();
        let told: Value = serde_json::from_str(quoted).unwrap();
        assert_eq!(told["command"], spelling, "{question:#}");
        stage.deny(&question);
    }
    let said = said(session);
    assert_eq!(said["result"], "The rock holds.", "{said:#}");
    let results = stage.model.tool_results();
    assert_eq!(results.len(), spellings.len(), "{results:#?}");
    for result in results {
        assert!(
            result.failed && result.text.contains("Holdfast"),
            "{result:#?}"
        );
    }
    assert!(
        stage.remote.requests().is_empty(),
        "{:#?}",
        stage.remote.requests()
    );
}

#[test]
fn without_any_hook_the_way_out_asks() {
    let Some(stage) = Stage::set(&[]) else { return };
    let push = ["git", "push", "origin", "main"];

    // A program that knows of no hook.
    let mut session = stage.session(&push);
    let question = stage.question(&mut session);
    assert_eq!(question["tier"], "R2", "{question:#}");
    stage.deny(&question);
    let output = session.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{words}");
    assert!(
        words.contains("[remote rejected]") && words.contains("holdfast"),
        "{words}"
    );
    assert!(stage.remote.refs().is_empty());

    // It is the human that was missing: with the PIN the same push goes through, and its receipt holds.
    let mut session = stage.session(&push);
    let call = stage.approve(&stage.question(&mut session));
    let output = session.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:#?}");
    assert_eq!(stage.remote.refs()["refs/heads/main"], stage.head());
    stage
        .holdfast(&["audit", "verify-receipt", &call])
        .success();

    // And a program that used the secret a moment ago finds it nowhere.
    let sweep = format!("git ls-remote origin && {SWEEP}");
    let output = stage.session(&["sh", "-c", &sweep]).wait_with_output();
    let output = output.unwrap();
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && listed.contains("refs/heads/main"),
        "{output:#?}"
    );
    Swept::take(&stage.project).found_only_what_lay_open();
    the_real_ones_arrived(&stage);
    nothing_of_them_stayed(&stage, &Value::Null);
}

#[test]
fn an_agent_whose_hook_was_replaced_pushes_nothing() {
    let Some(mut stage) = Stage::set(&[bash("git push origin main"), end()]) else {
        return;
    };
    // A broker beside which lies a hook that lets everything through.
    stage.world.broker.stop();
    let programs = stage.world.scratch.folder("programs");
    let hook = programs.join("holdfast-hook");
    link(&bin("holdfastd"), &programs);
    fs::copy("/bin/true", &hook).unwrap();
    stage.world.broker.programs_from(&programs);
    stage.world.broker.resume(&stage.world.scratch);
    stage.holdfast(&["status", "--renew"]).success();
    let unasked = ["--allowedTools", "Bash"];

    // The call is made unasked, and leads nowhere: the same program brings git its placeholder.
    let result = said(stage.claude(&unasked));
    assert_eq!(
        result["permission_denials"],
        serde_json::json!([]),
        "{result:#}"
    );
    let pushed = stage.model.tool_results().remove(0);
    assert!(
        pushed.failed && pushed.text.contains("could not read Username"),
        "{pushed:#?}"
    );

    // One that gets the placeholder all the same is asked about where it leaves.
    fs::write(&hook, OWN_SHIM).unwrap();
    let mut session = stage.claude(&unasked);
    let question = stage.question(&mut session);
    assert_eq!(question["tier"], "R2", "{question:#}");
    stage.deny(&question);
    said(session);
    let pushed = stage.model.tool_results().remove(0);
    assert!(
        pushed.failed && pushed.text.contains("[remote rejected]"),
        "{pushed:#?}"
    );

    assert!(stage.remote.refs().is_empty());
    let heard = stage.remote.requests();
    let pushes = heard
        .iter()
        .filter(|request| request.line.starts_with("POST"));
    assert_eq!(
        pushes.count(),
        0,
        "the remote never heard of it: {heard:#?}"
    );
    the_real_ones_arrived(&stage);

    // Without any hook's program no session begins: neither the agent's nor the push's own.
    fs::remove_file(hook).unwrap();
    let before = stage.remote.requests().len();
    let push = ["git", "push", "origin", "main"];
    for session in [stage.claude(&unasked), stage.session(&push)] {
        let output = session.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{output:#?}");
        assert!(
            words.contains("holdfast-hook"),
            "the reason is named: {words}"
        );
    }
    assert!(stage.remote.refs().is_empty());
    assert_eq!(stage.remote.requests().len(), before);
}

/// That the exported record has this command, and that it was allowed.
fn the_harmless_call_is_on_record(stage: &Stage, command: &str) {
    let exported = fs::read_to_string(stage.world.scratch.join("log.jsonl")).unwrap();
    let told = serde_json::to_string(command).unwrap();
    let told = told.trim_matches('"');
    let decided = exported
        .lines()
        .filter(|line| line.contains(told) || line.contains(&told.replace('"', "\\\"")));
    let decided: Vec<&str> = decided.collect();
    assert!(
        decided.iter().any(|line| line.contains("allow")),
        "{decided:#?}\n{exported}"
    );
}

/// That model and git service were shown the real secrets, and nothing else.
fn the_real_ones_arrived(stage: &Stage) {
    for request in stage.model.requests() {
        assert_eq!(
            request.header("x-api-key"),
            Some(&*stage.secrets.key),
            "{request:#?}"
        );
        assert!(!format!("{request:?}").contains("hf_"), "{}", request.line);
        let told = request.body.to_string();
        stage.secrets.are_not_in("what the model was told", &told);
    }
    let credential = format!("{USER}:{}", stage.secrets.token);
    let requests = stage.remote.requests();
    assert!(requests.iter().any(|request| request.status == 200));
    for request in requests {
        let shown = request.credential.as_deref();
        assert!(shown.is_none_or(|shown| shown == credential), "{request:?}");
    }
}

/// That no secret is in any file of this world, in what the agent said, or in the record.
fn nothing_of_them_stayed(stage: &Stage, said: &Value) {
    let exported = stage.world.scratch.join("log.jsonl");
    let file = exported.display().to_string();
    stage
        .holdfast(&["audit", "export", "--ocsf", &file])
        .success();
    let record = fs::read_to_string(exported).unwrap();
    assert!(record.contains("origin"), "{record}");
    stage.secrets.are_not_in("the exported record", &record);
    stage
        .secrets
        .are_not_in("what the agent said", &said.to_string());
    stage
        .secrets
        .are_in_no_file_below(stage.world.scratch.path());
}

/// The same program at another place; another copy where that is on another disk.
fn link(program: &Path, folder: &Path) -> PathBuf {
    let place = folder.join(program.file_name().unwrap());
    if fs::hard_link(program, &place).is_err() {
        fs::copy(program, &place).unwrap();
    }
    place
}
