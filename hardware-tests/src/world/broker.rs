//! A broker that runs, and the command line that speaks to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Daemon, Ready, Scratch, bin};

/// How long it may take to start on a busy machine with a slow TPM.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running broker.
pub struct Broker {
    daemon: Option<Daemon>,
    config: PathBuf,
    state: PathBuf,
    socket: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said of failures.
    pub stderr: String,
}

impl Ran {
    /// Its output.
    ///
    /// # Panics
    /// When it failed.
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }
}

impl Broker {
    /// Starts one whose TPM is `device`, as its configuration names it.
    pub fn start(scratch: &Scratch, device: &str) -> Self {
        let state = scratch.join("holdfast");
        let run = scratch.socket_dir();
        let config = scratch.write(
            "holdfastd.toml",
            format!(
                "state = \"{}\"\nrun = \"{}\"\n[tpm]\ndevice = \"{device}\"\n",
                state.display(),
                run.display()
            ),
        );
        let mut broker = Self {
            daemon: None,
            config,
            state,
            socket: run.join("management.sock"),
        };
        broker.resume(scratch);
        broker
    }

    /// Starts it again after [`Broker::kill`] or [`Broker::stop`].
    pub fn resume(&mut self, scratch: &Scratch) {
        let daemon = Daemon::spawn(scratch, "holdfastd", self.command());
        daemon.wait_ready(Ready::Socket(&self.socket), PATIENCE);
        self.daemon = Some(daemon);
    }

    /// Tries to start it, for a start that has to fail; gives its exit code and its last words.
    pub fn attempt(&mut self, scratch: &Scratch) -> (i32, String) {
        let before = std::fs::read_to_string(scratch.join("attempt.stderr")).unwrap_or_default();
        let daemon = Daemon::spawn(scratch, "attempt", self.command());
        let exit = daemon.wait(PATIENCE);
        let words = daemon.stderr();
        (
            exit.code().unwrap_or(-1),
            words.strip_prefix(&before).unwrap_or(&words).to_owned(),
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new(bin("holdfastd"));
        command
            .arg("--config")
            .arg(&self.config)
            .env("TSS2_LOG", "all+none");
        command
    }

    /// Kills it: -9.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.sigkill();
            daemon.wait(PATIENCE);
        }
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// When it does not end with 0.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let exit = daemon.terminate(PATIENCE);
            assert!(exit.success(), "holdfastd: {exit}\n{}", daemon.stderr());
        }
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// What it keeps.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Its management socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::stderr).unwrap_or_default()
    }

    /// Runs `holdfast` against it.
    pub fn holdfast(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(bin("holdfast"))
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments)
            .output()
            .expect("holdfast runs");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}
