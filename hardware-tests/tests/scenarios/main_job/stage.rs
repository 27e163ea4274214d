//! The main job's stage: a sealed world, a model, a git service, secrets that only the vault has.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{
    GitRemote, Guarded, ModelServer, Turn, Window, bin, claude, git, wait_until,
};
use holdfast_hardware_tests::world::{Ran, World};
use serde_json::Value;

use super::secrets::{Secrets, USER};

/// How long an agent may take to come to its next step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PIN: &str = "kelp-and-rock";

/// Everything that the main job takes.
pub struct Stage {
    pub world: World,
    pub model: ModelServer,
    pub remote: GitRemote,
    pub secrets: Secrets,
    pub project: PathBuf,
    home: PathBuf,
    claude: PathBuf,
    pin: String,
}

impl Stage {
    /// Sets it up; `None`, loudly, without root or without the agent.
    pub fn set(script: &[Turn]) -> Option<Self> {
        let claude = claude()?;
        let world = World::sealed()?;
        let secrets = Secrets::random();
        let model = ModelServer::start(&secrets.key, script);
        let remote = GitRemote::start(&world.scratch, USER, &secrets.token, Guarded::Everything);
        // Where most people's projects are.
        let home = world.scratch.folder("home");
        let project = world.scratch.folder("home/src/project");
        secrets.plant(&project);
        begin(&project, &remote.url());
        let pin = world.scratch.private("pin", PIN);
        let stage = Self {
            world,
            model,
            remote,
            secrets,
            home,
            project,
            claude,
            pin,
        };
        stage.keep_secrets();
        stage
            .holdfast(&["factors", "enroll", "--pin-file", &stage.pin])
            .success();
        Some(stage)
    }

    /// Puts the real secrets into the vault; no file has them afterwards.
    fn keep_secrets(&self) {
        self.holdfast(&["secrets", "init", "--headless"]).success();
        let (model, remote) = (self.model.url(), self.remote.url());
        let anthropic = ["anthropic", "--anthropic-key", "--base-url", &model];
        let origin = ["origin", "--git", &remote, "--username", USER];
        for (purpose, value) in [
            (&anthropic[..], &self.secrets.key),
            (&origin[..], &self.secrets.token),
        ] {
            let file = self.world.scratch.private("value", value);
            let add = [&["secrets", "add"], purpose, &["--value-file", &file]].concat();
            self.holdfast(&add).success();
            fs::remove_file(file).unwrap();
        }
    }

    pub fn holdfast(&self, arguments: &[&str]) -> Ran {
        self.world.broker.holdfast(arguments)
    }

    /// Starts the agent, sealed, as its human would.
    pub fn claude(&self, more: &[&str]) -> Child {
        let program = self.claude.display().to_string();
        let prompt = format!("Hold fast: {}.", self.secrets.prompt);
        let json = ["-p", &prompt, "--output-format", "json"];
        self.session(&[&[&*program], &json[..], more].concat())
    }

    /// Starts a program in a sealed session of the project.
    pub fn session(&self, program: &[&str]) -> Child {
        let mut run = self.world.broker.holdfast_command();
        run.current_dir(&self.project)
            .env("HOME", &self.home)
            .args(["run", "--project"])
            .arg(&self.project)
            .arg("--")
            .args(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The one question that waits. What is not asked ends `session` instead, which is said then.
    pub fn question(&self, session: &mut Child) -> Value {
        let mut asked = Vec::new();
        wait_until(PATIENCE, "a question", || {
            asked = self.questions();
            if asked.is_empty() && session.try_wait().unwrap().is_some() {
                panic!(
                    "it was not asked; the model heard {:#?}",
                    self.model.tool_results()
                );
            }
            !asked.is_empty()
        });
        assert_eq!(asked.len(), 1, "{asked:#?}");
        asked.remove(0)
    }

    pub fn questions(&self) -> Vec<Value> {
        let listed = self.holdfast(&["approvals", "list", "--json"]).success();
        serde_json::from_str(&listed).unwrap()
    }

    /// Says yes, with the PIN from a file; gives the call's name.
    pub fn approve(&self, question: &Value) -> String {
        let call = question["call"].as_str().unwrap();
        self.holdfast(&["approvals", "approve", call, "--pin-file", &self.pin])
            .success();
        call.to_owned()
    }

    /// Says yes as a human does in a terminal: reads the question, types the PIN. Gives the call's name.
    pub fn approve_in_a_terminal(&self, question: &Value) -> String {
        let call = question["call"].as_str().unwrap();
        let mut approve = Command::new("script");
        let command = format!(
            "{} --socket {} {call}",
            bin("holdfast-approve").display(),
            self.world.broker.socket().display()
        );
        let transcript = self.world.scratch.join("terminal");
        let mut terminal = approve
            .args(["--quiet", "--return", "--flush", "--command", &command])
            .arg(&transcript)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script (util-linux) runs");
        let shown = || fs::read_to_string(&transcript).unwrap_or_default();
        // What is typed before the prompt is dropped.
        wait_until(PATIENCE, "the PIN is asked for", || {
            shown().contains("leaves it unanswered): ")
        });
        let mut keys = terminal.stdin.take().unwrap();
        keys.write_all(format!("{PIN}\n").as_bytes()).unwrap();
        let exit = terminal.wait().unwrap();
        assert!(exit.success(), "{}", shown());
        assert!(shown().contains("main"), "{}", shown());
        assert!(!shown().contains(PIN), "it is not echoed: {}", shown());
        call.to_owned()
    }

    /// Declares that a window may take PINs on X11.
    pub fn take_pins_on_x11(&mut self) {
        self.world.declare("[approvals]\npin-on-x11 = \"allow\"");
    }

    /// Says yes in the window.
    pub fn approve_in(&self, window: &Window) {
        window.type_pin(PIN);
        window.press_approve();
    }

    pub fn deny(&self, question: &Value) {
        let call = question["call"].as_str().unwrap();
        self.holdfast(&["approvals", "deny", call]).success();
    }

    /// What the project's branch `main` points at.
    pub fn head(&self) -> String {
        git(&self.project, &["rev-parse", "main"]).trim().to_owned()
    }
}

/// What the agent printed; that it ended well.
///
/// # Panics
/// When it did not, or its output is not JSON.
pub fn said(session: Child) -> Value {
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:#?}"));
    assert!(output.status.success(), "{said:#}");
    said
}

fn begin(project: &std::path::Path, remote: &str) {
    git(project, &["init", "--quiet", "-b", "main"]);
    for (key, value) in [("user.name", "kelp"), ("user.email", "kelp@rock.test")] {
        git(project, &["config", key, value]);
    }
    git(project, &["remote", "add", "origin", remote]);
    fs::write(project.join("README"), "A holdfast is a grip.\n").unwrap();
    git(project, &["add", "README"]);
    git(project, &["commit", "--quiet", "-m", "Begin"]);
}
