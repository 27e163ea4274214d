//! This terminal, lent to a session's own.
//!
//! Bytes are copied between the two while this is raw; it is restored however the session ends. A
//! session never holds this terminal, so it can push nothing into it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// How often the rest of the output is looked for, and how many times.
const LOOK: Duration = Duration::from_millis(5);
const MAX_LOOKS: u32 = 200;

/// A lent terminal; given back when dropped.
#[derive(Debug)]
pub struct Screen {
    before: Termios,
    other_end: OwnedFd,
    output: Option<JoinHandle<()>>,
}

impl Screen {
    /// Makes this terminal raw and copies between it and `other_end`.
    pub fn take(other_end: OwnedFd) -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        let (typed, shown) = (other_end.try_clone()?, other_end.try_clone()?);
        // It waits for keys and ends with this process.
        thread::spawn(move || copy(std::io::stdin().lock(), File::from(typed)));
        let output = thread::spawn(move || copy(File::from(shown), std::io::stdout().lock()));
        // It may have changed since the session was asked for.
        Self::resize(&other_end);
        Ok(Self {
            before,
            other_end,
            output: Some(output),
        })
    }

    /// Gives the terminal back while the session's own lives on: all that was written to it is shown first.
    pub fn leave(mut self) {
        for _ in 0..MAX_LOOKS {
            let mut other_end = [PollFd::new(&self.other_end, PollFlags::IN)];
            let written = poll(&mut other_end, Some(&Timespec::default())).unwrap_or(0) > 0
                && other_end
                    .iter()
                    .all(|end| end.revents().contains(PollFlags::IN));
            if !written {
                break;
            }
            thread::sleep(LOOK);
        }
        // It may wait for what runs in the background there.
        self.output = None;
    }

    /// Another handle on the session's terminal.
    pub fn other_end(&self) -> std::io::Result<OwnedFd> {
        self.other_end.try_clone()
    }

    /// Gives the session's terminal the size of this one.
    pub fn resize(other_end: &OwnedFd) {
        if let Ok(size) = tcgetwinsize(std::io::stdin()) {
            // A session that has just ended needs no size.
            let _ = tcsetwinsize(other_end, size);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The session is over: its terminal ends, and with it the output, once all is shown.
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Copies until one side ends; unbuffered, for a person waits for every byte.
pub fn copy(mut from: impl Read, mut to: impl Write) {
    let mut bytes = [0; 4096];
    while let Ok(read) = from.read(&mut bytes) {
        let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else {
            return;
        };
        if to.write_all(read).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
