//! Packages as package managers lay them out, found in folders made here.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        // A temporary folder may lie behind a link.
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, target: &str, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn of(&self, script: &str, name: &str, interpreter: &str) -> Option<RunPackage> {
        self.asked(script, name, interpreter, InProject::RunsInPlace)
    }

    fn asked(
        &self,
        script: &str,
        name: &str,
        interpreter: &str,
        in_project: InProject,
    ) -> Option<RunPackage> {
        let package = of(Asked {
            script: &self.path(script),
            name,
            interpreter: Path::new(interpreter),
            called: &file_name(Path::new(interpreter)),
            project: &self.path("project"),
            in_project,
        });
        package.unwrap().map(|package| package.wanted)
    }
}

#[test]
fn a_command_brings_its_package_and_what_that_needs() {
    let world = World::new();
    let codex = r#"{"name": "@openai/codex", "dependencies": {"a": "1"},
                    "optionalDependencies": {"@openai/codex-linux-x64": "1", "absent": "1"}}"#;
    world.write("p/node_modules/@openai/codex/package.json", codex);
    world.write("p/node_modules/@openai/codex/bin/codex.js", "");
    world.write("p/node_modules/@openai/codex-linux-x64/package.json", "{}");
    world.write(
        "p/node_modules/a/package.json",
        r#"{"peerDependencies": {"b": "1"}}"#,
    );
    world.write(
        "p/node_modules/b/package.json",
        r#"{"dependencies": {"../../x": "1"}}"#,
    );
    world.write("p/node_modules/foreign/package.json", "{}");
    world.link("../@openai/codex/bin/codex.js", "p/node_modules/.bin/codex");
    let package = world.of(
        "p/node_modules/@openai/codex/bin/codex.js",
        "codex",
        "/usr/bin/node",
    );
    let package = package.unwrap();
    assert_eq!(package.name, "node_modules");
    assert_eq!(package.script, "@openai/codex/bin/codex.js");
    assert_eq!(package.interpreter, "node");
    let parts = [
        ".bin/codex",
        "@openai/codex",
        "@openai/codex-linux-x64",
        "a",
        "b",
    ];
    assert_eq!(package.parts, parts);
}

#[test]
fn links_of_pnpm_come_with_what_they_lead_to() {
    let world = World::new();
    let store = "g/node_modules/.pnpm";
    let tool = r#"{"name": "tool", "dependencies": {"dep": "1"}}"#;
    world.write(
        &format!("{store}/tool@1/node_modules/tool/package.json"),
        tool,
    );
    world.write(&format!("{store}/tool@1/node_modules/tool/cli.js"), "");
    world.write(
        &format!("{store}/dep@2/node_modules/dep/package.json"),
        "{}",
    );
    world.link(
        "../../dep@2/node_modules/dep",
        &format!("{store}/tool@1/node_modules/dep"),
    );
    let script = format!("{store}/tool@1/node_modules/tool/cli.js");
    let package = world.of(&script, "tool", "/usr/bin/node").unwrap();
    let parts = [
        ".pnpm/dep@2/node_modules/dep",
        ".pnpm/tool@1/node_modules/dep",
        ".pnpm/tool@1/node_modules/tool",
    ];
    assert_eq!(package.parts, parts);
}

#[test]
fn a_python_environment_comes_whole_and_is_found_by_its_own_name() {
    let world = World::new();
    world.write("venv/pyvenv.cfg", "");
    world.write("venv/bin/aider", "");
    world.link("/usr/bin/python3", "venv/bin/python");
    let package = world
        .of("venv/bin/aider", "aider", "/usr/bin/python3.11")
        .unwrap();
    assert_eq!(package.name, "venv");
    assert_eq!(package.script, "bin/aider");
    assert_eq!(package.found_by.as_deref(), Some("bin/python"));
    assert_eq!(package.parts, [""; 0]);
}

#[test]
fn scripts_of_the_project_run_where_they_lie_unless_they_are_to_be_an_agent() {
    let world = World::new();
    let script = "project/node_modules/tool/cli.js";
    world.write(script, "");
    world.write(
        "project/node_modules/tool/package.json",
        r#"{"name": "tool"}"#,
    );
    assert_eq!(world.of(script, "tool", "/usr/bin/node"), None);
    let asked = world.asked(script, "tool", "/usr/bin/node", InProject::Measured);
    assert_eq!(asked.unwrap().parts, ["tool"]);
    world.write("project/run.sh", "");
    let asked = world.asked("project/run.sh", "run.sh", "/bin/sh", InProject::Measured);
    assert_eq!(asked, None);
}

#[test]
fn a_checkout_comes_without_its_history_and_a_lone_script_alone() {
    let world = World::new();
    world.write("src/tool/package.json", r#"{"name": "tool"}"#);
    world.write("src/tool/bin/cli.js", "");
    world.write("src/tool/.git/config", "");
    let package = world
        .of("src/tool/bin/cli.js", "cli.js", "/usr/bin/node")
        .unwrap();
    assert_eq!(package.parts, ["bin", "package.json"]);
    world.write("scripts/.hello", "");
    let lone = world.of("scripts/.hello", ".hello", "/bin/bash").unwrap();
    assert_eq!((lone.name.as_str(), lone.script.as_str()), ("hello", ""));
}
