//! How a TPM's clock and reset counters follow what was seen of it last: in words that tell a reboot from a copy.
//!
//! Pure. One TPM cannot have fewer resets than it had, nor an earlier clock, but by a bounded step after an unclean stop
//! (Part 1 §36). Whatever goes back otherwise is a copy of the TPM, or an older state of it put back.

use std::fmt;

use holdfast_proof::tpm::{ClockInfo, Safe};

/// How far a clock may be behind after an unclean stop, in milliseconds: a TPM writes it to NV at
/// least every 2^22 ms, about 70 minutes (Part 1 §36).
const MAX_STEP_BACK_MS: u64 = 1 << 22;

/// What happened to the TPM since it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Nothing: the clock ran on.
    RanOn,
    /// It slept, or was restarted with its state.
    Resumed,
    /// The machine was started anew.
    Rebooted,
    /// The machine was started anew after it had stopped without notice, and the clock lost what was not written.
    UncleanStop {
        /// How far the clock is behind.
        back_ms: u64,
    },
    /// It is older than what was seen, which one TPM cannot be.
    WentBack {
        /// How far the clock is behind; zero where the counters are.
        back_ms: u64,
    },
}

impl Continuity {
    /// From what was accepted last to what is seen now; `earliest_ms` is the earliest clock of the evidence.
    pub(super) fn between(last: ClockInfo, seen: ClockInfo, earliest_ms: u64) -> Self {
        let epoch = |clock: ClockInfo| (clock.reset_count, clock.restart_count);
        let back_ms = last.clock_ms.saturating_sub(earliest_ms);
        if epoch(seen) < epoch(last) {
            return Self::WentBack { back_ms };
        }
        let rebooted = seen.reset_count > last.reset_count;
        match back_ms {
            0 if rebooted => Self::Rebooted,
            0 if epoch(seen) > epoch(last) => Self::Resumed,
            0 => Self::RanOn,
            // An unclean stop always shows as a reset, and the TPM then says that its clock is not safe.
            _ if rebooted && seen.safe == Safe::No && back_ms <= MAX_STEP_BACK_MS => {
                Self::UncleanStop { back_ms }
            }
            _ => Self::WentBack { back_ms },
        }
    }
}

impl fmt::Display for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RanOn => f.write_str("ran on"),
            Self::Resumed => f.write_str("resumed or restarted"),
            Self::Rebooted => f.write_str("rebooted"),
            Self::UncleanStop { back_ms } => write!(
                f,
                "rebooted after an unclean stop, clock {back_ms} ms back and safe = no"
            ),
            Self::WentBack { back_ms } => write!(
                f,
                "cloned or rolled back, for one TPM cannot be older than it was: {back_ms} ms back"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(reset_count: u32, restart_count: u32, clock_ms: u64, safe: Safe) -> ClockInfo {
        ClockInfo {
            clock_ms,
            reset_count,
            restart_count,
            safe,
        }
    }

    fn of(last: ClockInfo, seen: ClockInfo) -> Continuity {
        Continuity::between(last, seen, seen.clock_ms)
    }

    #[test]
    fn a_reboot_a_sleep_and_a_copy_are_told_apart() {
        let last = clock(5, 2, 9_000_000, Safe::Yes);
        let cases = [
            (clock(5, 2, 9_000_001, Safe::Yes), "ran on"),
            (clock(5, 3, 9_000_001, Safe::Yes), "resumed or restarted"),
            (clock(6, 0, 9_000_001, Safe::Yes), "rebooted"),
            (
                clock(6, 0, 8_999_000, Safe::No),
                "rebooted after an unclean stop, clock 1000 ms back and safe = no",
            ),
        ];
        for (seen, words) in cases {
            assert_eq!(of(last, seen).to_string(), words);
        }
        for seen in [
            clock(4, 9, 9_000_001, Safe::Yes),
            clock(5, 1, 9_000_001, Safe::Yes),
            clock(5, 2, 8_999_999, Safe::No),
            clock(5, 3, 8_999_999, Safe::No),
            clock(6, 0, 8_999_999, Safe::Yes),
            clock(6, 0, 9_000_000 - MAX_STEP_BACK_MS - 1, Safe::No),
        ] {
            let found = of(last, seen);
            assert!(
                matches!(found, Continuity::WentBack { .. }),
                "{seen:?}: {found}"
            );
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Life {
        Run(u64),
        Sleep,
        Reboot,
        PowerCut(u64),
    }

    fn life() -> impl Strategy<Value = Life> {
        prop_oneof![
            (0_u64..1 << 30).prop_map(Life::Run),
            Just(Life::Sleep),
            Just(Life::Reboot),
            (0..=MAX_STEP_BACK_MS).prop_map(Life::PowerCut),
        ]
    }

    proptest! {
        /// The model is a TPM: whatever happens to one, it is never taken for a copy, and an older state of it always is.
        #[test]
        fn one_tpm_is_never_taken_for_two_and_an_older_state_always_is(
            lives in prop::collection::vec(life(), 1..40),
        ) {
            let mut tpm = clock(0, 0, MAX_STEP_BACK_MS * 100, Safe::Yes);
            for life in lives {
                let last = tpm;
                match life {
                    Life::Run(ms) => tpm.clock_ms += ms,
                    Life::Sleep => tpm.restart_count += 1,
                    Life::Reboot => tpm = clock(tpm.reset_count + 1, 0, tpm.clock_ms, Safe::Yes),
                    Life::PowerCut(lost) => {
                        tpm = clock(tpm.reset_count + 1, 0, tpm.clock_ms - lost, Safe::No);
                    }
                }
                let found = of(last, tpm);
                prop_assert!(!matches!(found, Continuity::WentBack { .. }), "{last:?} {tpm:?}: {found}");
                if (last.reset_count, last.restart_count) != (tpm.reset_count, tpm.restart_count)
                    || tpm.clock_ms > last.clock_ms
                {
                    let found = of(tpm, last);
                    prop_assert!(matches!(found, Continuity::WentBack { .. }), "{tpm:?} {last:?}: {found}");
                }
            }
        }
    }
}
