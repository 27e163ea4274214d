//! What is known of one other trust domain, when it is to be asked for again, and what is believed of an answer: pure.
//!
//! It must never take an older bundle for a newer one, nor give the last good one up because a new one is not to be had.

use std::time::Duration;

use holdfast_protocol::{Sha256Digest, Timestamp};

use super::document::Document;

/// The shortest and the longest time between two fetches, whatever a bundle hints at.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How often a bundle is fetched that hints at nothing (SPIFFE Trust Domain and Bundle §4.1.2).
const USUAL: Duration = Duration::from_secs(300);

/// The first wait after a failure; it doubles with each, up to [`USUAL`] or the bundle's own interval.
const RETRY: Duration = Duration::from_secs(5);

/// A random number of `0..=u16::MAX`, drawn anew for each step.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(pub u16);

impl Jitter {
    /// Between `least` sixteenths of a time and all of it.
    fn of(self, time: Duration, least: u32) -> Duration {
        let part = time / 16 * (16 - least);
        let millis = part.as_millis() * u128::from(self.0) / u128::from(u16::MAX);
        time / 16 * least + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Who vouched for a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The operator, by a file with this digest: what they say holds, whatever was known before.
    Operator(Sha256Digest),
    /// The trust domain itself, at its endpoint.
    Endpoint,
}

/// A bundle that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it says.
    pub document: Document,
    /// When it was had last.
    pub fetched: Timestamp,
}

/// A bundle is older than the one that is known; whoever serves it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Backwards {
    /// Its number is smaller.
    #[error("the bundle's sequence went back from {known} to {offered}")]
    Smaller {
        /// What is known.
        known: u64,
        /// What was offered.
        offered: u64,
    },
    /// It has none, and the one before had.
    #[error("the bundle has no sequence any more; the one that is known has {known}")]
    Missing {
        /// What is known.
        known: u64,
    },
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing but when it was had.
    None,
    /// The keys.
    Some,
}

/// One other trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The last good bundle.
    pub known: Option<Known>,
    /// Digest of the operator's file that was taken last.
    pub initial: Option<Sha256Digest>,
    /// When it is asked for next.
    pub due: Timestamp,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
    failures: u32,
}

impl Peer {
    /// As it was kept, or unknown; asked for at once.
    pub fn new(known: Option<Known>, initial: Option<Sha256Digest>, now: Timestamp) -> Self {
        Self {
            known,
            initial,
            due: now,
            error: None,
            failures: 0,
        }
    }

    /// Takes a bundle, and says whether it is another than the one before. The next time is as far away as it hints.
    ///
    /// # Errors
    /// [`Backwards`] if it is older than what is known, unless the operator vouches for it; nothing changes then, and
    /// [`Peer::failed`] is to be told.
    pub fn offered(
        &mut self,
        document: Document,
        voucher: Voucher,
        now: Timestamp,
        jitter: Jitter,
    ) -> Result<Change, Backwards> {
        let known = self.known.as_ref().map(|known| &known.document);
        match voucher {
            Voucher::Operator(file) => self.initial = Some(file),
            Voucher::Endpoint => {
                let sequences = (known.and_then(Document::sequence), document.sequence());
                match sequences {
                    (Some(known), None) => return Err(Backwards::Missing { known }),
                    (Some(known), Some(offered)) if offered < known => {
                        return Err(Backwards::Smaller { known, offered });
                    }
                    (Some(_) | None, _) => {}
                }
            }
        }
        let change = if known == Some(&document) {
            Change::None
        } else {
            Change::Some
        };
        self.due = now + jitter.of(interval(&document), 14);
        self.known = Some(Known {
            document,
            fetched: now,
        });
        self.error = None;
        self.failures = 0;
        Ok(change)
    }

    /// An attempt failed: the last good bundle stays, and the next attempt waits longer than this one did.
    pub fn failed(&mut self, why: String, now: Timestamp, jitter: Jitter) {
        let usual = self
            .known
            .as_ref()
            .map_or(USUAL, |known| interval(&known.document).min(USUAL));
        let wait = RETRY.saturating_mul(1 << self.failures.min(16));
        self.due = now + jitter.of(wait.min(usual.max(RETRY)), 8);
        self.failures = self.failures.saturating_add(1);
        self.error = Some(why);
    }
}

