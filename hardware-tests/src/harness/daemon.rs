//! Programs under test: found, started, watched, ended.
//!
//! It must never leave a process behind, and never let a program that died early look like one that is slow.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use super::Scratch;

const PAUSE: Duration = Duration::from_millis(5);

/// How much of a program's last words go into a panic message.
const TAIL: usize = 4_000;

/// A binary of this workspace, beside the test executable: `target/<profile>/<name>`.
///
/// # Panics
/// When it is not there: integration tests do not make cargo build other packages' binaries.
pub fn bin(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test executable");
    let folder = test
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name().is_some_and(|name| name != "deps"))
        .expect("the folder that cargo builds into");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace --bins` first",
        path.display()
    );
    path
}

/// When a program counts as ready.
#[derive(Clone, Copy, Debug)]
pub enum Ready<'a> {
    /// A line that contains this text was written to standard output or standard error.
    Line(&'a str),
    /// The Unix socket at this path accepts connections.
    Socket(&'a Path),
    /// This address accepts connections.
    Tcp(SocketAddr),
}

/// A running program, in a process group of its own. Dropping it kills the whole group.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts `command`; what it prints goes to `<name>.stdout` and `<name>.stderr` in `scratch`. The same name again
    /// appends: a restarted daemon's log goes on.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(scratch: &Scratch, name: &str, mut command: Command) -> Self {
        let [stdout, stderr] =
            ["stdout", "stderr"].map(|stream| scratch.join(format!("{name}.{stream}")));
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&stdout))
            .stderr(append(&stderr))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("start {name} ({command:?}): {e}"));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// Blocks until the program is ready.
    ///
    /// # Panics
    /// When it ends before that, or `deadline` passes; its last words are in the message.
    pub fn wait_ready(&self, ready: Ready<'_>, deadline: Duration) {
        let start = Instant::now();
        while !self.is(ready) {
            if let Some(exit) = self.try_exit() {
                panic!(
                    "{} ended before it was ready ({ready:?}): {exit}\n{}",
                    self.name,
                    self.last_words()
                );
            }
            assert!(
                start.elapsed() < deadline,
                "{} is not ready ({ready:?}) after {deadline:?}\n{}",
                self.name,
                self.last_words()
            );
            thread::sleep(PAUSE);
        }
    }

    /// The process id; also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// How it ended, if it has. It is reaped only when dropped: until then its id is its own, and safe to signal.
    ///
    /// # Panics
    /// When the kernel does not know our child.
    pub fn try_exit(&self) -> Option<ExitStatus> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(self.group()), look).expect("the state of a child")?;
        // As wait(2) encodes it.
        let raw = ended
            .exit_status()
            .map(|code| code << 8)
            .or(ended.terminating_signal())?;
        Some(ExitStatus::from_raw(raw))
    }

    /// Blocks until it ends by itself.
    ///
    /// # Panics
    /// When `deadline` passes.
    pub fn wait(&self, deadline: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(exit) = self.try_exit() {
                return exit;
            }
            assert!(
                start.elapsed() < deadline,
                "{} runs on after {deadline:?}\n{}",
                self.name,
                self.last_words()
            );
            thread::sleep(PAUSE);
        }
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Panics
    /// When `deadline` passes.
    pub fn terminate(&self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(deadline)
    }

    /// A crash: SIGKILL to this process alone, not to those it started. Returns when it is gone.
    ///
    /// # Panics
    /// When the kernel does not let go of it.
    pub fn sigkill(&self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10));
    }

    /// Sends a signal to this process alone; without effect when it has ended.
    pub fn signal(&self, signal: Signal) {
        // Does nothing to a process that has ended and waits to be reaped.
        let _ended = kill_process(self.group(), signal);
    }

    fn is(&self, ready: Ready<'_>) -> bool {
        match ready {
            Ready::Line(text) => [self.stdout(), self.stderr()]
                .iter()
                .any(|output| output.lines().any(|line| line.contains(text))),
            Ready::Socket(path) => UnixStream::connect(path).is_ok(),
            Ready::Tcp(address) => TcpStream::connect(address).is_ok(),
        }
    }

    /// The leader's process id names the group.
    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn last_words(&self) -> String {
        [("stdout", self.stdout()), ("stderr", self.stderr())]
            .map(|(stream, text)| {
                let skip = text.chars().count().saturating_sub(TAIL);
                format!(
                    "--- {} {stream}\n{}",
                    self.name,
                    text.chars().skip(skip).collect::<String>()
                )
            })
            .join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        // The leader is not reaped yet, so nobody else can have this group's id.
        let _gone = kill_process_group(self.group(), Signal::KILL);
        let _reaped = self.child.wait();
    }
}

fn append(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|e| panic!("open {}: {e}", path.display()))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
