//! Something that is done elsewhere, may fail, and is then tried again, but not at once.
//!
//! This module must never forget a failure before its pause is over, or a busy authority would be
//! asked without end.

use std::time::Duration;

use holdfast_protocol::Timestamp;

use super::Refusal;

/// The first pause after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One piece of work.
#[derive(Debug)]
pub(crate) struct Work {
    phase: Phase,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    Busy,
    Paused {
        why: Refusal,
        since: Timestamp,
        pause: Duration,
    },
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            failures: 0,
        }
    }

    pub(crate) fn start(&mut self) {
        self.phase = Phase::Busy;
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn failed(&mut self, why: Refusal, now: Timestamp) {
        let doubled =
            FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Paused {
            why,
            since: now,
            pause: doubled.min(LONGEST_PAUSE),
        };
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Busy)
    }

    pub(crate) fn may_start(&self, now: Timestamp) -> bool {
        !self.is_busy() && self.pause(now).is_none()
    }

    /// Why there is a pause, while there is. A clock that was set back does not lengthen it.
    pub(crate) fn pause(&self, now: Timestamp) -> Option<Refusal> {
        match self.phase {
            Phase::Paused { why, since, pause } if since <= now && now < since + pause => Some(why),
            Phase::Idle | Phase::Busy | Phase::Paused { .. } => None,
        }
    }

    pub(crate) fn paused_until(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Paused { since, pause, .. } => Some(since + pause),
            Phase::Idle | Phase::Busy => None,
        }
    }
}
