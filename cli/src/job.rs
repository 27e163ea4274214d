//! This process as a job of the shell that started it: where it stands, and how it stops.
//!
//! It must never stop where nobody is there who could let it go on: a group without a parent in its
//! session is orphaned, and the kernel stops none of those at Ctrl-Z either (setpgid(2)).

use std::fs;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{
    Pid, Signal, getpgid, getpgrp, getpid, getppid, getsid, kill_current_process_group,
    kill_process,
};
use rustix::termios::tcgetpgrp;

/// How many parents of one group are looked through.
const MAX_PARENTS: usize = 64;

/// What stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// All of the job, as at Ctrl-Z.
    Job,
    /// This process alone: who asked for it has asked the others, if they meant them.
    Process,
}

/// Whether this job has the terminal that its shell controls.
pub fn is_in_foreground() -> bool {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = open("/dev/tty", flags, Mode::empty());
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
}

/// Whether somebody could let this job go on.
pub fn has_a_shell() -> bool {
    let Ok(session) = getsid(None) else {
        return false;
    };
    let mut parent = getppid();
    for _ in 0..MAX_PARENTS {
        let Some(process) = parent else { return false };
        if getsid(Some(process)) != Ok(session) {
            return false;
        }
        if getpgid(Some(process)) != Ok(getpgrp()) {
            return true;
        }
        parent = parent_of(process);
    }
    false
}

/// Stops until somebody says to continue. To be asked where [`has_a_shell`] only.
pub fn stop(whole: Whole) {
    // Both are this user's own, who may signal them.
    let _ = match whole {
        Whole::Job => kill_current_process_group(Signal::STOP),
        Whole::Process => kill_process(getpid(), Signal::STOP),
    };
}

fn parent_of(process: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // proc_pid_stat(5): the name, which may hold anything, ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(')')?;
    let parent = rest.split_ascii_whitespace().nth(1)?;
    Pid::from_raw(parent.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_parent_is_read() {
        assert_eq!(parent_of(getpid()), getppid());
    }
}
