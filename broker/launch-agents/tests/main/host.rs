//! A launcher of the test's own, in a cgroup of its own, and a project to work in.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use holdfast_launch_agents::assemble::{Provided, Wanted, assemble};
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::state::Facts;
use holdfast_launch_agents::store::Store;
use holdfast_launch_agents::task::{Ended, Prepared, SessionError, Sessions};
use holdfast_launch_agents::{Access, Limits, Place, ProgramName, Stdio, Tree, UserName};
use holdfast_protocol::Timestamp;
use holdfast_protocol::bounds::Bounds;
use holdfast_protocol::clock::{Clock, Floor, Reading};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::SessionId;
use rustix::fs::{Mode, OFlags, open};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::build;
use crate::human::{HUMAN, act_as, connection};
use crate::skip::skipped;

/// The bridge's port in every session.
pub const BRIDGE: NonZeroU16 = NonZeroU16::new(3128).unwrap();

/// The system's own.
pub fn clock() -> Clock {
    Clock::new(Floor::proven(Timestamp::from_millis(0)), || Reading {
        system: Timestamp::from_millis(0) + std::time::UNIX_EPOCH.elapsed().unwrap(),
        uptime: Duration::ZERO,
    })
}

/// A host with a launcher, a store and a project.
pub struct Host {
    pub sessions: Sessions,
    pub ended: mpsc::Receiver<Ended>,
    pub stop: CancellationToken,
    pub watcher: JoinSet<()>,
    pub launcher: Child,
    pub cgroup: PathBuf,
    pub scratch: tempfile::TempDir,
    /// What the sessions that are made from now on may take.
    pub limits: Limits,
    /// And under whose uid they run.
    pub runs_as: SessionUid,
    store: Store,
}

impl Host {
    /// `None`, loudly, where these tests cannot run.
    pub fn new() -> Option<Self> {
        Self::with(&[])
    }

    /// With further flags for the launcher.
    pub fn with(flags: &[&str]) -> Option<Self> {
        Self::of_broker(0, flags)
    }

    /// With a broker of this uid.
    pub fn of_broker(broker: u32, flags: &[&str]) -> Option<Self> {
        Self::started(broker, |cgroup, socket| {
            start_launcher(cgroup, socket, broker, flags)
        })
    }

