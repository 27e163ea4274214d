//! An agent with a model, a project and a sealed world.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Agent, ModelServer, Turn, git, wait_until};
use holdfast_hardware_tests::world::{Ran, World};
use serde_json::Value;

use super::projects::Project;

const PIN: &str = "kelp-and-rock";

const KEY: &str = "sk-ant-api03-not-a-real-one";

/// Everything that a day's work takes.
pub struct Employed {
    pub world: World,
    pub model: ModelServer,
    pub project: PathBuf,
    home: PathBuf,
    agent: Agent,
    program: PathBuf,
}

impl Employed {
    /// Sets it up; `None`, loudly, without root or without the agent.
    pub fn by(
        agent: Agent,
        project: Project,
        script: impl FnOnce(Vec<Turn>) -> Vec<Turn>,
    ) -> Option<Self> {
        let program = agent.program()?;
        let world = World::sealed()?;
        let home = world.scratch.folder("home");
        let folder = world.scratch.folder("home/src/kelp");
        project.begin(&folder);
        let script = script(project.work(agent, &folder));
        let model = match agent {
            Agent::Claude => ModelServer::start(KEY, script),
            Agent::Codex | Agent::Copilot | Agent::Gemini | Agent::Opencode => {
                ModelServer::open(script)
            }
        };
        let employed = Self {
            world,
            model,
            project: folder,
            home,
            agent,
            program,
        };
        if agent == Agent::Claude {
            employed.keep_the_key();
        }
        Some(employed)
    }

    /// Claude Code's key comes from the vault.
    fn keep_the_key(&self) {
        let holdfast = |arguments: &[&str]| self.world.broker.holdfast(arguments).success();
        let (url, value) = (self.model.url(), self.world.scratch.private("value", KEY));
        let add = [
            "secrets",
            "add",
            "anthropic",
            "--anthropic-key",
            "--base-url",
        ];
        holdfast(&["secrets", "init", "--headless"]);
        holdfast(&[&add[..], &[&url, "--value-file", &value]].concat());
    }

    /// Lets it work; gives what it said.
    pub fn works(&self) -> String {
        self.said(self.command(&[]).output().unwrap())
    }

    /// As [`Employed::works`], with more arguments for the agent; its human says yes to what it asks.
    pub fn works_with(&self, more: &[&str]) -> String {
        let pin = self.world.scratch.private("pin", PIN);
        let holdfast = |arguments: &[&str]| self.world.broker.holdfast(arguments).success();
        holdfast(&["factors", "enroll", "--pin-file", &pin]);
        let mut run = self.command(more);
        let run = run.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut agent = run.spawn().unwrap();
        wait_until(Duration::from_secs(120), "the agent's end", || {
            let listed = holdfast(&["approvals", "list", "--json"]);
            let asked: Vec<Value> = serde_json::from_str(&listed).unwrap();
            for question in asked {
                let call = question["call"].as_str().unwrap();
                holdfast(&["approvals", "approve", call, "--pin-file", &pin]);
            }
            agent.try_wait().unwrap().is_some()
        });
        self.said(agent.wait_with_output().unwrap())
    }

    /// Its program in a session of `project`, which is the same human's, with these arguments.
    pub fn run_in(&self, project: &Path, arguments: &[&str]) -> Ran {
        self.run_as(&self.program, project, arguments)
    }

    /// As [`Employed::run_in`], with a program that is called so and is a shell: it sees what the agent would.
    pub fn shell_in(&self, project: &Path, script: &str) -> Ran {
        let shell = self.world.scratch.folder("bin").join(self.agent.kind());
        fs::copy("/bin/sh", &shell).unwrap();
        self.run_as(&shell, project, &["-c", script])
    }

    fn run_as(&self, program: &Path, project: &Path, arguments: &[&str]) -> Ran {
        let mut run = self.world.broker.holdfast_command();
        run.current_dir(project).env("HOME", &self.home);
        run.args(["run", "--project"]).arg(project).arg("--");
        Ran::of(run.arg(program).args(arguments).stdin(Stdio::null()))
    }

