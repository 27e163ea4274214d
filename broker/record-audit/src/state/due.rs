//! When a checkpoint is due, and what the TPM's counter may be spent on.
//!
//! An NV index wears out, so increments have a daily budget over all causes; signatures cost no wear. Nothing here may
//! let the budget be exceeded for any cause.

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_protocol::Timestamp;

use super::Urgency;

const DAY: Duration = Duration::from_hours(24);

/// When checkpoints are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuePolicy {
    /// A record waits at most this long for a checkpoint.
    pub tick: Duration,
    /// This many records do not wait for the tick.
    pub records: u64,
    /// However many records come, the TPM rests this long between two routine checkpoints.
    pub rest: Duration,
    /// How long to wait after the TPM failed.
    pub retry: Duration,
    /// The most increments of the counter in any 24 hours. A quarter of them come on the tick, as many as half of them
    /// again are spread over the day, and the last quarter is kept for approvals and for people who ask.
    pub daily_increments: usize,
}

impl Default for DuePolicy {
    fn default() -> Self {
        Self {
            tick: Duration::from_mins(5),
            records: 256,
            rest: Duration::from_secs(10),
            retry: Duration::from_secs(30),
            daily_increments: 48,
        }
    }
}

/// The increments of the last 24 hours.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    daily: usize,
    /// Oldest first.
    spent: VecDeque<Timestamp>,
}

impl Budget {
    pub(super) fn new(daily: usize, spent: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut spent: Vec<_> = spent.into_iter().collect();
        spent.sort_unstable();
        let unneeded = spent.len().saturating_sub(daily);
        Self {
            daily,
            spent: spent.into_iter().skip(unneeded).collect(),
        }
    }

    /// One increment is made now.
    pub(super) fn spend(&mut self, now: Timestamp) {
        // A clock that was set back must not make old increments look like future ones for longer than a day.
        for at in &mut self.spent {
            *at = (*at).min(now);
        }
        self.spent.push_back(now);
        while self.spent.len() > self.daily {
            self.spent.pop_front();
        }
    }

    /// The earliest time, not before `now`, at which an increment of this urgency is within the budget; `None` if the budget
    /// has no place for it at all.
    pub(super) fn allowed_at(&self, urgency: Urgency, now: Timestamp) -> Option<Timestamp> {
        match urgency {
            Urgency::Freeze => self.below(self.daily, now),
            Urgency::Routine => {
                let spread = self.daily.div_ceil(2).max(1);
                let at = self.below(self.daily * 3 / 4, now)?;
                match self.below(self.daily / 4, now) {
                    Some(free) if free <= now => Some(at),
                    Some(_) | None => {
                        let gap = DAY / u32::try_from(spread).unwrap_or(u32::MAX);
                        let last = self.spent.back().map_or(now, |last| (*last).min(now) + gap);
                        Some(at.max(last))
                    }
                }
            }
        }
    }

    /// When fewer than `limit` increments lie in the last 24 hours.
    fn below(&self, limit: usize, now: Timestamp) -> Option<Timestamp> {
        if limit == 0 {
            return None;
        }
        // The increment that has to be more than a day old: the `limit`-th from the end.
        let blocking = self
            .spent
            .len()
            .checked_sub(limit)
            .and_then(|at| self.spent.get(at));
        Some(blocking.map_or(now, |at| ((*at).min(now) + DAY).max(now)))
    }
}
