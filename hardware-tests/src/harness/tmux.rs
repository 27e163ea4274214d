//! A terminal that people use: tmux, with a server of its own, typed into and read as a human would.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Scratch;

/// How long something may take to be on the screen of a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A window of 80 by 24 characters; its server ends when it is dropped.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Starts one that runs `command`, a line for `sh`.
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

    /// Types text, and a line's end after it.
    ///
    /// # Panics
    /// When the window is gone.
    pub fn line(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
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
        Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux is installed")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may have ended with its command.
        self.command(&["kill-server"]);
    }
}
