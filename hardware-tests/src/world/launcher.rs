//! A launcher that runs, in a cgroup of its own.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::Account;
use crate::harness::{Daemon, Scratch, bin, wait_until};

/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom a launcher serves.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whose broker.
    pub broker: Account,
    /// And whose sessions it makes.
    pub humans: Humans,
    /// The uids of those.
    pub uids: &'static str,
}

/// Who may have sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Humans {
    /// Humans, as on a host.
    Only,
    /// Root as well, as whom the tests run.
    AndRoot,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            broker: Account::System,
            humans: Humans::AndRoot,
            uids: "70000-70999",
        }
    }
}

/// A running launcher. Dropping it kills it and every session, and gives its cgroup back.
pub struct Launcher {
    daemon: Option<Daemon>,
    cgroup: PathBuf,
    socket: PathBuf,
    terms: Terms,
}

impl Launcher {
    /// Starts one on these terms; needs root.
    pub fn start(scratch: &Scratch, socket: &Path, terms: Terms) -> Self {
        let mut launcher = Self {
            daemon: None,
            cgroup: own_cgroup(),
            socket: socket.to_owned(),
            terms,
        };
        launcher.resume(scratch);
        launcher
    }

    /// Starts it again after [`Launcher::kill`].
    pub fn resume(&mut self, scratch: &Scratch) {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&self.cgroup)
            .arg(bin("holdfast-launcher"))
            .args(["--broker-uid", &self.terms.broker.uid().to_string()])
            .args(["--uid-range", self.terms.uids, "--bind"])
            .arg(&self.socket);
        if self.terms.humans == Humans::AndRoot {
            command.arg("--allow-root-human");
        }
        // One that was killed left its socket behind.
        fs::remove_file(&self.socket).ok();
        self.daemon = Some(Daemon::spawn(scratch, "launcher", command));
        // Not by connecting: it serves one broker.
        wait_until(PATIENCE, "the launcher listens", || self.socket.exists());
    }

    /// Kills it: -9.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.sigkill();
            daemon.wait(PATIENCE);
        }
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a launcher that runs").pid()
    }

    /// The processes of its sessions.
    pub fn pids(&self) -> Vec<u32> {
        let sessions = self.sessions().into_iter();
        let listed = sessions.map(|session| fs::read_to_string(session.join("cgroup.procs")));
        listed
            .flat_map(|pids| {
                let pids = pids.unwrap_or_default();
                let pids: Vec<u32> = pids.lines().filter_map(|pid| pid.parse().ok()).collect();
                pids
            })
            .collect()
    }

    /// How many they are.
    pub fn processes(&self) -> usize {
        self.pids().len()
    }

    /// The cgroups of the sessions that are there.
    pub fn sessions(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.cgroup.join("holdfast-sessions")) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_dir())
            .collect()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.daemon.take();
        for _ in 0..300 {
            for session in self.sessions() {
                fs::write(session.join("cgroup.kill"), "1").ok();
                remove_below(&session);
                fs::remove_dir(session).ok();
            }
            for inner in ["holdfast-sessions", "supervisor"] {
                fs::remove_dir(self.cgroup.join(inner)).ok();
            }
            if fs::remove_dir(&self.cgroup).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        eprintln!("left behind: {}", self.cgroup.display());
    }
}

/// Sub-agents' cgroups, which go before their session's.
fn remove_below(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_below(&entry.path());
            fs::remove_dir(entry.path()).ok();
        }
    }
}

fn own_cgroup() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .and_then(|line| line.split(' ').nth(1))
        .expect("a cgroup v2 hierarchy");
    loop {
        let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroup = Path::new(root).join(format!("holdfast-world-{pid}-{number}"));
        match fs::create_dir(&cgroup) {
            // Of a process that was killed before it could tidy up, whose pid this one has now.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made.expect("a cgroup");
                return cgroup;
            }
        }
    }
}
