//! What all the walls are for: real agents do real work in sealed sessions.
//!
//! Each edits by its own tool for that, builds, tests and commits in a Rust and in a Node project, as a scripted model
//! tells it to. What they did is found outside afterwards, as if they had not been sealed.

mod employed;
mod mcp_server;
mod projects;
mod resumed;

use holdfast_hardware_tests::harness::{Agent, TASK, Turn};
use serde_json::json;

use self::employed::Employed;
use self::projects::Project;

fn end() -> Turn {
    Turn::Text("The rock holds.".to_owned())
}

/// Lets `agent` do a day's work in both projects, a session each.
fn works(agent: Agent) {
    for project in [Project::Rust, Project::Node] {
        let Some(employed) = Employed::by(agent, project, |mut work| {
            work.push(end());
            work
        }) else {
            return;
        };
        let said = employed.works();
        assert!(said.contains("The rock holds."), "{said}");
        let results = employed.model.tool_results();
        let tested = project.passed();
        assert!(
            results.iter().any(|result| result.text.contains(tested)),
            "{agent:?} in {project:?}: no `{tested}`: {results:#?}"
        );
        employed.left_its_work(project);
    }
}

#[test]
fn claude_code_edits_builds_tests_and_commits() {
    works(Agent::Claude);
}

#[test]
fn codex_edits_builds_tests_and_commits() {
    works(Agent::Codex);
}

#[test]
fn copilot_edits_builds_tests_and_commits() {
    works(Agent::Copilot);
}

#[test]
fn gemini_cli_edits_builds_tests_and_commits() {
    works(Agent::Gemini);
}

#[test]
fn opencode_edits_builds_tests_and_commits() {
    works(Agent::Opencode);
}

#[test]
fn a_sub_agent_works_in_its_parents_session() {
    let task = format!("{TASK}echo by a sub-agent > sub && cat sub");
    let Some(employed) = Employed::by(Agent::Claude, Project::Node, |_| {
        let input = json!({
            "description": "a part of the work", "prompt": task, "subagent_type": "general-purpose",
        });
        vec![Turn::Call("Agent".to_owned(), input), end()]
    }) else {
        return;
    };
    let said = employed.works();
    assert!(said.contains("The rock holds."), "{said}");
    let left = std::fs::read_to_string(employed.project.join("sub"));
    assert_eq!(
        left.unwrap_or_default(),
        "by a sub-agent\n",
        "{:#?}",
        employed.model.tool_results()
    );
}

#[test]
fn a_server_of_tools_runs_beside_its_agent() {
    let Some(employed) = Employed::by(Agent::Claude, Project::Node, |_| {
        let measure = Turn::Call("mcp__kelp__measure".to_owned(), json!({"frond": 3}));
        vec![measure, end()]
    }) else {
        return;
    };
    let config = mcp_server::put_into(&employed.project);
    let said = employed.works_with(&["--mcp-config", &config]);
    assert!(said.contains("The rock holds."), "{said}");
    let results = employed.model.tool_results();
    assert_eq!(results.len(), 1, "{results:#?}");
    assert_eq!(results[0].text, "frond 3 is 12 m long", "{results:#?}");
}
