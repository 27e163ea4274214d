//! Small projects, and a day's work in each.

use std::fs;
use std::path::Path;

use holdfast_hardware_tests::harness::git;

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

    /// What is to be done: edit, build and test, commit.
    pub fn work(self) -> Vec<String> {
        let (edit, test) = match self {
            Self::Rust => (
                "sed -i 's/\"sand\"/\"rock\"/' src/lib.rs",
                "cargo build --offline && cargo test --offline",
            ),
            Self::Node => ("sed -i 's/sand/rock/' index.js", "npm test"),
        };
        let commit = "git add -A && git commit -qm 'Hold on to rock' && git log --oneline";
        [edit, test, commit].map(str::to_owned).into()
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
