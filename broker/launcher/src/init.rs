//! The session's first process: it builds the world, gives up every right, starts the program, and
//! then only reaps, forwards signals, opens shells for its human, makes connections to the session's own
//! loopback for the broker, and tells that the program stopped and how it ended.
//!
//! It never executes anything itself, so its memory is not dumpable and, unlike the program's,
//! belongs to the initial user namespace: nothing in the session can touch it. It must never return.

mod job;
mod shells;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::RecvFlags;
use rustix::process::{Pid, WaitOptions, WaitStatus, ioctl_tiocsctty, wait};

use self::job::Job;
use self::shells::Shells;
use crate::control::{Ending, GO_ON, HALT, MAX_CONTROL, PLACE, PassedSignal, START};
use crate::failure::{At, Refusal, Stage};
use crate::message::{Answer, Stdio};
use crate::network::Network;
use crate::plan::Plan;
use crate::shell::ShellOrder;
use crate::world::{Terminal, World};
use crate::{confine, inward, network, program, seccomp, socket, sys, wire};

/// Signals that this process passes on to the program's group.
const FORWARDED: [libc::c_int; 6] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Runs in the new process, until the session ends; says `ready` once its world stands.
pub(crate) fn run(plan: &Plan, ready: &[u8], tell: BorrowedFd<'_>, control: BorrowedFd<'_>) -> ! {
    match prepare(plan) {
        Ok((network, terminal, signals)) => {
            let mut fds = network.passed();
            fds.extend(terminal.as_ref().map(|terminal| terminal.master.as_fd()));
            if socket::send(tell, ready, &fds).is_err() {
                sys::exit_now(1);
            }
            await_start(control);
            match sys::fork() {
                Ok(0) => start_program(plan, terminal.as_ref(), control),
                Ok(child) => supervise(plan, child, &signals, network.switch.as_ref(), control),
                Err(error) => {
                    let refusal = Err::<(), _>(error).at(Stage::Spawn);
                    end(
                        control,
                        refusal.err().map_or(Ending::Killed, Ending::NotStarted),
                    )
                }
            }
        }
        Err(refusal) => refuse(refusal, tell),
    }
}

/// Says why there is no session, and ends.
pub(crate) fn refuse(refusal: Refusal, tell: BorrowedFd<'_>) -> ! {
    let answer = Answer::Refused(refusal);
    let (bytes, fds) = wire::encode_answer(&answer);
    socket::send(tell, &bytes, &fds).ok();
    sys::exit_now(1)
}

/// Everything that needs rights, in order; afterwards this process has none.
fn prepare(plan: &Plan) -> Result<(Network, Option<Terminal>, OwnedFd), Refusal> {
    confine::die_with_launcher().at(Stage::Privileges)?;
    // A shared session id is a right to send SIGCONT.
    rustix::process::setsid().at(Stage::Privileges)?;
    sys::new_cgroup_namespace().at(Stage::Cgroup)?;
    rustix::system::sethostname(b"holdfast").at(Stage::Root)?;
    let network = network::prepare(&plan.launch)?;
    let world = World::build(plan)?;
    let terminal = match &plan.launch.stdio {
        Stdio::Terminal(size) => Some(world.terminal(*size)?),
        Stdio::Pipes { .. } => None,
    };
    world.enter()?;
    confine::become_session(&plan.identity, plan.human).at(Stage::Privileges)?;
    // The last is for the program, which moves itself to its terminal's foreground.
    let mut handled = vec![libc::SIGCHLD, libc::SIGTTOU];
    handled.extend(FORWARDED);
    let signals = sys::signal_descriptor(&handled).at(Stage::Privileges)?;
    seccomp::apply()?;
    if let Some(terminal) = &terminal {
        // As a shell has one: its program's group is a job then, and can be stopped.
        ioctl_tiocsctty(&terminal.inner).at(Stage::Terminal)?;
    }
    Ok((network, terminal, signals))
}

/// Waits until the broker has the session on record; ends if it never will.
fn await_start(control: BorrowedFd<'_>) {
    let mut buffer = [0; MAX_CONTROL];
    match socket::receive(control, &mut buffer, RecvFlags::empty()) {
        Ok(Some((message, _))) if message == START => {}
        Ok(_) | Err(_) => sys::exit_now(1),
    }
}

fn start_program(plan: &Plan, terminal: Option<&Terminal>, control: BorrowedFd<'_>) -> ! {
    let refusal = program::start(
        plan,
        terminal.map(|terminal| terminal.inner.as_fd()),
        control,
    );
    socket::send(control, &Ending::NotStarted(refusal).encode(), &[]).ok();
    sys::exit_now(127)
}

