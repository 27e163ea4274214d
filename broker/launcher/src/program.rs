//! The last steps before the agent's program runs.
//!
//! In the forked process, which already has no rights: its terminal, its descriptors, its folder,
//! Landlock, and then the program itself. No descriptor but 0, 1 and 2 reaches it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{chdir, getpid, ioctl_tiocsctty, setpgid, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::tcsetpgrp;

use crate::confine::{self, Signals};
use crate::failure::{At, Refusal, Stage};
use crate::message::Stdio;
use crate::plan::Plan;
use crate::sys;
use crate::world::PROGRAMS;

/// Becomes the program; returns why that failed.
///
/// `control` stays open until then, so that the failure can be told.
pub(crate) fn start(
    plan: &Plan,
    terminal: Option<BorrowedFd<'_>>,
    control: BorrowedFd<'_>,
) -> Refusal {
    match attempt(plan, terminal, control) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    }
}

fn attempt(
    plan: &Plan,
    terminal: Option<BorrowedFd<'_>>,
    control: BorrowedFd<'_>,
) -> Result<std::convert::Infallible, Refusal> {
    let launch = &plan.launch;
    lead_a_job()?;
    match (&launch.stdio, terminal) {
        (Stdio::Terminal(_), Some(terminal)) => {
            // As any job of the background it would be stopped for this, did its parent not block that signal.
            tcsetpgrp(terminal, getpid()).at(Stage::Terminal)?;
            redirect([terminal; 3]).at(Stage::Terminal)?;
        }
        (
            Stdio::Pipes {
                input,
                output,
                errors,
            },
            _,
        ) => redirect([input.as_fd(), output.as_fd(), errors.as_fd()]).at(Stage::Execute)?,
        (Stdio::Terminal(_), None) => return Err(Errno::NOTTY).at(Stage::Terminal),
    }
    chdir(launch.directory.to_string()).at(Stage::Directory)?;
    confine::landlock(plan, Signals::Within)?;
    confine::limit(launch.limits).at(Stage::Privileges)?;
    sys::reset_signals().at(Stage::Execute)?;
    sys::close_all_but(&[control]).at(Stage::Execute)?;
    let path = CString::new(format!("{PROGRAMS}/{}", launch.name.as_str()))
        .map_err(|_| Refusal::Message)?;
    Err(sys::execute(&path, &launch.arguments, &launch.environment)).at(Stage::Execute)
}

/// Leads a group in its parent's session of processes, as a shell's job does: a job that stops at Ctrl-Z
/// has to have a parent there that could let it go on (setpgid(2), orphaned process groups).
fn lead_a_job() -> Result<(), Refusal> {
    setpgid(None, None).at(Stage::Execute)
}

/// Leads a session of processes, whose terminal this is.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> Result<(), Refusal> {
    setsid().at(Stage::Execute)?;
    ioctl_tiocsctty(terminal).at(Stage::Terminal)?;
    redirect([terminal; 3]).at(Stage::Terminal)
}

/// Leads a session of processes without a terminal.
pub(crate) fn take_streams(streams: [BorrowedFd<'_>; 3]) -> Result<(), Refusal> {
    setsid().at(Stage::Execute)?;
    redirect(streams).at(Stage::Execute)
}

/// Points 0, 1 and 2 at nothing.
pub(crate) fn redirect_to_null() -> Result<(), Errno> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    redirect([null.as_fd(); 3])
}

/// Points 0 at nothing.
pub(crate) fn redirect_input_to_null() -> Result<(), Errno> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(null)
}

fn redirect([input, output, errors]: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    dup2_stdin(input)?;
    dup2_stdout(output)?;
    dup2_stderr(errors)
}
