//! Real agents, as npm installs them, in sealed sessions.

use std::path::Path;

use holdfast_hardware_tests::harness::Agent;
use holdfast_hardware_tests::world::Ran;
use serde_json::Value;

use super::stage::Stage;

fn bare(program: &Path) -> String {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn what_a_session_of_each_agent_may_fetch_from_is_shown() {
    let Some(stage) = Stage::new() else { return };
    for agent in Agent::ALL {
        let Some(program) = agent.program() else {
            return;
        };
        let program = program.to_str().unwrap();
        let shown = stage.run(&["--show", "--json"], &[program]).success();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let hosts = shown["hosts"].as_array().unwrap();
        assert!(!hosts.is_empty(), "{agent:?}: {shown:#}");
        let said = stage.run(&["--show"], &[program]).success();
        for host in hosts {
            assert!(said.contains(host.as_str().unwrap()), "{host}: {said}");
        }
        assert!(said.contains("fetched from without a question"), "{said}");
    }
}

#[test]
fn every_agent_that_is_installed_says_the_same_inside_as_outside() {
    let Some(stage) = Stage::new() else { return };
    for agent in Agent::ALL {
        let Some(program) = agent.program() else {
            return;
        };
        let mut inside = stage.holdfast(&[], &[program.to_str().unwrap(), "--version"]);
        // Some of them would be a plain Bun by this.
        let inside = Ran::of(inside.env("BUN_BE_BUN", "1")).success();
        let session = stage.last_session();
        assert_eq!(session["kind"], agent.kind(), "{session:#?}");
        assert_eq!(inside.lines().next(), bare(&program).lines().next());
    }
}
