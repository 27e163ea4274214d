//! A human without any right, with a home, a project and a broker of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{bin, skipped, wait_until};
use holdfast_hardware_tests::world::Ran;
use rustix::process::{Pid, Signal, kill_process};

/// One, and what is theirs. Dropped, their broker ends.
pub struct Human {
    uid: u32,
    home: tempfile::TempDir,
    project: PathBuf,
}

impl Human {
    /// One with this uid, which no other test has; `None`, loudly, where humans cannot be made.
    pub fn new(uid: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("a human of another uid is made by root");
            return None;
        }
        let home = tempfile::Builder::new().prefix("hf-").tempdir().unwrap();
        let human = Self {
            uid,
            project: home.path().join("project"),
            home,
        };
        for folder in [
            human.home().to_owned(),
            human.project.clone(),
            human.runtime(),
        ] {
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
            chown(&folder, Some(uid), Some(uid)).unwrap();
        }
        human.put(
            ".gitconfig",
            "[user]\n\tname = Ann\n\temail = ann@example.test\n",
        );
        Some(human)
    }

    /// Their home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Their project.
    pub fn project(&self) -> &Path {
        &self.project
    }

    fn runtime(&self) -> PathBuf {
        self.home().join("run")
    }

    /// A file of theirs.
    pub fn put(&self, place: &str, content: &str) -> PathBuf {
        let path = self.home().join(place);
        for folder in Path::new(place).ancestors().skip(1) {
            let folder = self.home().join(folder);
            if !folder.exists() {
                fs::create_dir_all(&folder).unwrap();
                chown(&folder, Some(self.uid), Some(self.uid)).unwrap();
            }
        }
        fs::write(&path, content).unwrap();
        chown(&path, Some(self.uid), Some(self.uid)).unwrap();
        path
    }

    /// A command as them, without any right.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let uid = self.uid.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
            .args(["--inh-caps", "-all", "--"])
            .arg(program)
            .current_dir(&self.project)
            .env_clear()
            .env("HOME", self.home())
            .env("USER", "ann")
            .env("PATH", "/usr/bin:/bin:/usr/sbin")
            .env("TSS2_LOG", "all+none")
            .env("XDG_RUNTIME_DIR", self.runtime());
        if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Runs `holdfast` to its end.
    pub fn holdfast(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(bin("holdfast")).args(arguments))
    }

    fn session_of(&self, program: &[&str]) -> Command {
        let mut command = self.command(bin("holdfast"));
        command.args(["run", "--contained", "--project"]);
        command.arg(&self.project).arg("--").args(program);
        command
    }

    /// Runs `program` in a contained session of the project.
    pub fn run(&self, program: &[&str]) -> Ran {
        Ran::of(&mut self.session_of(program))
    }

    /// Starts `program` so.
    pub fn start(&self, program: &[&str]) -> Child {
        let mut command = self.session_of(program);
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    /// Git in the project, as them.
    pub fn git(&self, arguments: &[&str]) -> String {
        Ran::of(self.command("git").args(arguments)).success()
    }

    /// Their session that runs.
    pub fn session(&self) -> String {
        let listed = self.holdfast(&["sessions", "--json"]).success();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let running = listed.as_array().unwrap().iter();
        let mut running = running.filter(|session| session["phase"] == "running");
        running.next().unwrap()["session"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The process of their broker, if one runs.
    pub fn broker(&self) -> Option<u32> {
        let socket = self.runtime().join("holdfast/management.sock");
        let stream = UnixStream::connect(socket).ok()?;
        let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
        u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
    }

    /// The processes that it started.
    pub fn children(&self, of: u32) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{of}/task")).unwrap();
        let children =
            threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")));
        children
            .flat_map(|pids| {
                let pids = pids.unwrap_or_default();
                let pids: Vec<u32> = pids
                    .split_whitespace()
                    .map(|pid| pid.parse().unwrap())
                    .collect();
                pids
            })
            .collect()
    }

    /// The processes of this human that have another pid namespace than this one's and stand in the folder of `file`.
    pub fn processes_in(&self, file: &Path) -> Vec<u32> {
        let own = fs::read_link("/proc/self/ns/pid").unwrap();
        let folder = file.parent().unwrap();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let link = |name| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
            link("cwd") == folder && link("ns/pid") != own && !link("ns/pid").as_os_str().is_empty()
        })
        .collect()
    }
}

/// Whether a process is this program.
pub fn is_called(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

/// Kills a process: -9.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).ok();
}

impl Drop for Human {
    fn drop(&mut self) {
        if let Some(broker) = self.broker() {
            signal(broker, Signal::TERM);
            wait_until(Duration::from_secs(20), "the human's broker ends", || {
                self.broker().is_none()
            });
        }
        if std::thread::panicking() {
            let log = self
                .home()
                .join(".local/state/holdfast/contained/holdfastd.log");
            eprintln!("{}", fs::read_to_string(log).unwrap_or_default());
        }
    }
}
