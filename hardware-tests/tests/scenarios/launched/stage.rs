//! A sealed world with packages as npm lays them out: scripted ones under real names.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::harness::skipped;
use holdfast_hardware_tests::world::{Ran, World};
use serde_json::Value;

/// The scripted Codex's command, below the folder of packages.
pub const CODEX: &str = "@openai/codex/bin/codex.js";

/// Says what it was started with, what it finds, and, told to wait, what it finds after a while.
const SCRIPT: &str = r"#!/usr/bin/env node
const fs = require('fs')
const tell = (...words) => console.log(words.join(' '))
tell('argv', ...process.argv.slice(2))
tell('exec', ...process.execArgv, process.env.NODE_OPTIONS ?? '-', process.env.NODE_PATH ?? '-')
tell('script', __filename)
try { tell('dependency', require('dependency')) } catch { tell('dependency gone') }
tell('neighbour', fs.existsSync(__dirname + '/../../../neighbour') ? 'there' : 'absent')
try { fs.writeFileSync(__dirname + '/x', '') } catch (error) { tell('written', error.code) }
if (process.argv.includes('--wait')) {
  tell('waiting')
  process.stdin.resume().on('end', () => {
    delete require.cache[require.resolve('dependency')]
    tell('late', require('../late.js'), require('../later.js'), require('dependency'))
  })
}
";

/// A world, a project, and a folder of packages.
pub struct Stage {
    pub world: World,
    project: PathBuf,
    folder: PathBuf,
}

impl Stage {
    pub fn new() -> Option<Self> {
        Self::with("")
    }

    /// The same, where the broker is told this besides.
    pub fn with(config: &str) -> Option<Self> {
        if Command::new("node").arg("--version").output().is_err() {
            skipped("no Node.js");
            return None;
        }
        let world = World::sealed_with(config)?;
        let project = world.scratch.folder("project");
        let folder = world.scratch.folder("installed");
        let stage = Self {
            world,
            project,
            folder,
        };
        stage.install();
        Some(stage)
    }

    fn install(&self) {
        let package = |name: &str, manifest: &str| {
            let path = format!("node_modules/{name}/package.json");
            self.write(&path, manifest);
        };
        package(
            "@openai/codex",
            r#"{"name": "@openai/codex", "bin": {"codex": "bin/codex.js"},
                "optionalDependencies": {"dependency": "1"}}"#,
        );
        package("dependency", r#"{"name": "dependency"}"#);
        package("neighbour", r#"{"name": "neighbour"}"#);
        package("other", r#"{"name": "other", "bin": "cli.js"}"#);
        self.write(
            "node_modules/dependency/index.js",
            "module.exports = 'found'\n",
        );
        for late in ["late", "later"] {
            let path = format!("node_modules/@openai/codex/{late}.js");
            self.write(&path, "module.exports = 'original'\n");
        }
        self.write(&format!("node_modules/{CODEX}"), SCRIPT);
        self.write(
            "node_modules/other/cli.js",
            "#!/usr/bin/env node\nconsole.log('RAN')\n",
        );
        for (name, script) in [("codex", CODEX), ("other", "other/cli.js")] {
            executable(&self.packages().join(script));
            let link = self.packages().join(".bin").join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(format!("../{script}"), link).unwrap();
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn project(&self) -> &Path {
        &self.project
    }

    pub fn packages(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    /// The path of a command, as a shell would find it.
    pub fn command(&self, name: &str) -> String {
        let path = self.packages().join(".bin").join(name);
        path.to_str().unwrap().to_owned()
    }

    /// Writes a file that everybody may read.
    pub fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// `holdfast run` with these options, of these words.
    pub fn holdfast(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = self.world.broker.holdfast_command();
        command.current_dir(&self.project).arg("run").args(options);
        command.arg("--").args(words);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, options: &[&str], words: &[&str]) -> Ran {
        Ran::of(&mut self.holdfast(options, words))
    }

    /// The session that was started last.
    pub fn last_session(&self) -> Value {
        let sessions = self
            .world
            .broker
            .holdfast(&["sessions", "--json"])
            .success();
        let sessions: Vec<Value> = serde_json::from_str(&sessions).unwrap();
        let started = |session: &Value| session["started"].to_string();
        sessions.into_iter().max_by_key(started).unwrap()
    }
}

pub fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
