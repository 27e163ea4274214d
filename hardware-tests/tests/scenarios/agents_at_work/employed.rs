//! An agent with a model, a project and a sealed world.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdfast_hardware_tests::harness::{Agent, ModelServer, Turn, git};
use holdfast_hardware_tests::world::World;

use super::projects::Project;

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
        script: impl FnOnce(Vec<String>) -> Vec<Turn>,
    ) -> Option<Self> {
        let program = agent.program()?;
        let world = World::sealed()?;
        let model = ModelServer::start(KEY, script(project.work()));
        let home = world.scratch.folder("home");
        let folder = world.scratch.folder("home/src/kelp");
        project.begin(&folder);
        let employed = Self {
            world,
            model,
            project: folder,
            home,
            agent,
            program,
        };
        employed.give_the_key();
        Some(employed)
    }

    /// Claude Code's key comes from the vault. The others' is one of the human's variables, which a profile of their
    /// own lets through.
    fn give_the_key(&self) {
        let holdfast = |arguments: &[&str]| self.world.broker.holdfast(arguments).success();
        let (kind, variable) = match self.agent {
            Agent::Claude => {
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
                return;
            }
            Agent::Codex => ("codex", "OPENAI_API_KEY"),
            Agent::Copilot => ("copilot", "COPILOT_PROVIDER_API_KEY"),
            Agent::Gemini => ("gemini", "GEMINI_API_KEY"),
            Agent::Opencode => ("opencode", "MODEL_KEY"),
        };
        let profiles = self.home.join(".config/holdfast/profiles");
        fs::create_dir_all(&profiles).unwrap();
        let profile = format!("kind = \"{kind}\"\nkeep = [\"{variable}\"]\n");
        fs::write(profiles.join(format!("{kind}.toml")), profile).unwrap();
    }

    /// Lets it work; gives what it said.
    pub fn works(&self) -> String {
        self.works_with(&[])
    }

    /// As [`Employed::works`], with more arguments for the agent.
    pub fn works_with(&self, more: &[&str]) -> String {
        let mut run = self.world.broker.holdfast_command();
        run.current_dir(&self.project).env("HOME", &self.home);
        run.args(["run", "--project"]).arg(&self.project);
        self.employ(&mut run);
        let output = run.args(more).stdin(Stdio::null()).output().unwrap();
        let (said, complaints) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
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
                    "model_providers.scripted={{name=\"scripted\",base_url=\"{url}/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}}"
                );
                run.env("OPENAI_API_KEY", KEY).arg("exec");
                run.args(["-c", "model_provider=scripted", "-c", "model=scripted"]);
                run.args(["-c", &provider, "Hold fast."]);
            }
            Agent::Copilot => {
                run.env("COPILOT_PROVIDER_API_KEY", KEY)
                    .env("COPILOT_PROVIDER_BASE_URL", format!("{url}/v1"))
                    .env("COPILOT_OFFLINE", "true")
                    .env("COPILOT_MODEL", "scripted")
                    .args(["--allow-all-tools", "-p", "Hold fast."]);
            }
            Agent::Gemini => {
                run.env("GEMINI_API_KEY", KEY)
                    .env("GOOGLE_GEMINI_BASE_URL", &url)
                    .args(["--yolo", "-p", "Hold fast."]);
            }
            Agent::Opencode => {
                run.env("MODEL_KEY", KEY).args(["run", "Hold fast."]);
                configure_opencode(&self.project, &url);
            }
        }
    }

    /// Its work is there, outside, for whoever looks.
    pub fn left_its_work(&self, project: Project) {
        let changed = fs::read_to_string(self.project.join(project.file())).unwrap();
        assert!(changed.contains("rock"), "{changed}");
        let log = git(&self.project, &["log", "--format=%s by %an"]);
        assert_eq!(log, "Hold on to rock by Ann\nBegin by Ann\n");
        let status = git(&self.project, &["status", "--porcelain"]);
        assert_eq!(status, "");
    }
}

/// opencode learns of a model by a file of the project's, which is not part of its work.
fn configure_opencode(project: &Path, url: &str) {
    let text = format!(
        r#"{{"model": "scripted/scripted", "provider": {{"scripted": {{
            "npm": "@ai-sdk/openai-compatible", "models": {{"scripted": {{"name": "scripted"}}}},
            "options": {{"baseURL": "{url}/v1", "apiKey": "{{env:MODEL_KEY}}"}}}}}}}}"#
    );
    fs::write(project.join("opencode.json"), text).unwrap();
    let exclude = project.join(".git/info/exclude");
    fs::write(exclude, "opencode.json\n").unwrap();
}
