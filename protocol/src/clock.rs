//! The broker's time of day: the system's clock for as long as nothing speaks against it, else the attestor's.
//!
//! [`Timekeeper`] judges, [`Clock`] is what every part of the broker is handed. A system's clock is believed if it is not
//! before a [`Floor`], and never past what the attestor said at the last attestation and the time that has run since.
//! This module must never read a clock itself: whoever makes a [`Clock`] hands the reading in.

mod keeper;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::keeper::{BeforeFloor, Timekeeper, Told};
use crate::Timestamp;

/// How far clocks of machines that are well may lie apart.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The latest end of a floor: the last second of the year 9999, which is where certificates end too (RFC 5280 §4.1.2.5).
const LAST: Timestamp = Timestamp::from_secs(253_402_300_799);

/// What a machine's clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time of day (`CLOCK_REALTIME`): may be set by anybody who may set it, and to anything.
    pub system: Timestamp,
    /// How long the machine has run, sleep included (`CLOCK_BOOTTIME`): is never set.
    pub uptime: Duration,
}

/// The time before which it is not: something has proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Timestamp", into = "Timestamp")]
pub struct Floor(Timestamp);

/// A time that nobody can have proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time after the year 9999 is no proof of anything")]
pub struct InvalidFloor;

impl Floor {
    /// At this time somebody who knows it has said so. The floor lies [`TOLERANCE`] below: a clock may be late by that.
    pub fn proven(at: Timestamp) -> Self {
        Self((at - TOLERANCE).min(LAST))
    }

    /// The time itself.
    pub fn at(self) -> Timestamp {
        self.0
    }
}

impl TryFrom<Timestamp> for Floor {
    type Error = InvalidFloor;

    fn try_from(at: Timestamp) -> Result<Self, InvalidFloor> {
        if at > LAST {
            Err(InvalidFloor)
        } else {
            Ok(Self(at))
        }
    }
}

impl From<Floor> for Timestamp {
    fn from(floor: Floor) -> Self {
        floor.0
    }
}

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The system's clock.
    System,
    /// The attestor's at the last attestation, and the time that has run since: the system's clock says something else.
    Attestor,
    /// The system's clock, which has gone ahead of what the attestor said by more than has run since. It counts until the
    /// attestor says otherwise: too late ends things early, too early would keep them alive.
    Unsettled,
    /// Nobody's: the system's clock is before the floor, and no attestor has said what time it is. What is told is the
    /// floor, and the time that has run since.
    Lost,
}

/// What is told of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Whose time counts.
    pub source: Source,
    /// The time that counts.
    pub now: Timestamp,
    /// What the system's clock says.
    pub system: Timestamp,
}

/// The broker's time of day. Clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Reading + Send + Sync>,
    keeper: Arc<Mutex<Timekeeper>>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

impl Clock {
    /// A clock that has not heard of an attestor yet.
    pub fn new(floor: Floor, read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let keeper = Timekeeper::new(floor, read());
        Self {
            read: Arc::new(read),
            keeper: Arc::new(Mutex::new(keeper)),
        }
    }

    /// The time by which everything is judged.
    ///
    /// Between two attestations it never goes back. Whoever keeps a deadline and sees that it has gone back all the same
    /// takes the deadline for passed.
    pub fn now(&self) -> Timestamp {
        self.told().now
    }

    /// The time, and whose it is.
    pub fn told(&self) -> Told {
        let reading = self.reading();
        self.with(|keeper| keeper.tell(reading))
    }

    /// What is told to people.
    pub fn status(&self) -> ClockStatus {
        let reading = self.reading();
        let Told { now, source } = self.with(|keeper| keeper.tell(reading));
        ClockStatus {
            source,
            now,
            system: reading.system,
        }
    }

    /// What the machine's clocks say.
    pub fn reading(&self) -> Reading {
        (self.read)()
    }

    /// The floor.
    pub fn floor(&self) -> Floor {
        self.with(|keeper| keeper.floor())
    }

    /// Whether an attestor has said what time it is since the broker started.
    pub fn is_proven(&self) -> bool {
        self.with(|keeper| keeper.is_proven())
    }

    /// Takes an attestor's time, which it stated after `asked`.
    ///
    /// # Errors
    /// [`BeforeFloor`]; nothing has changed then.
    pub fn take(&self, time: Timestamp, asked: Reading) -> Result<(), BeforeFloor> {
        let reading = self.reading();
        self.with(|keeper| keeper.take(time, asked, reading))
    }

    /// A time of this clock's as other programs of this machine understand it, which see the system's own.
    pub fn shown(&self, at: Timestamp) -> Timestamp {
        let ClockStatus { now, system, .. } = self.status();
        if at >= now {
            system + at.since(now)
        } else {
            system - now.since(at)
        }
    }

    /// Enough randomness to spread a fleet: the nanoseconds of the uptime.
    pub fn jitter_bits(&self) -> u32 {
        let nanos = self.reading().uptime.subsec_nanos();
        nanos.wrapping_mul(2_654_435_769)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Timekeeper) -> T) -> T {
        act(&mut self.keeper.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
