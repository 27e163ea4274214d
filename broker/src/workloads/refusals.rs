//! How many refusals go on record: anybody can cause one, and the log is not theirs to fill.

use std::time::Duration;

use holdfast_protocol::Timestamp;

/// The most in one [`WINDOW`].
const MOST: u32 = 10;
/// How long they are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Those of the window that began last.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    window: Option<(Timestamp, u32)>,
}

impl Refusals {
    /// Whether one more is recorded at `now`.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let counted = match self.window {
            Some((began, count)) if now.since(began) < WINDOW && now >= began => {
                if count >= MOST {
                    return false;
                }
                (began, count.saturating_add(1))
            }
            Some(_) | None => (now, 1),
        };
        self.window = Some(counted);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_minute_and_no_more() {
        let mut refusals = Refusals::default();
        let at = Timestamp::from_secs;
        let recorded = (0..100).filter(|_| refusals.take(at(5))).count();
        assert_eq!(recorded, MOST as usize);
        assert!(!refusals.take(at(64)));
        assert!(refusals.take(at(65)));
        // A clock that was set back does not silence the record.
        assert!(refusals.take(at(1)));
    }
}