    /// Another project of the same human's.
    pub fn another(&self) -> PathBuf {
        let folder = self.world.scratch.folder("home/src/other");
        Project::Node.begin(&folder);
        folder
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut run = self.world.broker.holdfast_command();
        run.current_dir(&self.project).env("HOME", &self.home);
        // The toolchain that this suite was built with, by its own name: its human's home is another's.
        if let Some(toolchain) = toolchain() {
            run.env(
                "PATH",
                format!("{toolchain}/bin:/usr/local/bin:/usr/bin:/bin"),
            );
        }
        run.args(["run", "--project"]).arg(&self.project);
        self.employ(&mut run);
        run.args(more).stdin(Stdio::null());
        run
    }

    fn said(&self, output: Output) -> String {
        let complaints = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{:?}: {}\n{said}\n{complaints}\n{:#?}",
            self.agent,
            output.status,
            self.model.tool_results()
        );
        said
    }

    /// The agent's own way to be told of a model, and to work without being asked back.
    fn employ(&self, run: &mut Command) {
        let url = self.model.url();
        if self.agent != Agent::Claude {
            run.args(["--reach", &format!("127.0.0.1:{}", self.model.port())]);
        }
        run.arg("--").arg(&self.program);
        match self.agent {
            Agent::Claude => {
                run.args(["-p", "Hold fast.", "--output-format", "json"]);
            }
            Agent::Codex => {
                let provider = format!(
                    "model_providers.scripted={{name=\"scripted\",base_url=\"{url}/v1\",wire_api=\"responses\"}}"
                );
                run.arg("exec");
                // It offers its own tool for patches to models that it knows.
                run.args(["-c", "model_provider=scripted", "-c", "model=gpt-5.5"]);
                run.args(["-c", &provider, "Hold fast."]);
            }
            Agent::Copilot => {
                run.env("COPILOT_PROVIDER_BASE_URL", format!("{url}/v1"))
                    .env("COPILOT_OFFLINE", "true")
                    .env("COPILOT_MODEL", "scripted")
                    .args(["--allow-all-tools", "-p", "Hold fast."]);
            }
            Agent::Gemini => {
                // It wants some key, and reads it from the project.
                ignored(&self.project, ".env", "GEMINI_API_KEY=none\n");
                run.env("GOOGLE_GEMINI_BASE_URL", &url)
                    .args(["--yolo", "-p", "Hold fast."]);
            }
            Agent::Opencode => {
                ignored(&self.project, "opencode.json", &opencode(&url));
                run.args(["run", "Hold fast."]);
            }
        }
    }

    /// Its work is there, outside, for whoever looks.
    pub fn left_its_work(&self, project: Project) {
        let changed = fs::read_to_string(self.project.join(project.file())).unwrap();
        assert!(changed.contains("rock"), "{changed}");
        let log = git(&self.project, &["log", "--format=%s by %an"]);
        assert!(
            log.starts_with("Hold on to rock by Ann\nBegin by "),
            "{log}"
        );
        let status = git(&self.project, &["status", "--porcelain"]);
        assert_eq!(status, "");
    }
}

/// opencode learns of a model by a file of the project's.
fn opencode(url: &str) -> String {
    format!(
        r#"{{"model": "scripted/scripted", "provider": {{"scripted": {{
            "npm": "@ai-sdk/openai-compatible", "models": {{"scripted": {{"name": "scripted"}}}},
            "options": {{"baseURL": "{url}/v1", "apiKey": "none"}}}}}}}}"#
    )
}

/// A file of the project's that is not part of its work.
fn ignored(project: &Path, name: &str, text: &str) {
    fs::write(project.join(name), text).unwrap();
    fs::write(project.join(".git/info/exclude"), format!("{name}\n")).unwrap();
}

/// Where the compiler lies.
fn toolchain() -> Option<String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = String::from_utf8(sysroot.ok()?.stdout).ok()?;
    Some(sysroot.trim().to_owned())
}
