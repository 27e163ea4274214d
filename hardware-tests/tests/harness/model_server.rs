//! The scripted model, held against the real agent that it is made for.

use std::process::Stdio;

use holdfast_hardware_tests::harness::{
    ModelServer, Scratch, ToolResult, Turn, bare_claude, claude,
};
use serde_json::Value;

const KEY: &str = "sk-ant-api03-not-a-real-one";

#[test]
fn claude_code_follows_the_script_and_tells_what_came_of_it() {
    let Some(program) = claude() else { return };
    let scratch = Scratch::new();
    let model = ModelServer::start(
        KEY,
        [
            Turn::Bash("echo kelp > file && cat file".to_owned()),
            Turn::Bash("echo on rock >&2; exit 3".to_owned()),
            Turn::Text("It holds.".to_owned()),
        ],
    );
    let output = bare_claude(&program, &scratch, &model, KEY)
        .args(["-p", "Hold fast.", "--output-format", "json"])
        .arg("--dangerously-skip-permissions")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let result: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(result["result"], "It holds.", "{result:#}");
    assert_eq!(result["is_error"], false, "{result:#}");

    let results = model.tool_results();
    let ids: Vec<_> = results.iter().map(|result| &*result.id).collect();
    assert_eq!(
        ids,
        [
            "toolu_000000000000000000000001",
            "toolu_000000000000000000000002"
        ]
    );
    assert_eq!((results[0].text.trim(), results[0].failed), ("kelp", false));
    assert!(
        results[1].failed && results[1].text.contains("on rock"),
        "{results:#?}"
    );
    let written = scratch.join("claude-project/file");
    assert_eq!(std::fs::read_to_string(written).unwrap(), "kelp\n");

    for request in model.requests().iter().filter(|r| r.line.contains("/v1/")) {
        let shown = request.header("authorization");
        assert_eq!(shown, Some(&*format!("Bearer {KEY}")), "{}", request.line);
    }
}

#[test]
fn a_wrong_key_gets_nothing() {
    let Some(program) = claude() else { return };
    let scratch = Scratch::new();
    let model = ModelServer::start(KEY, [Turn::Text("a secret".to_owned())]);
    let output = bare_claude(&program, &scratch, &model, "hf_worthless")
        .args(["-p", "Hold fast.", "--output-format", "json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && !said.contains("a secret"),
        "{said}"
    );
    assert!(said.contains("401"), "{said}");
    assert_eq!(model.tool_results(), Vec::<ToolResult>::new());
}
