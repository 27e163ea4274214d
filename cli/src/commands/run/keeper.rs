//! What keeps a session while it lives: signals pass to it, and this command stops and goes on with it.
//!
//! The program inside is a job of this command's shell, as if it had been started there. What is told
//! from inside stops this command once for each time that it was let go on, and never leaves the
//! terminal raw.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use holdfast_protocol::run::RunControl;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::job::{self, Whole};
use crate::run_client::RunConnection;
use crate::screen::{Screen, Window};

/// The signals that a session's keeper hears.
pub(in crate::commands) const HEARD: [i32; 6] =
    [SIGHUP, SIGINT, SIGTERM, SIGWINCH, SIGTSTP, SIGCONT];

/// How often it is looked whether a job of the background was brought to the foreground: not every
/// shell tells one that runs.
const LOOK: Duration = Duration::from_millis(100);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Of {
    /// A session, whose program says when it has stopped.
    Session,
    /// A shell in one, which has its own jobs.
    Shell,
}

/// A session's keeper, with this terminal where the session has one; both are given up when dropped.
#[derive(Debug)]
pub(in crate::commands) struct Kept {
    keeper: Arc<Keeper>,
    screen: Option<Screen>,
}

#[derive(Debug)]
struct Keeper {
    of: Of,
    orders: RunConnection,
    window: Option<Arc<Window>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// How often the session was told to continue.
    continued: u32,
    /// Who has spoken to this command as to a job.
    spoken: Spoken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Runs,
    /// It is stopped, or about to be; it goes on at SIGCONT.
    Stopped,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Nobody,
    /// It was asked to stop.
    Stop,
    /// It was let go on.
    Continue,
}

impl Kept {
    /// Shows the session's terminal here, if it has one, and passes signals on from now on.
    pub(in crate::commands) fn take_over(
        of: Of,
        connection: &RunConnection,
        other_end: Option<OwnedFd>,
        signals: Signals,
    ) -> std::io::Result<Self> {
        let orders = connection.try_clone()?;
        let screen = other_end.map(Screen::take).transpose()?;
        let keeper = Arc::new(Keeper {
            of,
            orders,
            window: screen.as_ref().map(Screen::window),
            state: Mutex::new(State {
                standing: Standing::Runs,
                continued: 0,
                spoken: Spoken::Nobody,
            }),
        });
        let hears = Arc::clone(&keeper);
        // It only waits for signals, and ends with this process.
        thread::spawn(move || hears.hear(signals));
        Ok(Self { keeper, screen })
    }

    /// The session's program has stopped, after it was told so often to continue: so does this command.
    pub(in crate::commands) fn stopped(&self, continued: u32) {
        self.keeper.stopped(continued);
    }

    /// Gives the terminal back while the session's own lives on.
    pub(in crate::commands) fn leave(mut self) {
        self.keeper.state().standing = Standing::Over;
        if let Some(screen) = self.screen.take() {
            screen.leave();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Nobody takes the terminal again that is given back with the screen.
        self.keeper.state().standing = Standing::Over;
    }
}

impl Keeper {
    fn hear(self: Arc<Self>, mut signals: Signals) {
        for signal in signals.forever() {
            let order = match signal {
                SIGINT => RunControl::Interrupt,
                SIGTERM => RunControl::Terminate,
                SIGHUP => RunControl::Hangup,
                SIGTSTP => {
                    self.asked_to_stop();
                    continue;
                }
                SIGCONT => {
                    self.go_on();
                    continue;
                }
                _ => {
                    if let Some(window) = &self.window {
                        window.resize();
                    }
                    continue;
                }
            };
            let _state = self.state();
            // A session that is over needs no signal.
            let _ = self.orders.tell(order);
        }
    }

    /// Somebody says SIGTSTP to this command, or Ctrl-Z to all of its job.
    fn asked_to_stop(&self) {
        let mut state = self.state();
        state.spoken = Spoken::Stop;
        match (state.standing, self.of) {
            (Standing::Stopped, _) => {}
            // The program stops, or has its own mind; what it does comes back.
            (Standing::Runs, Of::Session) => {
                let _ = self.orders.tell(RunControl::Stop);
            }
            (Standing::Runs, Of::Shell) if job::has_a_shell() => {
                self.stop(&mut state, Whole::Process);
            }
            (Standing::Runs, Of::Shell) => {}
            (Standing::Over, _) => {
                drop(state);
                if job::has_a_shell() {
                    job::stop(Whole::Process);
                }
            }
        }
    }

    fn stopped(&self, continued: u32) {
        let mut state = self.state();
        if state.standing != Standing::Runs || continued != state.continued {
            // It was let go on meanwhile, or will be.
            return;
        }
        let is_job = state.spoken != Spoken::Nobody || job::is_in_foreground();
        if is_job && job::has_a_shell() {
            let whole = match state.spoken {
                Spoken::Stop => Whole::Process,
                Spoken::Nobody | Spoken::Continue => Whole::Job,
            };
            self.stop(&mut state, whole);
        } else {
            drop(state);
            // Nobody is there who would let it go on; one that stops again and again is not hurried.
            thread::sleep(LOOK);
            self.tell_to_continue(&mut self.state());
        }
    }

    /// Returns when this command goes on, which is for [`Self::go_on`] to act on.
    fn stop(&self, state: &mut State, whole: Whole) {
        state.standing = Standing::Stopped;
        if let Some(window) = &self.window {
            window.give_back();
        }
        job::stop(whole);
    }

    /// This command was let go on, in the foreground or not.
    fn go_on(self: &Arc<Self>) {
        let mut state = self.state();
        if state.standing == Standing::Over {
            return;
        }
        state.standing = Standing::Runs;
        state.spoken = Spoken::Continue;
        if let Some(window) = &self.window
            && (window.is_in_background() || window.take_again().is_err())
        {
            window.leave_behind();
            let (looks, window) = (Arc::clone(self), Arc::clone(window));
            thread::spawn(move || looks.stay_behind(&window));
        }
        self.tell_to_continue(&mut state);
    }

    /// Waits in the background, until it is brought to the foreground or would draw on another's screen.
    fn stay_behind(&self, window: &Window) {
        loop {
            thread::sleep(LOOK);
            let mut state = self.state();
            if state.standing != Standing::Runs || !window.is_left_behind() {
                return;
            }
            if !window.is_in_background() {
                if window.take_again().is_ok() {
                    self.tell_to_continue(&mut state);
                    return;
                }
            } else if window.draws() && job::has_a_shell() {
                // As the kernel stops a job of the background that sets its terminal's modes.
                let _ = self.orders.tell(RunControl::Stop);
                self.stop(&mut state, Whole::Job);
                return;
            }
        }
    }

    fn tell_to_continue(&self, state: &mut State) {
        state.continued = state.continued.wrapping_add(1);
        // A session that is over does not go on.
        let _ = self.orders.tell(RunControl::Continue);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
