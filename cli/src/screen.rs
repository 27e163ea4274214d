//! This terminal, lent to a session's own.
//!
//! Bytes are copied between the two while this is raw; it is restored however the session ends, and
//! while this command is stopped. A session never holds this terminal, so it can push nothing into it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

/// How often the rest of the output is looked for, and how many times.
const LOOK: Duration = Duration::from_millis(5);
const MAX_LOOKS: u32 = 200;
/// After so many looks without any there is no more: one that stops may still be clearing its screen.
const QUIET_LOOKS: u32 = 4;
/// How long one that has to wait for its turn waits before it looks again.
const TURN: Duration = Duration::from_millis(100);

/// A lent terminal; given back when dropped.
#[derive(Debug)]
pub struct Screen {
    window: Arc<Window>,
    output: Option<JoinHandle<()>>,
}

/// The two terminals, and what passes between them now.
#[derive(Debug)]
pub struct Window {
    other_end: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
    /// Somebody waits for the state: output, which has no end, makes way.
    wanted: AtomicBool,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    before: Termios,
}

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// This terminal is raw; all passes.
    Here,
    /// It is its shell's: output passes while the session does not draw, input does not.
    Behind,
    /// It is its shell's, and this command stops: nothing passes.
    Away,
    /// The session is over: the rest of its output passes.
    Over,
}

impl Screen {
    /// Makes this terminal raw and copies between it and `other_end`.
    pub fn take(other_end: OwnedFd) -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        make_raw(&before)?;
        let window = Arc::new(Window {
            other_end,
            state: Mutex::new(State {
                mode: Mode::Here,
                before,
            }),
            changed: Condvar::new(),
            wanted: AtomicBool::new(false),
        });
        let (typed, shown) = (Arc::clone(&window), Arc::clone(&window));
        // It waits for keys and ends with this process.
        thread::spawn(move || typed.copy_input());
        let output = thread::spawn(move || shown.copy_output());
        // It may have changed since the session was asked for.
        window.resize();
        Ok(Self {
            window,
            output: Some(output),
        })
    }

    /// Gives the terminal back while the session's own lives on: all that was written to it is shown first.
    pub fn leave(mut self) {
        self.window.drain(1);
        // It may wait for what runs in the background there.
        self.output = None;
    }

    /// The terminals, for who decides what passes.
    pub fn window(&self) -> Arc<Window> {
        Arc::clone(&self.window)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let was = self.window.enter(Mode::Over);
        // The session is over: its terminal ends, and with it the output, once all is shown.
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
        if was == Mode::Here && !self.window.is_in_background() {
            let before = &self.window.state().before;
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

impl Window {
    /// Gives the session's terminal the size of this one.
    pub fn resize(&self) {
        if let Ok(size) = tcgetwinsize(std::io::stdin()) {
            // A session that has just ended needs no size.
            let _ = tcsetwinsize(&self.other_end, size);
        }
    }

    /// Gives this terminal back, before this command stops: what was written is shown first.
    pub fn give_back(&self) {
        if self.state().mode == Mode::Here {
            self.drain(QUIET_LOOKS);
        }
        if self.enter(Mode::Away) == Mode::Here {
            let before = &self.state().before;
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }

    /// Takes it over again, after this command was stopped, as it is now.
    pub fn take_again(&self) -> std::io::Result<()> {
        let mut state = self.state();
        if state.mode != Mode::Here {
            state.before = tcgetattr(std::io::stdin())?;
        }
        make_raw(&state.before)?;
        drop(state);
        self.resize();
        self.enter(Mode::Here);
        Ok(())
    }

    /// Leaves it to its shell, while the session goes on in the background.
    pub fn leave_behind(&self) {
        self.enter(Mode::Behind);
    }

    /// Whether it was left so.
    pub fn is_left_behind(&self) -> bool {
        self.state().mode == Mode::Behind
    }

    /// Whether this terminal is another job's now.
    pub fn is_in_background(&self) -> bool {
        tcgetpgrp(std::io::stdin()).is_ok_and(|foreground| foreground != getpgrp())
    }

    /// Whether the session would draw on all of the screen: it has made its own terminal raw.
    pub fn draws(&self) -> bool {
        let modes = tcgetattr(&self.other_end);
        modes.is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
    }

    /// Waits until nothing more was written in so many looks.
    fn drain(&self, quiet: u32) {
        let mut looks = 0;
        for _ in 0..MAX_LOOKS {
            let written = ready(&self.other_end, Some(&Timespec::default()));
            looks = if written == PollFlags::IN {
                0
            } else {
                looks + 1
            };
            if looks >= quiet {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    /// Changes what passes; what did before.
    fn enter(&self, mode: Mode) -> Mode {
        self.wanted.store(true, Ordering::Release);
        let mut state = self.state();
        self.wanted.store(false, Ordering::Release);
        let was = std::mem::replace(&mut state.mode, mode);
        drop(state);
        self.changed.notify_all();
        was
    }

    fn copy_input(&self) {
        let mut bytes = [0; 4096];
        loop {
            let mut state = self.state();
            while matches!(state.mode, Mode::Behind | Mode::Away) {
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
            if state.mode == Mode::Over {
                return;
            }
            drop(state);
            ready(std::io::stdin(), None);
            let state = self.state();
            if state.mode != Mode::Here {
                continue;
            }
            // To read what is its shell's would stop this command.
            if self.is_in_background() {
                drop(state);
                thread::sleep(TURN);
                continue;
            }
            let read = retry_on_intr(|| rustix::io::read(std::io::stdin(), &mut bytes));
            drop(state);
            let read = read.ok().and_then(|read| bytes.get(..read));
            let Some(read) = read.filter(|read| !read.is_empty()) else {
                return;
            };
            if write_all(&self.other_end, read).is_err() {
                return;
            }
        }
    }

    fn copy_output(&self) {
        let mut bytes = [0; 4096];
        let mut shown = std::io::stdout().lock();
        loop {
            ready(&self.other_end, None);
            if self.wanted.load(Ordering::Acquire) {
                thread::sleep(LOOK);
            }
            let mut state = self.state();
            while state.mode == Mode::Away || (state.mode == Mode::Behind && self.draws()) {
                // The session's terminal tells nobody of a change.
                let woken = self.changed.wait_timeout(state, TURN);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            let Ok(read) = retry_on_intr(|| rustix::io::read(&self.other_end, &mut bytes)) else {
                return;
            };
            let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else {
                return;
            };
            if shown.write_all(read).and_then(|()| shown.flush()).is_err() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_raw(before: &Termios) -> Result<(), Errno> {
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)
}

/// What can be had of it, waited for so long.
fn ready(of: impl std::os::fd::AsFd, wait: Option<&Timespec>) -> PollFlags {
    let mut waiting = [PollFd::new(&of, PollFlags::IN)];
    let polled = retry_on_intr(|| poll(&mut waiting, wait));
    // One that cannot be waited for is read at once, which says why.
    let of = waiting.first().map(PollFd::revents);
    polled.ok().and(of).unwrap_or(PollFlags::empty())
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = retry_on_intr(|| rustix::io::write(to, bytes))?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
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
