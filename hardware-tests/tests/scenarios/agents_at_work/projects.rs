//! Small projects, and a day's work in each.

use std::fs;
use std::path::Path;

use holdfast_hardware_tests::harness::{Agent, Turn, git};
use serde_json::json;

/// A kind of project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    Rust,
    Node,
}

const CARGO: &str = "[package]\nname = \"kelp\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";

const RUST: &str = "/// What it holds on to.
pub fn holdfast() -> &'static str {
    \"sand\"
}

#[test]
fn it_holds() {
    assert_eq!(holdfast(), \"rock\");
}
";

const PACKAGE: &str =
    r#"{"name": "kelp", "version": "0.1.0", "scripts": {"test": "node --test test.js"}}"#;

const NODE_TEST: &str = "const test = require('node:test');
const assert = require('node:assert');
const holdfast = require('./index.js');
test('it holds', () => assert.strictEqual(holdfast(), 'rock'));
";

impl Project {
    /// Makes one, with its first commit; its test fails.
    pub fn begin(self, folder: &Path) {
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        match self {
            Self::Rust => {
                fs::create_dir_all(folder.join("src")).unwrap();
                write("Cargo.toml", CARGO);
                write("src/lib.rs", RUST);
                write(".gitignore", "target\n");
            }
            Self::Node => {
                write("package.json", PACKAGE);
                write("index.js", "module.exports = () => 'sand';\n");
                write("test.js", NODE_TEST);
            }
        }
        git(folder, &["init", "-q", "-b", "main"]);
        git(folder, &["config", "user.name", "Ann"]);
        git(folder, &["config", "user.email", "ann@kelp.example"]);
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-qm", "Begin"]);
    }

    /// What is to be done in `folder`: edit, build and test, commit.
    pub fn work(self, agent: Agent, folder: &Path) -> Vec<Turn> {
        let test = match self {
            Self::Rust => "cargo build --offline && cargo test --offline",
            Self::Node => "npm test",
        };
        let commit = "git add -A && git commit -qm 'Hold on to rock' && git log --oneline";
        let mut work = self.edit(agent, folder);
        work.extend([test, commit].map(|command| Turn::Bash(command.to_owned())));
        work
    }

    /// The change by the agent's own tools for files, one of which may want to read before it changes.
    fn edit(self, agent: Agent, folder: &Path) -> Vec<Turn> {
        let (was, becomes) = self.lines();
        let file = folder.join(self.file());
        let call = |tool: &str, input| Turn::Call(tool.to_owned(), input);
        match agent {
            Agent::Claude => vec![
                call("Read", json!({"file_path": file})),
                call(
                    "Edit",
                    json!({"file_path": file, "old_string": was, "new_string": becomes}),
                ),
            ],
            Agent::Codex => {
                let patch = format!(
                    "*** Begin Patch\n*** Update File: {}\n@@\n-{was}\n+{becomes}\n*** End Patch\n",
                    self.file()
                );
                vec![call("apply_patch", json!(patch))]
            }
            Agent::Copilot => vec![
                call("view", json!({"path": file})),
                call(
                    "edit",
                    json!({"path": file, "old_str": was, "new_str": becomes}),
                ),
            ],
            Agent::Gemini => vec![call(
                "replace",
                json!({
                    "file_path": file, "instruction": "Hold on to rock.",
                    "old_string": was, "new_string": becomes,
                }),
            )],
            Agent::Opencode => vec![
                call("read", json!({"filePath": file})),
                call(
                    "edit",
                    json!({"filePath": file, "oldString": was, "newString": becomes}),
                ),
            ],
        }
    }

    /// The line that is wrong, and how it is right.
    fn lines(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => ("    \"sand\"", "    \"rock\""),
            Self::Node => (
                "module.exports = () => 'sand';",
                "module.exports = () => 'rock';",
            ),
        }
    }

    /// What its test says when it passes.
    pub fn passed(self) -> &'static str {
        match self {
            Self::Rust => "1 passed",
            Self::Node => "pass 1",
        }
    }

    /// The file that the work changes.
    pub fn file(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Node => "index.js",
        }
    }
}