    /// With a launcher that is started so, in this cgroup and for this socket.
    pub fn started(broker: u32, start: impl FnOnce(&Path, &Path) -> Child) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("needs root: sealed sessions are made by root");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for name in ["project", "sockets"] {
            fs::create_dir(at(name)).unwrap();
        }
        chown(at("project"), Some(HUMAN), Some(HUMAN)).unwrap();
        fs::set_permissions(at("project"), fs::Permissions::from_mode(0o750)).unwrap();
        let cgroup = own_cgroup();
        let socket = at("launcher.sock");
        let everybody_passes = fs::Permissions::from_mode(0o711);
        fs::set_permissions(scratch.path(), everybody_passes).unwrap();
        let launcher = start(&cgroup, &socket);
        let (sessions, watcher) = act_as(broker, move || dial(&socket));
        let (tell, ended) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(watcher.run(tell, stop.clone()));
        Some(Self {
            sessions,
            ended,
            stop,
            watcher: tasks,
            launcher,
            cgroup,
            limits: Limits::default(),
            runs_as: SessionUid::Own,
            store: Store::open(&at("store")).unwrap(),
            scratch,
        })
    }

    pub fn project(&self) -> PathBuf {
        self.scratch.path().join("project")
    }

    /// Has a session of `program` made for the human `human`; it does not run yet.
    pub async fn prepare(
        &self,
        program: &Path,
        arguments: &[&str],
        stdio: Stdio,
        human: u32,
    ) -> Result<Prepared, SessionError> {
        let trees = vec![tree(&self.project(), Access::Write)];
        self.prepare_with(program, arguments, stdio, connection(human), human, trees)
            .await
    }

    pub async fn prepare_with(
        &self,
        program: &Path,
        arguments: &[&str],
        stdio: Stdio,
        connection: OwnedFd,
        human: u32,
        trees: Vec<Tree>,
    ) -> Result<Prepared, SessionError> {
        let (kept, trees) = trees
            .into_iter()
            .partition(|tree| tree.access == Access::Keep);
        let stored = self.store.admit(&File::open(program).unwrap()).unwrap();
        let name = program.file_name().unwrap().to_str().unwrap();
        let profiles = Profile::built_in().unwrap();
        let profile = Profile::for_program(&profiles, name).unwrap();
        let wanted = Wanted {
            human: connection,
            user: UserName::parse("alice").unwrap(),
            home: Place::parse("/home/alice").unwrap(),
            directory: place(&self.project()),
            name: ProgramName::parse(name).unwrap(),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            environment: vec![
                ("TERM".to_owned(), "dumb".to_owned()),
                ("SECRET".to_owned(), "hunter2".to_owned()),
            ],
            path: vec![],
            stdio,
            trees,
        };
        let provided = Provided {
            program: stored.program,
            script: None,
            sockets: path_fd(&self.scratch.path().join("sockets")),
            runs_as: self.runs_as,
            bridge: BRIDGE,
            doors: vec![],
            environment: vec![],
            trees: kept,
            limits: self.limits,
        };
        let facts = Facts {
            kind: profile.kind.clone(),
            human,
            program: stored.digest,
            package: None,
            purpose: None,
            bounds: Bounds::default(),
            level: Level::L3,
            runs_as: self.runs_as,
            beyond: Default::default(),
        };
        let launch = assemble(profile, wanted, provided).unwrap();
        self.sessions.prepare(fresh_id(), facts, launch).await
    }

    /// Where its launcher listens.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("launcher.sock")
    }

    /// Starts another one in the place of one that was killed; returns once it listens.
    pub fn restart_launcher(&mut self) {
        self.launcher = start_launcher(&self.cgroup, &self.socket(), 0, &[]);
        drop(dial(&self.socket()));
    }

    /// The next session that is over.
    pub async fn next_ended(&mut self) -> Ended {
        let next = self.ended.recv();
        tokio::time::timeout(Duration::from_secs(10), next)
            .await
            .expect("a session ends")
            .expect("the watcher lives")
    }

    /// The host pids of everything in this host's sessions.
    pub fn pids(&self) -> Vec<i32> {
        self.leaves()
            .iter()
            .flat_map(|leaf| {
                let pids = fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default();
                let pids: Vec<i32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
                pids
            })
            .collect()
    }

    /// The cgroups of this host's sessions.
    pub fn leaves(&self) -> Vec<PathBuf> {
        let folder = self.cgroup.join("holdfast-sessions");
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.launcher.kill().unwrap();
        self.launcher.wait().unwrap();
        for leaf in self.leaves() {
            fs::write(leaf.join("cgroup.kill"), "1").ok();
        }
        for _ in 0..200 {
            self.leaves()
                .iter()
                .for_each(|leaf| drop(fs::remove_dir(leaf)));
            for inner in ["holdfast-sessions", "supervisor"] {
                fs::remove_dir(self.cgroup.join(inner)).ok();
            }
            if fs::remove_dir(&self.cgroup).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("left behind: {}", self.cgroup.display());
    }
}

pub fn tree(path: &Path, access: Access) -> Tree {
    Tree {
        source: path_fd(path),
        place: place(path),
        access,
    }
}

pub fn place(path: &Path) -> Place {
    Place::parse(path.to_str().unwrap()).unwrap()
}

fn path_fd(path: &Path) -> OwnedFd {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn fresh_id() -> SessionId {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    SessionId::from_random(bytes)
}

pub fn own_cgroup() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let root = root
        .expect("a cgroup v2 hierarchy")
        .split(' ')
        .nth(1)
        .unwrap();
    loop {
        let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroup = Path::new(root).join(format!("holdfast-test-{pid}-{number}"));
        match fs::create_dir(&cgroup) {
            // Of a process that was killed before it could tidy up, whose pid this one has now.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made.unwrap();
                return cgroup;
            }
        }
    }
}

/// A launcher in this cgroup and at this socket; it may refuse to run.
pub fn launcher(cgroup: &Path, socket: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""])
        .arg(cgroup)
        .arg(build::launcher())
        .args(["--uid-range", "70000-70999", "--bind"])
        .arg(socket);
    command
}

fn start_launcher(cgroup: &Path, socket: &Path, broker: u32, flags: &[&str]) -> Child {
    let mut command = launcher(cgroup, socket);
    command.args(["--broker-uid", &broker.to_string()]);
    command.args(flags).spawn().unwrap()
}

fn dial(socket: &Path) -> (Sessions, holdfast_launch_agents::task::Watcher) {
    for _ in 0..500 {
        if let Ok((sessions, watcher, greeting)) = Sessions::connect(socket, clock()) {
            let log = Path::new("/sys/kernel/security/tpm0/binary_bios_measurements");
            assert_eq!(greeting.event_log.is_some(), log.exists());
            let log = Path::new("/run/log/systemd/tpm2-measure.log");
            assert_eq!(greeting.systemd_log.is_some(), log.exists());
            return (sessions, watcher);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the launcher does not answer");
}

pub async fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}
