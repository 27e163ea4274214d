//! A real agent works in a contained session, with a key that it never has.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use holdfast_hardware_tests::harness::{Agent, ModelServer, Turn};

use super::human::Human;

const KEY: &str = "sk-ant-api03-not-a-real-one";

#[test]
fn claude_code_works_and_commits_and_is_held_back_without_root() {
    let Some(program) = Agent::Claude.program() else {
        return;
    };
    let Some(human) = Human::new(61_008) else {
        return;
    };
    human.git(&["init", "-q", "-b", "main"]);
    let work = "printf 'rock\\n' > kelp.txt && git add kelp.txt && git commit -qm 'Hold on' && env";
    let publish = "npm publish";
    let model = ModelServer::start(
        KEY,
        vec![
            Turn::Bash(work.to_owned()),
            Turn::Bash(publish.to_owned()),
            Turn::Text("The rock holds.".to_owned()),
        ],
    );
    let value = human.put("value", KEY);
    fs::set_permissions(&value, fs::Permissions::from_mode(0o600)).unwrap();
    // The first session starts the broker, which has the vault.
    assert_eq!(human.run(&["true"]).code, 0);
    human.holdfast(&["secrets", "init", "--headless"]).success();
    let (url, value) = (model.url(), value.display().to_string());
    let add = ["secrets", "add", "anthropic", "--anthropic-key"];
    let more = ["--base-url", &url, "--value-file", &value];
    human.holdfast(&[&add[..], &more].concat()).success();

    let program = program.display().to_string();
    let ran = human.run(&[&program, "-p", "Hold fast.", "--output-format", "json"]);
    assert_eq!(ran.code, 0, "{ran:#?}\n{:#?}", model.tool_results());
    assert!(ran.stdout.contains("The rock holds."), "{ran:#?}");
    let results = model.tool_results();
    assert_eq!(results.len(), 2, "{results:#?}");
    assert!(results[0].text.contains("HOLDFAST"), "{results:#?}");
    assert!(!results[0].text.contains(KEY), "{results:#?}");
    // Two tiers above a click, which is all that the grade has.
    assert!(results[1].text.contains("R2"), "{results:#?}");
    assert_eq!(
        human.git(&["log", "--format=%s by %an"]),
        "Hold on by Ann\n"
    );
    let record = human.holdfast(&["audit", "tail", "--json"]).success();
    assert!(record.contains("npm publish"), "{record}");
}
