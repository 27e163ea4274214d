//! An attestor that runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Daemon, Ready, Scratch, WrongClock, bin};

/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running attestor.
pub struct Attestor {
    daemon: Option<Daemon>,
    clock: Option<WrongClock>,
    config: PathBuf,
    address: SocketAddr,
}

impl Attestor {
    /// Starts one for the trust domain `world.test`, which takes simulated TPMs.
    pub fn start(scratch: &Scratch) -> Self {
        Self::start_with(scratch, "")
    }

    /// As [`Attestor::start`], with more configuration (TOML tables of their own).
    pub fn start_with(scratch: &Scratch, more: &str) -> Self {
        Self::start_as(
            scratch,
            &format!("[enrollment]\naccept-simulated = true\n{more}"),
        )
    }

    /// Starts one for the trust domain `world.test` with these TOML tables and no others; keys before the first table are
    /// the configuration's own.
    pub fn start_as(scratch: &Scratch, tables: &str) -> Self {
        Self::start_in(scratch, "world.test", tables)
    }

    /// As [`Attestor::start_with`], for another trust domain.
    pub fn start_of(scratch: &Scratch, trust_domain: &str, more: &str) -> Self {
        let tables = format!("[enrollment]\naccept-simulated = true\n{more}");
        Self::start_in(scratch, trust_domain, &tables)
    }

    fn start_in(scratch: &Scratch, trust_domain: &str, tables: &str) -> Self {
        let state = scratch.join("attestor");
        let address = crate::harness::free_port();
        let config = scratch.write(
            "attestor.toml",
            format!(
                "trust-domain = \"{trust_domain}\"\nstate = \"{}\"\nlisten = \"{address}\"\n{tables}",
                state.display()
            ),
        );
        let mut attestor = Self {
            daemon: None,
            clock: None,
            config,
            address,
        };
        attestor.resume(scratch);
        attestor
    }

    /// Starts it again after [`Attestor::kill`].
    pub fn resume(&mut self, scratch: &Scratch) {
        let mut command = Command::new(bin("holdfast-attestor"));
        command.arg("--config").arg(&self.config).arg("serve");
        if let Some(clock) = &self.clock {
            clock.lend(&mut command);
        }
        let daemon = Daemon::spawn(scratch, "attestor", command);
        daemon.wait_ready(Ready::Tcp(self.address), PATIENCE);
        self.daemon = Some(daemon);
    }

    /// From its next start on it goes by this clock.
    pub fn goes_by(&mut self, clock: &WrongClock) {
        self.clock = Some(clock.clone());
    }

    /// Kills it: -9.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.sigkill();
            daemon.wait(PATIENCE);
        }
    }

    /// Where hosts reach it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::stderr).unwrap_or_default()
    }

    /// A fresh one-time token.
    pub fn token(&self) -> String {
        self.run(&["token", "create"]).trim().to_owned()
    }

    /// Runs one of its commands and gives what it printed.
    ///
    /// # Panics
    /// When the command fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(bin("holdfast-attestor"))
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .output()
            .expect("holdfast-attestor runs");
        assert!(
            output.status.success(),
            "holdfast-attestor {arguments:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }
}
