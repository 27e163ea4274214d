//! What looks on while files are read and written: is somebody tired of waiting, and what are they told?
//!
//! A signal ends nothing by itself: the work stops between two steps, each of which is whole.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::SnapshotError;

/// How long work may take before it is spoken of.
const QUIET: Duration = Duration::from_secs(1);

/// How often it is.
const EVERY: Duration = Duration::from_millis(200);

/// A look-out.
#[derive(Debug)]
pub struct Watch {
    interrupted: Arc<AtomicBool>,
    /// When set, signals end the process as they would without us.
    deaf: Arc<AtomicBool>,
    handlers: Vec<SigId>,
    what: &'static str,
    began: Instant,
    told: Cell<Option<Instant>>,
    /// How many steps are left until it says that it was interrupted, in tests.
    #[cfg(test)]
    steps: Option<Cell<usize>>,
}

impl Watch {
    /// One for the work that is called `what`.
    pub fn new(what: &'static str) -> Self {
        Self {
            interrupted: Arc::default(),
            deaf: Arc::default(),
            handlers: Vec::new(),
            what,
            began: Instant::now(),
            told: Cell::new(None),
            #[cfg(test)]
            steps: None,
        }
    }

    /// One that hears Ctrl-C, too, until it is dropped or [`Watch::stop_listening`].
    pub fn listening(what: &'static str) -> std::io::Result<Self> {
        let mut watch = Self::new(what);
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let deaf = Arc::clone(&watch.deaf);
            let handlers = [
                flag::register_conditional_default(signal, deaf)?,
                flag::register(signal, Arc::clone(&watch.interrupted))?,
            ];
            watch.handlers.extend(handlers);
        }
        Ok(watch)
    }

    /// One that is interrupted at its `steps`th step, as a process may be killed at any.
    #[cfg(test)]
    pub fn ending_after(steps: usize) -> Self {
        let mut watch = Self::new("test");
        watch.steps = Some(Cell::new(steps));
        watch
    }

    /// Asks, before each step, whether to go on.
    pub fn step(&self) -> Result<(), SnapshotError> {
        #[cfg(test)]
        if let Some(steps) = &self.steps {
            match steps.get().checked_sub(1) {
                Some(left) => steps.set(left),
                None => return Err(SnapshotError::Interrupted),
            }
        }
        if self.interrupted.load(Ordering::Relaxed) {
            Err(SnapshotError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Says how far it is, where that takes long.
    pub fn progress(&self, files: usize, bytes: u64) {
        let now = Instant::now();
        let due = self
            .told
            .get()
            .map_or(self.began + QUIET, |last| last + EVERY);
        if now < due {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        let terminal = stderr.is_terminal();
        let first = self.told.replace(Some(now)).is_none();
        let _ = if terminal {
            let megabytes = bytes >> 20;
            write!(
                stderr,
                "\rholdfast: {}: {files} files, {megabytes} MiB new ",
                self.what
            )
        } else if first {
            writeln!(stderr, "holdfast: {}, which takes a moment", self.what)
        } else {
            Ok(())
        };
    }

    /// Ends the line of [`Watch::progress`].
    pub fn done(&self) {
        if self.told.take().is_some() && std::io::stderr().is_terminal() {
            eprintln!();
        }
    }

    /// From now on signals do what they do to any program.
    pub fn stop_listening(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
