//! A broker that runs, and the command line that speaks to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Account;
use crate::harness::{Daemon, Ready, Scratch, WrongClock, bin};

/// How long it may take to start on a busy machine with a slow TPM.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running broker.
pub struct Broker {
    daemon: Option<Daemon>,
    account: Account,
    programs: Option<PathBuf>,
    clock: Option<WrongClock>,
    lent: Vec<(&'static str, String)>,
    kernel: Option<&'static str>,
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
    /// Runs `command` to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn of(command: &mut Command) -> Self {
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("holdfast runs");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

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
        Self::start_with(scratch, device, "")
    }

    /// As [`Broker::start`], with more configuration (TOML tables of their own).
    pub fn start_with(scratch: &Scratch, device: &str, more: &str) -> Self {
        Self::start_as(Account::Own, scratch, device, more)
    }

    /// As [`Broker::start_with`], run by `account`, whose state and run folders are.
    pub fn start_as(account: Account, scratch: &Scratch, device: &str, more: &str) -> Self {
        let state = scratch.join("holdfast");
        let run = scratch.socket_dir();
        let config = scratch.write(
            "holdfastd.toml",
            format!(
                "state = \"{}\"\nrun = \"{}\"\n[tpm]\ndevice = \"{device}\"\n{more}",
                state.display(),
                run.display()
            ),
        );
        account.passes(scratch.path());
        account.owns(&state);
        account.owns(&run);
        let mut broker = Self {
            daemon: None,
            account,
            programs: None,
            clock: None,
            lent: Vec::new(),
            kernel: None,
            config,
            state,
            socket: run.join("management.sock"),
        };
        broker.resume(scratch);
        broker
    }

    /// Starts it again after [`Broker::kill`] or [`Broker::stop`].
    pub fn resume(&mut self, scratch: &Scratch) {
        let socket = self.socket.clone();
        self.begin(scratch)
            .wait_ready(Ready::Socket(&socket), PATIENCE);
    }

    /// As [`Broker::resume`], without waiting until it is ready.
    pub fn begin(&mut self, scratch: &Scratch) -> &Daemon {
        let daemon = Daemon::spawn(scratch, "holdfastd", self.command());
        self.daemon.insert(daemon)
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
        let program = self.programs.as_ref().map(|own| own.join("holdfastd"));
        let program = program.unwrap_or_else(|| bin("holdfastd"));
        let mut words = match &self.clock {
            Some(clock) => clock.words(&program),
            None => vec![program.into()],
        };
        if let Some(lacks) = self.kernel {
            words.splice(..0, [bin("holdfast-old-kernel").into(), lacks.into()]);
        }
        let mut command = self.account.command(&words);
        command
            .arg("--config")
            .arg(&self.config)
            .env("TSS2_LOG", "all+none");
        command.envs(self.lent.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// From its next start on it is the one in `folder`, with what lies beside it there.
    pub fn programs_from(&mut self, folder: &Path) {
        self.programs = Some(folder.to_owned());
    }

    /// From its next start on it goes by this clock.
    pub fn goes_by(&mut self, clock: &WrongClock) {
        self.clock = Some(clock.clone());
    }

    /// From its next start on it has this variable in its environment.
    pub fn lends(&mut self, name: &'static str, value: &str) {
        self.lent.push((name, value.to_owned()));
    }

    /// From its next start on its kernel lacks this: `peer-pidfd` (Linux 6.5) or `pidfd-info` (6.13).
    pub fn kernel_lacks(&mut self, what: &'static str) {
        self.kernel = Some(what);
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

    /// Waits until it has ended by itself; gives its exit code and its log.
    ///
    /// # Panics
    /// When it goes on.
    pub fn ended(&mut self) -> (i32, String) {
        let daemon = self.daemon.take().expect("a broker that was started");
        let exit = daemon.wait(PATIENCE);
        (exit.code().unwrap_or(-1), daemon.stderr())
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// Its configuration file; a change holds from the next start on.
    pub fn config(&self) -> &Path {
        &self.config
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
        Ran::of(self.holdfast_command().args(arguments))
    }

    /// Runs `program` in a sealed session of `project`.
    pub fn run(&self, project: &Path, program: &[&str]) -> Ran {
        let mut command = self.holdfast_command();
        command.current_dir(project).arg("run").arg("--project");
        Ran::of(command.arg(project).arg("--").args(program))
    }

    /// What the human's own command keeps.
    pub fn human_state(&self) -> PathBuf {
        self.state.with_file_name("human")
    }

    /// `holdfast`, told where the broker is, with a state folder of this world's own.
    pub fn holdfast_command(&self) -> Command {
        let mut command = Command::new(bin("holdfast"));
        command
            .arg("--socket")
            .arg(&self.socket)
            .env("XDG_STATE_HOME", self.human_state());
        command
    }
}
