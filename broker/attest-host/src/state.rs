//! When to attest: the pure core of this job.
//!
//! It knows the node SVID's lifetime and the outcome of each attempt, and says when the next one is
//! due. It must never do I/O, read a clock, or draw randomness: `now` and the jitter are inputs.

use std::time::Duration;

use holdfast_protocol::Timestamp;

/// The first wait after an attestor that could not be reached.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait between attempts.
const LAST_RETRY: Duration = Duration::from_secs(300);

/// The first wait before a stream is opened again: a restarted attestor listens again after about that time.
const FIRST_RECONNECT: Duration = Duration::from_millis(200);

/// The longest.
const LAST_RECONNECT: Duration = Duration::from_secs(30);

/// A number in `[0, 1)`, drawn by the shell, that spreads a fleet's renewals.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(f64);

impl Jitter {
    /// From 32 random bits.
    pub fn from_random(bits: u32) -> Self {
        Self(f64::from(bits) / (f64::from(u32::MAX) + 1.0))
    }

    /// `duration`, made up to half shorter or longer: for many that were cut off at the same moment.
    fn scatter(self, duration: Duration) -> Duration {
        duration.mul_f64(0.5 + self.0)
    }

    /// `duration`, made up to a tenth shorter or longer.
    fn spread(self, duration: Duration) -> Duration {
        duration.mul_f64(0.9 + 0.2 * self.0)
    }
}

/// Where a host stands with its attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// There is no current SVID; attempt at `at`.
    Waiting {
        /// When to try.
        at: Timestamp,
        /// Attempts that failed in a row.
        failures: u32,
    },
    /// There is one.
    Fresh {
        /// When to renew it.
        renew_at: Timestamp,
        /// When it ends.
        not_after: Timestamp,
        /// Attempts to renew it that failed in a row.
        failures: u32,
    },
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The attestor signed an SVID.
    Attested {
        /// When it begins.
        not_before: Timestamp,
        /// When it ends.
        not_after: Timestamp,
    },
    /// An attempt failed: refused, or not reached.
    Failed,
    /// The measurement list did not fit the attestation that succeeded: the rest is to follow soon. (One that was refused
    /// for it is tried again anyway.)
    Unfinished,
    /// Attest at once: asked for, woken from sleep, a PCR changed.
    Demanded,
}

impl Renewal {
    /// A host that has just started.
    pub fn starting(now: Timestamp) -> Self {
        Self::Waiting {
            at: now,
            failures: 0,
        }
    }

    /// When the next attempt is due.
    pub fn due(&self) -> Timestamp {
        match self {
            Self::Waiting { at, .. } => *at,
            Self::Fresh { renew_at, .. } => *renew_at,
        }
    }

    /// What follows from `event`.
    pub fn after(self, event: Event, now: Timestamp, jitter: Jitter) -> Self {
        match event {
            Event::Attested {
                not_before,
                not_after,
            } => Self::Fresh {
                renew_at: half_life(not_before.max(now), not_after, jitter),
                not_after,
                failures: 0,
            },
            Event::Failed => self.failed(now, jitter),
            Event::Unfinished => self.demanded(now + jitter.spread(FIRST_RETRY)),
            Event::Demanded => self.demanded(now),
        }
    }

    fn failed(self, now: Timestamp, jitter: Jitter) -> Self {
        let retry = |failures: u32| now + jitter.spread(backoff(failures));
        match self {
            Self::Fresh {
                not_after,
                failures,
                ..
            } if now < not_after => Self::Fresh {
                renew_at: retry(failures),
                not_after,
                failures: failures.saturating_add(1),
            },
            Self::Fresh { failures, .. } | Self::Waiting { failures, .. } => Self::Waiting {
                at: retry(failures),
                failures: failures.saturating_add(1),
            },
        }
    }

    fn demanded(self, at: Timestamp) -> Self {
        match self {
            Self::Waiting { failures, .. } => Self::Waiting { at, failures },
            Self::Fresh {
                not_after,
                failures,
                ..
            } => Self::Fresh {
                renew_at: at,
                not_after,
                failures,
            },
        }
    }
}

/// How long to wait before the attestor's stream is opened again, after `failures` that followed each other.
pub fn reconnect(failures: u32, jitter: Jitter) -> Duration {
    let doubled = FIRST_RECONNECT.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    jitter.scatter(doubled.min(LAST_RECONNECT))
}

/// Half of what is left of an SVID's life, jittered.
fn half_life(from: Timestamp, not_after: Timestamp, jitter: Jitter) -> Timestamp {
    from + jitter.spread(not_after.since(from) / 2)
}

/// The wait after `failures` earlier failures in a row: doubling, bounded.
fn backoff(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = (Event, u64, u32)> {
        let kind = prop_oneof![
            (0_u64..7_200_000).prop_map(|ttl| Event::Attested {
                not_before: Timestamp::from_millis(0),
                not_after: Timestamp::from_millis(ttl),
            }),
            Just(Event::Failed),
            Just(Event::Unfinished),
            Just(Event::Demanded),
        ];
        (kind, 0_u64..600_000, any::<u32>())
    }

    proptest! {
        /// The model: an SVID is current exactly until the last `not_after`, and an attempt is
        /// never further away than the longest wait or the SVID's own half-life.
        #[test]
        fn an_attempt_is_always_due_in_time(steps in prop::collection::vec(event(), 1..40)) {
            let mut now = Timestamp::from_millis(1_000_000);
            let mut state = Renewal::starting(now);
            let mut model_not_after = None;
            for (event, wait, random) in steps {
                now = now + Duration::from_millis(wait);
                // Lifetimes are given relative to now.
                let event = match event {
                    Event::Attested { not_after, .. } => {
                        let not_after = now + Duration::from_millis(not_after.as_millis());
                        model_not_after = Some(not_after);
                        Event::Attested { not_before: now, not_after }
                    }
                    other @ (Event::Failed | Event::Unfinished | Event::Demanded) => other,
                };
                state = state.after(event, now, Jitter::from_random(random));
                let fresh = matches!(&state, Renewal::Fresh { not_after, .. } if now < *not_after);
                prop_assert_eq!(fresh, model_not_after.is_some_and(|end| now < end));
                let longest = match state {
                    _ if matches!(event, Event::Unfinished) => FIRST_RETRY.mul_f64(1.11),
                    Renewal::Fresh { not_after, failures: 0, .. } => not_after.since(now).mul_f64(0.56),
                    Renewal::Fresh { .. } | Renewal::Waiting { .. } => LAST_RETRY.mul_f64(1.11),
                };
                prop_assert!(state.due().since(now) <= longest + Duration::from_millis(2));
                if matches!(event, Event::Demanded) {
                    prop_assert!(state.due() <= now);
                }
            }
        }

        #[test]
        fn a_stream_is_opened_again_soon_and_never_late(failures in 0_u32..80, random: u32) {
            let wait = reconnect(failures, Jitter::from_random(random));
            prop_assert!(wait >= FIRST_RECONNECT / 2 && wait <= LAST_RECONNECT * 3 / 2);
            if failures == 0 {
                prop_assert!(wait <= FIRST_RECONNECT * 3 / 2);
            }
        }

        #[test]
        fn jitter_stays_within_a_tenth(random: u32, secs in 1_u64..100_000) {
            let base = Duration::from_secs(secs);
            let spread = Jitter::from_random(random).spread(base);
            prop_assert!(spread >= base.mul_f64(0.899) && spread <= base.mul_f64(1.101));
        }
    }
}
