//! Shells that the session's human opens beside its program: forked here, under the same walls, each with a control
//! socket of its own.
//!
//! They end with the session. A shell whose human has gone hears a hang-up, as it would of any terminal.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Pace;
use crate::confine::{self, Signals};
use crate::control::{Ending, MAX_CONTROL, PassedSignal};
use crate::failure::{At, Refusal, Stage};
use crate::message::WindowSize;
use crate::plan::{self, Plan};
use crate::shell::{OPENED, ShellOrder};
use crate::{program, socket, sys};

/// The most shells of one session at once.
const MAX_SHELLS: usize = 8;

/// What a shell is, as a place in the session: the first that is there.
const PROGRAMS: [(&CStr, &CStr); 2] = [(c"/bin/bash", c"bash"), (c"/bin/sh", c"sh")];

/// The shells that run.
#[derive(Default)]
pub(super) struct Shells(Vec<Shell>);

struct Shell {
    pid: Pid,
    control: OwnedFd,
}

/// What a new shell reads and writes.
enum Streams {
    Terminal { inner: OwnedFd, term: CString },
    Given([OwnedFd; 3]),
}

impl Shells {
    /// What their humans may be heard on.
    pub(super) fn controls(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|shell| shell.control.as_fd())
    }

    /// Starts one, and tells its control socket what came of it.
    pub(super) fn open(
        &mut self,
        plan: &Plan,
        order: &ShellOrder,
        mut fds: Vec<OwnedFd>,
        pace: Pace,
    ) {
        if fds.len() != order.descriptors() {
            return;
        }
        let streams = fds.split_off(1);
        let Some(control) = fds.pop() else { return };
        match self.start(plan, order, streams, control.as_fd(), pace) {
            Ok(pid) => self.0.push(Shell { pid, control }),
            Err(refusal) => {
                // Who ordered it may be gone.
                socket::send(&control, &Ending::NotStarted(refusal).encode(), &[]).ok();
            }
        }
    }

    fn start(
        &self,
        plan: &Plan,
        order: &ShellOrder,
        streams: Vec<OwnedFd>,
        control: BorrowedFd<'_>,
        pace: Pace,
    ) -> Result<Pid, Refusal> {
        if self.0.len() >= MAX_SHELLS {
            return Err(Errno::MFILE).at(Stage::Spawn);
        }
        let (streams, master) = match order {
            ShellOrder::Terminal { size, term } => {
                let (master, inner) = terminal(*size).at(Stage::Terminal)?;
                let term = CString::new(format!("TERM={}", term.as_str()))
                    .map_err(|_| Refusal::Message)?;
                (Streams::Terminal { inner, term }, Some(master))
            }
            ShellOrder::Streams => {
                plan::refuse_the_hosts(&streams)?;
                let streams = streams.try_into().map_err(|_| Refusal::Descriptors)?;
                (Streams::Given(streams), None)
            }
        };
        // Before the fork: what it says of its end comes after this.
        let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
        socket::send(control, &OPENED, &fds).at(Stage::Spawn)?;
        match sys::fork().at(Stage::Spawn)? {
            0 => {
                if pace == Pace::Halted {
                    // It begins when the session goes on.
                    rustix::process::kill_process(rustix::process::getpid(), Signal::STOP).ok();
                }
                let refusal = match become_shell(plan, &streams, control) {
                    Ok(never) => match never {},
                    Err(refusal) => refusal,
                };
                socket::send(control, &Ending::NotStarted(refusal).encode(), &[]).ok();
                sys::exit_now(127)
            }
            child => Pid::from_raw(child).ok_or(Errno::CHILD).at(Stage::Spawn),
        }
    }

    /// Hears what their humans say; who is gone hangs up.
    pub(super) fn hear(&mut self) {
        for shell in &self.0 {
            let mut buffer = [0; MAX_CONTROL];
            let signal = match socket::receive(&shell.control, &mut buffer, RecvFlags::DONTWAIT) {
                Ok(Some((message, _))) => PassedSignal::decode(message),
                Err(Errno::AGAIN) => None,
                Ok(None) | Err(_) => {
                    hang_up(shell.pid);
                    continue;
                }
            };
            if let Some(signal) = signal {
                super::forward(shell.pid, signal.number());
            }
        }
        // A socket whose other end is gone is readable for ever.
        self.0.retain(|shell| !is_alone(&shell.control));
    }

    /// Tells of one that has ended, if it was one.
    pub(super) fn ended(&mut self, pid: Pid, ending: Ending) {
        self.0.retain(|shell| {
            if shell.pid == pid {
                socket::send(&shell.control, &ending.encode(), &[]).ok();
            }
            shell.pid != pid
        });
    }
}

/// Whether nobody holds the other end.
fn is_alone(control: &OwnedFd) -> bool {
    let mut buffer = [0; 1];
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    match rustix::net::recv(control, &mut buffer[..], flags) {
        Ok((read, _)) => read == 0,
        Err(errno) => errno != Errno::AGAIN,
    }
}

fn hang_up(shell: Pid) {
    for signal in [Signal::HUP, Signal::CONT] {
        kill_process_group(shell, signal).ok();
    }
}

/// Both ends of a terminal in the session's own devpts.
fn terminal(size: WindowSize) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = open("/dev/pts/ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = ioctl_tiocgptpeer(&master, flags)?;
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size)?;
    Ok((master, inner))
}

/// In the forked process: becomes the shell.
fn become_shell(
    plan: &Plan,
    streams: &Streams,
    control: BorrowedFd<'_>,
) -> Result<std::convert::Infallible, Refusal> {
    let mut environment = plan.launch.environment.clone();
    match streams {
        Streams::Terminal { inner, term } => {
            environment.retain(|variable| !variable.as_bytes().starts_with(b"TERM="));
            environment.push(term.clone());
            program::take_terminal(inner.as_fd())?;
        }
        Streams::Given([input, output, errors]) => {
            program::take_streams([input.as_fd(), output.as_fd(), errors.as_fd()])?;
        }
    }
    rustix::process::chdir(plan.launch.directory.to_string()).at(Stage::Directory)?;
    // Its human has to be able to end what the agent runs, which is another domain's.
    confine::landlock(plan, Signals::Session)?;
    confine::limit(plan.launch.limits).at(Stage::Privileges)?;
    sys::reset_signals().at(Stage::Execute)?;
    sys::close_all_but(&[control]).at(Stage::Execute)?;
    let mut last = std::io::Error::from(Errno::NOENT);
    for (path, name) in PROGRAMS {
        last = sys::execute(path, &[name.to_owned()], &environment);
    }
    Err(last).at(Stage::Execute)
}
