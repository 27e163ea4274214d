//! Real agents, as npm installs them, in sealed sessions.

use std::path::{Path, PathBuf};

use holdfast_hardware_tests::harness::skipped;
use holdfast_hardware_tests::world::Ran;

use super::stage::Stage;

/// Where agents are installed, unless this variable names another folder.
const AGENTS: (&str, &str) = ("HOLDFAST_AGENTS", "/opt/holdfast/agents");

/// Every agent that Holdfast has a profile for, by its command.
const KINDS: [&str; 5] = ["claude", "codex", "copilot", "gemini", "opencode"];

fn installed() -> Vec<(&'static str, PathBuf)> {
    let folder = std::env::var_os(AGENTS.0).map_or_else(|| AGENTS.1.into(), PathBuf::from);
    let bin = folder.join("node_modules/.bin");
    let found = KINDS.map(|kind| (kind, bin.join(kind)));
    let (there, absent): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, path)| path.exists());
    if there.is_empty() {
        skipped(&format!("no agents below {}", folder.display()));
    }
    for (kind, _) in absent {
        println!("{kind} is not installed below {}", folder.display());
    }
    there
}

fn bare(program: &Path) -> String {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn every_agent_that_is_installed_says_the_same_inside_as_outside() {
    let agents = installed();
    if agents.is_empty() {
        return;
    }
    let Some(stage) = Stage::new() else { return };
    for (kind, program) in agents {
        let mut inside = stage.holdfast(&[], &[program.to_str().unwrap(), "--version"]);
        // Some of them would be a plain Bun by this.
        let inside = Ran::of(inside.env("BUN_BE_BUN", "1")).success();
        let session = stage.last_session();
        assert_eq!(session["kind"], kind, "{session:#?}");
        assert_eq!(inside.lines().next(), bare(&program).lines().next());
    }
}
