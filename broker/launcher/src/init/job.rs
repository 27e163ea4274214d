//! The program as this process's job: what is passed on to its group, and that it has stopped.
//!
//! Who keeps the session is told, as a shell would be, and lets it go on. It must never tell of more stops
//! than it was told to continue, and wait for nobody who does not listen.

use std::os::fd::BorrowedFd;

use rustix::net::SendFlags;
use rustix::process::Pid;

use super::Pace;
use crate::control::Stopped;
use crate::socket;

/// The program, and how often it was told to continue.
pub(super) struct Job {
    program: Pid,
    continued: u32,
    told: Told,
}

/// Whether its stop was told since it was last told to continue.
#[derive(PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

impl Job {
    pub(super) fn new(program: Pid) -> Self {
        Self {
            program,
            continued: 0,
            told: Told::No,
        }
    }

    /// Whether this process is the program.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.program == pid
    }

    /// Passes a signal on to its group.
    ///
    /// While the session is paused nothing lets the program go on; it does so with everything else.
    pub(super) fn pass(&mut self, signal: libc::c_int, pace: Pace) {
        if signal == libc::SIGCONT {
            self.continued = self.continued.wrapping_add(1);
            self.told = Told::No;
        }
        if pace == Pace::Halted {
            if signal != libc::SIGCONT {
                super::forward(self.program, signal);
            }
            return;
        }
        super::forward(self.program, signal);
        match signal {
            // As the kernel does: one that stands still would not hear that its terminal is gone.
            libc::SIGHUP => super::forward(self.program, libc::SIGCONT),
            // What was on its screen may be overwritten.
            libc::SIGCONT => super::forward(self.program, libc::SIGWINCH),
            _ => {}
        }
    }

    /// The session goes on after a pause: what its human's shell has stopped stands all the same.
    pub(super) fn stand_again(&self) {
        if self.told == Told::Yes {
            super::forward(self.program, libc::SIGSTOP);
        }
    }

    /// It has stopped.
    pub(super) fn stopped(&mut self, control: BorrowedFd<'_>) {
        if self.told == Told::Yes {
            return;
        }
        let stopped = Stopped {
            continued: self.continued,
        };
        let flags = SendFlags::DONTWAIT;
        match socket::send_with(control, &stopped.encode(), &[], flags) {
            Ok(()) => self.told = Told::Yes,
            // Nobody hears that it stands still: it is not left so.
            Err(_) => super::forward(self.program, libc::SIGCONT),
        }
    }
}
