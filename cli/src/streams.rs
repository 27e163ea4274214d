//! Standard input, output and error for a session without a terminal: lent as they are, or copied.
//!
//! A session never holds this terminal, so a stream that is one is not lent: bytes pass through a pipe.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::screen::copy;

/// How long output that was written before an end may take to be shown.
const MOMENT: Duration = Duration::from_secs(1);

/// What a session is given, and what copies the rest.
#[derive(Debug)]
pub struct Streams {
    given: [OwnedFd; 3],
    output: Vec<JoinHandle<()>>,
}

/// The output that is copied here.
#[derive(Debug)]
pub struct Shown(Vec<JoinHandle<()>>);

impl Streams {
    /// Lends this process's.
    pub fn lend() -> std::io::Result<Self> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let mut output = Vec::new();
        let input = if stdin.is_terminal() {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            // It waits for lines and ends with this process.
            thread::spawn(move || copy(std::io::stdin().lock(), File::from(write)));
            read
        } else {
            stdin.as_fd().try_clone_to_owned()?
        };
        let mut shown = |stream: BorrowedFd<'_>| -> std::io::Result<OwnedFd> {
            let own = stream.try_clone_to_owned()?;
            if !rustix::termios::isatty(&own) {
                return Ok(own);
            }
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            output.push(thread::spawn(move || {
                copy(File::from(read), File::from(own));
            }));
            Ok(write)
        };
        let given = [input, shown(stdout.as_fd())?, shown(stderr.as_fd())?];
        Ok(Self { given, output })
    }

    /// What the session is given: input, output, errors.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.given.iter().map(AsFd::as_fd)
    }

    /// The session has them: none of them is kept here, so that each ends with it.
    pub fn given(self) -> Shown {
        Shown(self.output)
    }
}

impl Shown {
    /// Returns once all that the session wrote is shown; the session is over.
    pub fn wait(self) {
        for output in self.0 {
            // A copy that failed has nothing left to show.
            let _ = output.join();
        }
    }

    /// As [`Shown::wait`]; something in the session may still hold the other ends, and is not waited for.
    pub fn wait_a_moment(self) {
        let end = Instant::now() + MOMENT;
        while self.0.iter().any(|output| !output.is_finished()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
