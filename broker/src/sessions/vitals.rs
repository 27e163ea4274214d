//! One session's signs of life, and what its lifetimes say to them.
//!
//! It looks seldom, and never at what passes, only that something did. It must never wake a session.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_launch_agents::life::{Due, Life, Lifetimes, Signs};
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::bounds::Because;
use holdfast_protocol::id::SessionId;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The time between two looks at memory that nothing else bounds.
const LOOK: Duration = Duration::from_millis(250);

/// Counts what a session asks of the broker. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// It has asked for something.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One session's.
pub struct Vitals {
    sessions: Sessions,
    session: SessionId,
    pulse: Pulse,
    terminal: Option<OwnedFd>,
    life: Life,
    next: Instant,
    memory: Option<NonZeroU64>,
}

impl Vitals {
    /// A session that begins; `terminal` is the broker's end of its terminal.
    pub fn new(
        sessions: Sessions,
        session: SessionId,
        lifetimes: Lifetimes,
        pulse: Pulse,
        terminal: Option<OwnedFd>,
    ) -> Self {
        Self {
            sessions,
            session,
            pulse,
            terminal,
            life: Life::new(since_boot(), lifetimes),
            next: Instant::now(),
            memory: None,
        }
    }

    /// No controller of the kernel's keeps this bound on its memory: it is looked at here.
    pub fn bound_memory(&mut self, most: Option<NonZeroU64>) {
        self.memory = most;
    }

    /// What is due next, when it is; never, where nothing is bounded. May be dropped and asked again.
    pub async fn due(&mut self) -> Due {
        let (sessions, session, most) = (self.sessions.clone(), self.session, self.memory);
        tokio::select! {
            due = self.over() => due,
            () = too_much_memory(&sessions, session, most) => Due::End(Because::MemoryOver),
        }
    }

    async fn over(&mut self) -> Due {
        loop {
            tokio::time::sleep_until(self.next).await;
            let now = since_boot();
            if self.sessions.is_frozen(self.session) {
                self.life.on_frozen(now);
            } else {
                self.life.on_signs(now, self.signs());
            }
            let due = self.life.due(now);
            match self.life.quiet(now) {
                Some(pause) => self.next = Instant::now() + pause,
                None => std::future::pending().await,
            }
            if let Some(due) = due {
                return due;
            }
        }
    }

    /// Its human has asked for it: they want it to go on.
    pub fn wanted(&self) {
        self.pulse.beat();
    }

    fn signs(&self) -> Signs {
        Signs {
            calls: self.pulse.count(),
            terminal: self.terminal.as_ref().and_then(moved),
            usage: self.sessions.usage(self.session).unwrap_or_default(),
        }
    }
}

/// Returns once a session takes more memory than it may.
async fn too_much_memory(sessions: &Sessions, session: SessionId, most: Option<NonZeroU64>) {
    let Some(most) = most else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(LOOK).await;
        let counting = sessions.clone();
        // One with thousands of processes takes its time.
        let taken = tokio::task::spawn_blocking(move || counting.memory(session));
        if let Ok(Some(taken)) = taken.await
            && taken > most.get()
        {
            return;
        }
    }
}

/// When something was last read from or written to a terminal: the kernel keeps it, to eight seconds,
/// in its times.
fn moved(terminal: &OwnedFd) -> Option<i64> {
    let stat = rustix::fs::fstat(terminal).ok()?;
    Some(stat.st_atime.max(stat.st_mtime))
}

/// Since the machine was booted, sleep included.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}
