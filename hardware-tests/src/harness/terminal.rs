//! A terminal with a human before it: tmux, which draws what a program draws and types what it is told to type.
//!
//! It must never share a server or a configuration with the person who runs the tests.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::Scratch;

/// How long a program may take to draw something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the screen is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// A terminal that one program runs in. Dropped, it hangs up.
#[derive(Debug)]
pub struct Terminal {
    server: PathBuf,
}

impl Terminal {
    /// Opens one of this size, in characters, for a shell's command line.
    ///
    /// # Panics
    /// Where there is no tmux.
    pub fn open(scratch: &Scratch, command: &Command, (columns, rows): (u16, u16)) -> Self {
        let terminal = Self {
            server: scratch.socket("terminal"),
        };
        let mut open = terminal.tmux(["new-session", "-d"]);
        open.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        if let Some(folder) = command.get_current_dir() {
            open.arg("-c").arg(folder);
        }
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                let setting = [name, OsStr::new("="), value]
                    .into_iter()
                    .collect::<std::ffi::OsString>();
                open.arg("-e").arg(setting);
            }
        }
        // What it leaves on the screen stays to be read.
        open.arg("--")
            .arg("sh")
            .arg("-c")
            .arg("\"$@\"; echo \"[exit $?]\"; exec sleep 600")
            .arg("sh");
        done(open.arg(command.get_program()).args(command.get_args()));
        terminal
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        let shown = done(&mut self.tmux(["capture-pane", "-p"]));
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    /// Waits until the screen shows `text`.
    ///
    /// # Panics
    /// When it does not, in a minute.
    pub fn shows(&self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "no `{text}` on the screen:\n{}",
                self.screen()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Types `text`, as it stands.
    pub fn types(&self, text: &str) {
        done(self.tmux(["send-keys", "-l", "--"]).arg(text));
    }

    /// Presses a key by its name in tmux: `Enter`, `C-c`.
    pub fn presses(&self, key: &str) {
        done(self.tmux(["send-keys"]).arg(key));
    }

    /// Makes the window this large, in characters.
    pub fn resize(&self, (columns, rows): (u16, u16)) {
        let mut resize = self.tmux(["resize-window"]);
        done(resize.args(["-x", &columns.to_string(), "-y", &rows.to_string()]));
    }

    fn tmux<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-f", "/dev/null", "-S"]).arg(&self.server);
        tmux.env("LC_ALL", "C.UTF-8").arg("-u").args(arguments);
        tmux
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is gone already where it hung up by itself.
        self.tmux(["kill-server"]).output().ok();
    }
}

fn done(tmux: &mut Command) -> Output {
    let output = tmux.output().expect("tmux runs");
    assert!(output.status.success(), "{tmux:?}: {output:?}");
    output
}