/// How often a bundle is fetched.
fn interval(document: &Document) -> Duration {
    document
        .refresh_hint()
        .unwrap_or(USUAL)
        .clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn document(sequence: Option<u64>, hint: Option<u64>) -> Document {
        let document =
            json!({ "keys": [], "spiffe_sequence": sequence, "spiffe_refresh_hint": hint });
        Document::parse(document.to_string().as_bytes()).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Fetched(Option<u64>, Option<u64>),
        File(u8, Option<u64>),
        Failed,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let sequence = || proptest::option::of(0_u64..6);
        prop_oneof![
            4 => (sequence(), proptest::option::of(any::<u64>())).prop_map(|(s, h)| Step::Fetched(s, h)),
            1 => (any::<u8>(), sequence()).prop_map(|(n, s)| Step::File(n, s)),
            2 => Just(Step::Failed),
            2 => (0_u64..100_000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Against a model that remembers the highest sequence since the operator last spoke.
        #[test]
        fn a_bundle_never_goes_back_and_is_never_given_up(
            steps in proptest::collection::vec((step(), any::<u16>()), 0..80),
        ) {
            let mut now = START;
            let mut peer = Peer::new(None, None, now);
            let mut highest: Option<u64> = None;
            for (step, jitter) in steps {
                let before = peer.clone();
                let jitter = Jitter(jitter);
                match step {
                    Step::Wait(seconds) => {
                        now = now + Duration::from_secs(seconds);
                        continue;
                    }
                    Step::Fetched(sequence, hint) => {
                        let offered = document(sequence, hint);
                        match peer.offered(offered.clone(), Voucher::Endpoint, now, jitter) {
                            Ok(change) => {
                                prop_assert!(sequence >= highest, "{:?} after {:?}", sequence, highest);
                                highest = sequence;
                                let same = before.known.is_some_and(|known| known.document == offered);
                                prop_assert_eq!(change == Change::None, same);
                                prop_assert_eq!(&peer.known.as_ref().unwrap().document, &offered);
                            }
                            Err(_) => {
                                prop_assert!(sequence < highest);
                                prop_assert_eq!(&peer, &before);
                                peer.failed("back".to_owned(), now, jitter);
                                prop_assert_eq!(&peer.known, &before.known);
                            }
                        }
                    }
                    Step::File(n, sequence) => {
                        let digest = Sha256Digest::new([n; 32]);
                        peer.offered(document(sequence, None), Voucher::Operator(digest), now, jitter).unwrap();
                        prop_assert_eq!(peer.initial, Some(digest));
                        highest = sequence;
                    }
                    Step::Failed => {
                        peer.failed("no route".to_owned(), now, jitter);
                        prop_assert_eq!(&peer.known, &before.known);
                        prop_assert!(peer.error.is_some());
                    }
                }
                // Never at once, and never later than a day.
                let wait = peer.due.since(now);
                let least = if peer.error.is_some() { RETRY / 2 } else { SHORTEST / 16 * 14 };
                prop_assert!(wait >= least && wait <= LONGEST, "{:?}", wait);
            }
        }
    }

    #[test]
    fn failures_are_retried_ever_less_often_but_as_often_as_the_bundle_wants() {
        let mut peer = Peer::new(None, None, START);
        let mut waits = Vec::new();
        for _ in 0..9 {
            peer.failed("no route".to_owned(), START, Jitter(u16::MAX));
            waits.push(peer.due.since(START).as_secs());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        let often = document(Some(1), Some(30));
        peer.offered(often, Voucher::Endpoint, START, Jitter(0))
            .unwrap();
        assert_eq!(peer.error, None);
        for _ in 0..9 {
            peer.failed("no route".to_owned(), START, Jitter(u16::MAX));
        }
        assert_eq!(peer.due.since(START).as_secs(), 30);
        assert!(peer.known.is_some());
    }

    #[test]
    fn going_back_is_named() {
        let mut peer = Peer::new(None, None, START);
        let mut offer = |sequence| {
            let document = document(sequence, None);
            peer.offered(document, Voucher::Endpoint, START, Jitter(7))
        };
        assert_eq!(offer(None), Ok(Change::Some));
        assert_eq!(offer(Some(7)), Ok(Change::Some));
        assert_eq!(offer(Some(7)), Ok(Change::None));
        let back = offer(Some(6)).unwrap_err();
        assert_eq!(
            back.to_string(),
            "the bundle's sequence went back from 7 to 6"
        );
        assert_eq!(offer(None), Err(Backwards::Missing { known: 7 }));
    }
}
