//! What time it is, judged from the machine's clocks, the floor and the attestor's word: pure.
//!
//! It must never tell a time before the floor, nor let a clock that was set back make anything live longer.

use std::time::Duration;

use super::{Floor, Reading, Source, TOLERANCE};
use crate::Timestamp;

/// The time, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The time.
    pub now: Timestamp,
    /// Whose it is.
    pub source: Source,
}

/// Somebody states a time that has passed already, provably. Peer, or whoever wrote the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time that it states lies {} s before one that was proved", .0.as_secs())]
pub struct BeforeFloor(pub Duration);

/// Judges the machine's clocks.
#[derive(Clone, Debug)]
pub struct Timekeeper {
    floor: Floor,
    /// The machine's uptime when this began.
    began: Duration,
    taken: Option<Taken>,
    /// The latest time that was told since an attestor's was taken.
    reached: Timestamp,
}

/// An attestor's time.
#[derive(Clone, Copy, Debug)]
struct Taken {
    time: Timestamp,
    /// When it was asked for: what has run since is at least what has passed, so that the time is never late by the way.
    asked: Reading,
}

impl Timekeeper {
    /// Knows the floor alone.
    pub fn new(floor: Floor, reading: Reading) -> Self {
        Self {
            floor,
            began: reading.uptime,
            taken: None,
            reached: Timestamp::from_millis(0),
        }
    }

    /// The floor.
    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// Whether an attestor's time was taken.
    pub fn is_proven(&self) -> bool {
        self.taken.is_some()
    }

    /// The time. Once an attestor's was taken it does not go back until another is.
    pub fn tell(&mut self, reading: Reading) -> Told {
        let Told { now, source } = self.judge(reading);
        let now = now.max(self.floor.at());
        if self.taken.is_none() {
            return Told { now, source };
        }
        self.reached = self.reached.max(now);
        Told {
            now: self.reached,
            source,
        }
    }

    /// An attestor has stated `time`, after it was asked at `asked`; now is `reading`.
    ///
    /// # Errors
    /// [`BeforeFloor`]; nothing has changed then.
    pub fn take(
        &mut self,
        time: Timestamp,
        asked: Reading,
        reading: Reading,
    ) -> Result<(), BeforeFloor> {
        let floor = self.floor.at();
        if time < floor {
            return Err(BeforeFloor(floor.since(time)));
        }
        self.floor = self.floor.max(Floor::proven(time));
        self.taken = Some(Taken { time, asked });
        let now = self.judge(reading).now;
        // A difference that clocks may have is waited out. A larger one was a clock that ran ahead.
        if self.reached.since(now) > TOLERANCE {
            self.reached = now;
        }
        Ok(())
    }

    fn judge(&self, reading: Reading) -> Told {
        let Reading { system, uptime } = reading;
        let Some(Taken { time, asked }) = self.taken else {
            return if system >= self.floor.at() {
                told(system, Source::System)
            } else {
                let since = uptime.saturating_sub(self.began);
                told(self.floor.at() + since, Source::Lost)
            };
        };
        let estimate = time + uptime.saturating_sub(asked.uptime);
        if apart(system, estimate) <= TOLERANCE {
            return told(system, Source::System);
        }
        // What the clock was known to be ahead by when the attestor stated the time says nothing new.
        let known = asked.system.since(time);
        let own = if known > TOLERANCE {
            system - known
        } else {
            system
        };
        if own.since(estimate) > TOLERANCE {
            told(own, Source::Unsettled)
        } else {
            told(estimate, Source::Attestor)
        }
    }
}

fn told(now: Timestamp, source: Source) -> Told {
    Told { now, source }
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests;
