//! What sessions cost: their hot path nothing, by the real broker, the real hook, real git and Python's `spiffe`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{GitRemote, Guarded, git, wait_until};
use holdfast_hardware_tests::world::World;
use serde_json::{Value, json};

use super::{Table, nothing_is_left};
use crate::support::install_spiffe;

const USER: &str = "agent";
const TOKEN: &str = "glpat-Pk3Vt8Wc5Hs1Nq6Jz0Ld";
const PIN: &str = "kelp-and-rock";

/// How long a step may take on a busy machine; a key in use is fetched again within that, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// No checkpoint by time or by number of records: those are counted by themselves.
const RARELY: &str = "[audit]\ncheckpoint-seconds = 86400\ncheckpoint-records = 100000";

/// Works step by step, each when it is told to.
const WORK: &str = r#"set -e
told() { while [ ! -e "$1" ]; do sleep 0.02; done; }
hook() { /opt/holdfast/libexec/holdfast-hook claude < "$1"; }
calls() { for n in 1 2 3 4 5 6 7 8 9 10; do hook harmless.json | grep -q '"permissionDecision":"allow"'; done; }
looks() { for n in 1 2 3 4 5; do git ls-remote origin; done; }
hook harmless.json; looks; touch warm
told calls; calls; touch calls-done
told looks; looks; touch looks-done
/usr/bin/python3 -S fetch.py
told ask; hook push.json > answer; touch ask-done
while [ ! -e enough ]; do git ls-remote origin; sleep 1; done
"#;

/// One client, as a program of the session's has it.
const FETCH: &str = r"
import os, sys, time; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
def step(name, fetch):
    fetch()
    open(name + '-warm', 'w').close()
    while not os.path.exists(name): time.sleep(0.02)
    for _ in range(10): fetch()
    open(name + '-done', 'w').close()
with WorkloadApiClient() as client:
    step('x509', client.fetch_x509_svid)
    step('jwt', lambda: client.fetch_jwt_svid(audience={'api.example'}))
";

struct Stage {
    world: World,
    project: PathBuf,
    session: Child,
    _remote: GitRemote,
}

impl Stage {
    /// A session that has a secret, with all that it uses fetched once.
    fn set(table: &mut Table) -> Option<Self> {
        let mut world = World::sealed()?;
        let project = world.scratch.folder("project");
        if !install_spiffe(&project.join("site")) {
            return None;
        }
        let remote = GitRemote::start(&world.scratch, USER, TOKEN, Guarded::Everything);
        git(&project, &["init", "--quiet", "-b", "main"]);
        git(&project, &["remote", "add", "origin", &remote.url()]);
        for (name, command) in [("harmless", "cargo test"), ("push", "git push origin main")] {
            fs::write(
                project.join(name).with_extension("json"),
                call(&project, command),
            )
            .unwrap();
        }
        fs::write(project.join("work"), WORK).unwrap();
        fs::write(project.join("fetch.py"), FETCH).unwrap();
        world.declare(RARELY);
        let holdfast = |arguments: &[&str]| world.broker.holdfast(arguments).success();
        let pin = world.scratch.private("pin", PIN);
        let token = world.scratch.private("token", TOKEN);
        holdfast(&["factors", "enroll", "--pin-file", &pin]);
        holdfast(&["secrets", "init", "--headless"]);
        let origin = ["origin", "--git", &remote.url(), "--username", USER];
        holdfast(&[&["secrets", "add"], &origin[..], &["--value-file", &token]].concat());
        holdfast(&["audit", "checkpoint"]);

        world.proxy.reset();
        let session = world
            .broker
            .holdfast_command()
            .current_dir(&project)
            .args(["run", "--", "sh", "./work"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stage = Self {
            world,
            project,
            session,
            _remote: remote,
        };
        stage.until("warm");
        table.line(&stage.world.proxy, "session: start, its secret's lease", 7);
        Some(stage)
    }

    fn until(&self, done: &str) {
        wait_until(PATIENCE, done, || self.project.join(done).exists());
    }

    fn tell(&self, step: &str) {
        fs::write(self.project.join(step), "").unwrap();
    }

    /// Has the session take this step.
    fn step(&self, step: &str) {
        self.world.proxy.reset();
        self.tell(step);
        self.until(&format!("{step}-done"));
    }
}

pub fn the_sessions(table: &mut Table) {
    let Some(mut stage) = Stage::set(table) else {
        return;
    };
    for (step, warm, what) in [
        ("calls", None, "session: 10 calls decided"),
        ("looks", None, "session: 5 uses of its secret"),
        ("x509", Some("x509-warm"), "session: 10 X.509-SVIDs"),
        ("jwt", Some("jwt-warm"), "session: 10 JWT-SVIDs"),
    ] {
        if let Some(warm) = warm {
            stage.until(warm);
        }
        stage.step(step);
        table.line(&stage.world.proxy, what, 0);
    }

    stage.tell("ask");
    let call = stage.asked();
    table.line(&stage.world.proxy, "session: a call that asks", 0);
    let pin = stage.world.scratch.join("pin").display().to_string();
    let approve = ["approvals", "approve", &call, "--pin-file", &pin];
    stage.world.broker.holdfast(&approve).success();
    stage.until("ask-done");
    let answer = fs::read_to_string(stage.project.join("answer")).unwrap();
    assert!(answer.contains("\"allow\""), "{answer}");
    // An approval is frozen into the log at once, by a checkpoint with the counter; nothing else counts here.
    let proxy = &stage.world.proxy;
    wait_until(PATIENCE, "the approval's checkpoint", || {
        ["NV_Increment", "NV_Read", "NV_Certify"]
            .iter()
            .all(|command| proxy.count(command) == 1)
    });
    table.line(proxy, "session: a call approved, checkpoint", 8 + 8);

    // While the secret is in use, its key comes back from the TPM before the minute is over.
    wait_until(PATIENCE, "the key to be fetched again", || {
        proxy.count("Unseal") == 1
    });
    stage.tell("enough");
    assert!(stage.session.wait().unwrap().success());
    table.line(proxy, "session: its secret's key again", 10);
    nothing_is_left(stage.world);
}

impl Stage {
    /// The one call that is asked about.
    fn asked(&self) -> String {
        let mut asked: Vec<Value> = Vec::new();
        wait_until(PATIENCE, "a question", || {
            let listed = self.world.broker.holdfast(&["approvals", "--json"]);
            asked = serde_json::from_str(&listed.success()).unwrap();
            !asked.is_empty()
        });
        asked[0]["call"].as_str().unwrap().to_owned()
    }
}

/// What Claude Code asks its hook.
fn call(project: &Path, command: &str) -> String {
    let call = json!({
        "hook_event_name": "PreToolUse",
        "cwd": project,
        "tool_name": "Bash",
        "tool_use_id": "toolu_1",
        "tool_input": {"command": command},
    });
    call.to_string()
}
