//! A terminal that people use: tmux, with a server of its own, typed into and read as a human would.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Scratch;

/// How long something may take to be on the screen of a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A window; its server ends when it is dropped.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Starts one of 80 by 24 characters that runs `command`, a line for `sh`.
    ///
    /// # Panics
    /// When tmux is not installed.
    pub fn start(scratch: &Scratch, name: &str, command: &str) -> Self {
        let tmux = Self {
            socket: scratch.socket_dir().join(name),
        };
        tmux.run(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            command,
        ]);
        tmux
    }

    /// Starts one of so many columns and rows that runs `command`, in its folder and with its variables. How it
    /// ended stays on the screen: `[exit 0]`.
    ///
    /// # Panics
    /// When tmux is not installed.
    pub fn open(scratch: &Scratch, name: &str, command: &Command, size: (u16, u16)) -> Self {
        let tmux = Self {
            socket: scratch.socket_dir().join(name),
        };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let mut open = tmux.tmux();
        open.args(["-f", "/dev/null", "new-session", "-d"]);
        open.args(["-x", &columns, "-y", &rows]);
        if let Some(folder) = command.get_current_dir() {
            open.arg("-c").arg(folder);
        }
        for (name, value) in command.get_envs() {
            let Some(value) = value else { continue };
            let setting: OsString = [name, OsStr::new("="), value].into_iter().collect();
            open.arg("-e").arg(setting);
        }
        // One Ctrl-C too many must not take the screen away.
        let stays = "trap : INT; \"$@\"; echo \"[exit $?]\"; trap '' INT; exec sleep 600";
        open.args(["--", "sh", "-c", stays, "sh"]);
        open.arg(command.get_program()).args(command.get_args());
        let output = open.output().expect("tmux is installed");
        assert!(output.status.success(), "{open:?}: {output:?}");
        tmux
    }

    /// Types text.
    ///
    /// # Panics
    /// When the window is gone.
    pub fn text(&self, text: &str) {
        self.run(&["send-keys", "-l", "--", text]);
    }

    /// Types text, and a line's end after it.
    ///
    /// # Panics
    /// When the window is gone.
    pub fn line(&self, text: &str) {
        self.text(text);
        self.key("Enter");
    }

    /// Presses a key by tmux's name: `C-c`, `C-z`.
    ///
    /// # Panics
    /// When the window is gone.
    pub fn key(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    /// Makes the window of another size.
    ///
    /// # Panics
    /// When the window is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.run(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// What is on the screen now.
    pub fn screen(&self) -> String {
        let shown = self.command(&["capture-pane", "-p", "-J"]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    /// Waits until the screen shows this.
    ///
    /// # Panics
    /// When it does not come.
    pub fn shows(&self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            let late = start.elapsed() > PATIENCE;
            assert!(!late, "no `{text}` on the screen:\n{}", self.screen());
            sleep(Duration::from_millis(50));
        }
    }

    fn run(&self, arguments: &[&str]) {
        let output = self.command(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {words}");
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut tmux = self.tmux();
        tmux.args(arguments).output().expect("tmux is installed")
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-u").arg("-S").arg(&self.socket);
        tmux.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        tmux
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may have ended with its command.
        self.command(&["kill-server"]);
    }
}