fn supervise(
    plan: &Plan,
    child: libc::pid_t,
    signals: &OwnedFd,
    switch: Option<&OwnedFd>,
    control: BorrowedFd<'_>,
) -> ! {
    let Some(child) = Pid::from_raw(child) else {
        sys::exit_now(1)
    };
    // Standard input and output are the program's; this process must not keep them open.
    let quiet = program::redirect_to_null().is_ok();
    let mut kept = vec![signals.as_fd(), control];
    kept.extend(switch.map(AsFd::as_fd));
    if !quiet || sys::close_all_but(&kept).is_err() {
        end(control, Ending::Killed);
    }
    let mut job = Job::new(child);
    let mut shells = Shells::default();
    let mut pace = Pace::Running;
    loop {
        let mut waiting = vec![
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(control, PollFlags::IN),
        ];
        if pace == Pace::Running {
            let theirs = shells.controls();
            waiting.extend(theirs.map(|theirs| PollFd::from_borrowed_fd(theirs, PollFlags::IN)));
        }
        if rustix::io::retry_on_intr(|| poll(&mut waiting, None)).is_err() {
            end(control, Ending::Killed);
        }
        while let Some(signal) = sys::read_signal(signals.as_fd()) {
            if FORWARDED.contains(&signal) {
                job.pass(signal, pace);
            }
        }
        drop(waiting);
        if let Some(ending) = reap(&mut job, &mut shells, control, pace) {
            end(control, ending);
        }
        // What they say could let one go on.
        if pace == Pace::Running {
            shells.hear();
        }
        let mut buffer = [0; MAX_CONTROL];
        match socket::receive(control, &mut buffer, RecvFlags::DONTWAIT) {
            Ok(Some((message, fds))) if message == PLACE => place(&fds),
            Ok(Some((message, fds))) if message == HALT => pace = halt(&fds),
            Ok(Some((message, _))) if message == GO_ON => pace = go_on(&job),
            Ok(Some((message, fds))) => {
                if let Some(signal) = PassedSignal::decode(message) {
                    job.pass(signal.number(), pace);
                } else if let Some(order) = ShellOrder::decode(message) {
                    shells.open(plan, &order, fds, pace);
                } else {
                    inward::serve(message, fds);
                }
            }
            Err(rustix::io::Errno::AGAIN) => {}
            // Nobody holds the session any more: it ends with this process.
            Ok(None) | Err(_) => sys::exit_now(1),
        }
    }
}

/// Moves a process into a sub-agent's cgroup. This process does it because the pid counts in the
/// session's own pid namespace here: whatever became of the process, none outside can be hit. The
/// broker sees whether it worked.
fn place(fds: &[OwnedFd]) {
    let [processes, process] = fds else { return };
    if let Ok(Some(pid)) = crate::peer::pid(process) {
        rustix::io::write(processes, pid.to_string().as_bytes()).ok();
    }
}

/// Whether the session's processes are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Running,
    Halted,
}

/// Stops every process but this one, and says so. For a session without a cgroup that could be frozen.
///
/// From inside, where one signal reaches all of them at once: the kernel lets none of them fork away from it.
fn halt(fds: &[OwnedFd]) -> Pace {
    let stopped = sys::signal_all(libc::SIGSTOP);
    if let ([stands], Ok(())) = (fds, stopped) {
        rustix::io::write(stands, b"1").ok();
    }
    Pace::Halted
}

fn go_on(job: &Job) -> Pace {
    sys::signal_all(libc::SIGCONT).ok();
    job.stand_again();
    Pace::Running
}

fn forward(child: Pid, number: libc::c_int) {
    if let Some(signal) = rustix::process::Signal::from_named_raw(number) {
        rustix::process::kill_process_group(child, signal).ok();
    }
}

/// Reaps whatever has ended; how the program did, if it was among them.
fn reap(job: &mut Job, shells: &mut Shells, control: BorrowedFd<'_>, pace: Pace) -> Option<Ending> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
        if status.stopped() {
            // One that is paused stands still by our own word, and is let go on by it alone.
            if pace == Pace::Halted {
                continue;
            }
            if job.is(pid) {
                job.stopped(control);
            } else {
                // What has lost its parent has nobody else who would let it go on.
                forward(pid, libc::SIGCONT);
            }
            continue;
        }
        if job.is(pid) {
            return Some(ending(status));
        }
        shells.ended(pid, ending(status));
    }
    None
}

fn ending(status: WaitStatus) -> Ending {
    let byte = |value: i32| u8::try_from(value & 0xff).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited(byte(code)),
        (None, Some(signal)) => Ending::Signaled(byte(signal)),
        (None, None) => Ending::Killed,
    }
}

fn end(control: BorrowedFd<'_>, ending: Ending) -> ! {
    if ending != Ending::Killed {
        socket::send(control, &ending.encode(), &[]).ok();
    }
    sys::exit_now(0)
}
