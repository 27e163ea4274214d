//! The wall clock and a little randomness, read at the edge of this job alone: its cores take both as inputs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;

use crate::state::Jitter;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Enough randomness to spread a fleet: the clock's nanoseconds.
pub(crate) fn jitter() -> Jitter {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    Jitter::from_random(nanos.wrapping_mul(2_654_435_769))
}
