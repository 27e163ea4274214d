//! A session that shows whether it moves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;
use serde_json::Value;

use super::PATIENCE;

/// A session that writes all the time.
pub struct Beating {
    pub session: String,
    beat: PathBuf,
    run: Child,
}

impl Beating {
    pub fn start(world: &World) -> Self {
        let project = world.scratch.folder("beating");
        let mut run = world.broker.holdfast_command();
        let run = run
            .arg("run")
            .arg("--project")
            .arg(&project)
            .args(["--", "sh", "-c", "while :; do date +%N > beat; done"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let beat = project.join("beat");
        wait_until(PATIENCE, "a beat", || beat.exists());
        let listed = world.broker.holdfast(&["sessions", "--json"]).success();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        Self {
            session: listed[0]["session"].as_str().unwrap().to_owned(),
            beat,
            run,
        }
    }

    pub fn beats(&self) {
        let before = fs::read(&self.beat).unwrap();
        wait_until(PATIENCE, "it goes on", || {
            let now = fs::read(&self.beat).unwrap();
            now != before && !now.is_empty()
        });
    }

    /// By the kernel's word.
    pub fn is_frozen(&self, world: &World) -> bool {
        let sessions = world.launcher.as_ref().unwrap().sessions();
        sessions.len() == 1 && is_frozen(&sessions[0])
    }

    pub fn end(mut self) {
        self.run.kill().unwrap();
        self.run.wait().unwrap();
    }
}

/// By the kernel's word.
pub fn is_frozen(cgroup: &Path) -> bool {
    let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1")
}
