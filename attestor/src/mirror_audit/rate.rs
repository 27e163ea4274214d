//! How much one host may have us take, hash and read: a bucket of bytes for each.
//!
//! It holds up one host alone, and never takes anything half.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;

/// What a host may send at once after a silence, in bytes.
const BURST: u64 = 256 << 20;

/// What it may send each second, in bytes: a week of records in less than a minute.
const PER_SECOND: u64 = 32 << 20;

/// The buckets of all hosts that sent something; there are no more than are enrolled.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<HostId, Bucket>>);

/// A host has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFast {
    /// How long.
    pub(crate) wait: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// What was used and has not flowed off; it may be more than [`BURST`] after a costly request.
    used: u64,
    at: Timestamp,
}

impl Rates {
    /// Whether a host may ask now.
    pub(crate) fn admit(&self, host: HostId, now: Timestamp) -> Result<(), TooFast> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(host).or_insert(Bucket { used: 0, at: now });
        bucket.flow(now);
        let over = bucket.used.saturating_sub(BURST);
        if over == 0 {
            return Ok(());
        }
        let wait = Duration::from_millis(over.saturating_mul(1000).div_ceil(PER_SECOND));
        Err(TooFast { wait })
    }

    /// Writes down what a host's request cost.
    pub(crate) fn spend(&self, host: HostId, bytes: u64, now: Timestamp) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(host).or_insert(Bucket { used: 0, at: now });
        bucket.flow(now);
        bucket.used = bucket.used.saturating_add(bytes);
    }
}

impl Bucket {
    fn flow(&mut self, now: Timestamp) {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let flown = millis.saturating_mul(PER_SECOND) / 1000;
        self.used = self.used.saturating_sub(flown);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_sends_too_much_waits_and_no_other_does() {
        let rates = Rates::default();
        let (one, other) = (HostId::from_random([1; 16]), HostId::from_random([2; 16]));
        let now = Timestamp::from_secs(1_800_000_000);
        assert_eq!(rates.admit(one, now), Ok(()));
        rates.spend(one, BURST + 2 * PER_SECOND, now);
        let wait = Duration::from_secs(2);
        assert_eq!(rates.admit(one, now), Err(TooFast { wait }));
        assert_eq!(rates.admit(other, now), Ok(()));
        assert_eq!(rates.admit(one, now + wait), Ok(()));
        // A clock that was set back gives nothing and takes nothing.
        rates.spend(one, 1, Timestamp::from_secs(1));
        assert!(rates.admit(one, Timestamp::from_secs(1)).is_err());
    }
}
