//! How long a session lives: when it has to be warned, and when it is over.
//!
//! Pure: inputs take `now`, a span since the machine was booted, which no change of its clock moves and
//! which goes on while it sleeps. It must never end a session that it has not warned of before.

use std::time::Duration;

use holdfast_protocol::bounds::Because;

/// The longest warning.
const WARNING: Duration = Duration::from_secs(300);
/// The share of a bound that a warning takes at most: a tenth.
const SHARE: u32 = 10;
/// The most processor time that counts as doing nothing where there is no terminal to be watched, a
/// share of the time that passed: a hundredth.
const IDLE_SHARE: u32 = 100;
/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// The shortest.
const SOON: Duration = Duration::from_millis(100);

/// How long a session may live, and do nothing; `None`: as long as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// From its start on, whatever it does.
    pub longest: Option<Duration>,
    /// Without a sign of life.
    pub idle: Option<Duration>,
}

/// What was seen of a session at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// How many calls it has made.
    pub calls: u64,
    /// When something last passed through its terminal, where it has one; any number that changes then.
    pub terminal: Option<i64>,
    /// The processor time that it has taken.
    pub usage: Duration,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its human is to be told that it ends in so long.
    Warn(Because, Duration),
    /// It is to be ended.
    End(Because),
}

/// One session's.
#[derive(Clone, Debug)]
pub struct Life {
    lifetimes: Lifetimes,
    started: Duration,
    active: Duration,
    looked: Duration,
    signs: Signs,
    warned: Warned,
}

/// What was warned of.
#[derive(Clone, Copy, Debug, Default)]
struct Warned {
    longest: Option<Duration>,
    idle: Option<Duration>,
}

impl Life {
    /// A session that begins.
    pub fn new(now: Duration, lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            started: now,
            active: now,
            looked: now,
            signs: Signs::default(),
            warned: Warned::default(),
        }
    }

    /// This was seen of it.
    pub fn on_signs(&mut self, now: Duration, signs: Signs) {
        let passed = now.saturating_sub(self.looked);
        let worked = signs.usage.saturating_sub(self.signs.usage);
        let by_itself = signs.terminal.is_none() && worked > passed / IDLE_SHARE;
        if signs.calls != self.signs.calls || signs.terminal != self.signs.terminal || by_itself {
            self.on_active(now);
        }
        self.signs = signs;
        self.looked = now;
    }

    /// It stands still because somebody froze it, which is not its own doing.
    pub fn on_frozen(&mut self, now: Duration) {
        self.on_active(now);
        self.looked = now;
    }

    /// What is due.
    pub fn due(&mut self, now: Duration) -> Option<Due> {
        let Lifetimes { longest, idle } = self.lifetimes;
        let since_start = now.saturating_sub(self.started);
        let since_sign = now.saturating_sub(self.active);
        step(
            longest,
            since_start,
            Because::LifetimeOver,
            now,
            &mut self.warned.longest,
        )
        .or_else(|| step(idle, since_sign, Because::Idle, now, &mut self.warned.idle))
    }

    /// How long nothing can be due; `None` if nothing ever is.
    pub fn quiet(&self, now: Duration) -> Option<Duration> {
        let Lifetimes { longest, idle } = self.lifetimes;
        let parts = [(longest, self.started), (idle, self.active)];
        let soonest = parts.into_iter().filter_map(|(bound, from)| {
            let bound = bound?;
            let passed = now.saturating_sub(from);
            let warning = bound.saturating_sub(lead(bound));
            let next = if passed < warning { warning } else { bound };
            Some(next.saturating_sub(passed))
        });
        soonest.min().map(|soonest| soonest.clamp(SOON, LOOK))
    }

    fn on_active(&mut self, now: Duration) {
        self.active = now;
        self.warned.idle = None;
    }
}

/// How long before the end a warning comes.
fn lead(bound: Duration) -> Duration {
    WARNING.min(bound / SHARE)
}

/// A warning at its time, once; the end at its own, and not before the warning was heard for its time.
fn step(
    bound: Option<Duration>,
    passed: Duration,
    because: Because,
    now: Duration,
    warned: &mut Option<Duration>,
) -> Option<Due> {
    let bound = bound?;
    let lead = lead(bound);
    if passed < bound.saturating_sub(lead) {
        return None;
    }
    match *warned {
        None => {
            *warned = Some(now);
            // A machine that slept has missed the time for it.
            let left = bound.saturating_sub(passed).max(lead);
            Some(Due::Warn(because, left))
        }
        Some(at) if passed >= bound && now.saturating_sub(at) >= lead => Some(Due::End(because)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
