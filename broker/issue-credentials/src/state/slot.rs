//! One credential's life: wanted, signed, recorded, given out, replaced, expired.
//!
//! This module must never give out what is not both recorded and valid.

use holdfast_protocol::Timestamp;

use super::work::Work;
use super::{Answer, Change, Effect, Generation, Refusal, Signed, Wanted};

/// Which credentials are replaced before they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Each, so that a host that goes offline starts with half a life at least.
    Always,
    /// Those that were asked for since they were signed.
    WhileAsked,
}

/// A credential, and what is being done about it.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    keep: Keep,
    held: Option<Held<C>>,
    signing: Work,
    recording: Work,
    demand: Demand,
    last_asked: Timestamp,
    generation: Generation,
}

#[derive(Debug)]
struct Held<C> {
    credential: C,
    record: Record,
    signed_at: Timestamp,
    not_after: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Missing,
    Durable,
}

/// Whether somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Nobody,
    Waiting,
}

/// What a slot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Sign,
    Record(Generation, Timestamp),
}

impl Step {
    pub(super) fn of(self, wanted: Wanted) -> Effect {
        match self {
            Self::Sign => Effect::Sign(wanted),
            Self::Record(generation, not_after) => Effect::Record {
                wanted,
                generation,
                not_after,
            },
        }
    }
}

impl<C: Clone> Slot<C> {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            held: None,
            signing: Work::new(),
            recording: Work::new(),
            demand: Demand::Nobody,
            last_asked: Timestamp::from_millis(0),
            generation: 0,
        }
    }

    /// The change is for the shell: something is to be done that was not before.
    pub(super) fn ask(&mut self, now: Timestamp) -> (Answer<C>, Change) {
        // What nobody has used for half of its life is not given out now: it would soon be over.
        let expired = self.expire(now);
        self.last_asked = now;
        let paused = match &self.held {
            Some(held) if held.record == Record::Durable => {
                let ready = Answer::Ready(held.credential.clone(), self.generation);
                let change = if self.wants_signature(now) {
                    Change::Some
                } else {
                    Change::None
                };
                return (ready, change);
            }
            Some(_) => self.recording.pause(now),
            None => self.signing.pause(now),
        };
        if let Some(why) = paused {
            return (Answer::Refused(why), expired);
        }
        let change = match self.demand {
            Demand::Nobody => Change::Some,
            Demand::Waiting => expired,
        };
        self.demand = Demand::Waiting;
        (Answer::Pending, change)
    }

    pub(super) fn poll(&mut self, now: Timestamp) -> Option<Step> {
        if self.wants_signature(now) {
            self.signing.start();
            return Some(Step::Sign);
        }
        let held = self.held.as_ref()?;
        if held.record == Record::Missing
            && self.demand == Demand::Waiting
            && self.recording.may_start(now)
        {
            self.recording.start();
            return Some(Step::Record(self.generation, held.not_after));
        }
        None
    }

    pub(super) fn signed(&mut self, result: Result<Signed<C>, Refusal>, now: Timestamp) {
        let still_valid = |signed: Signed<C>| {
            if now < signed.not_after {
                Ok(signed)
            } else {
                Err(Refusal::Unavailable)
            }
        };
        match result.and_then(still_valid) {
            Ok(signed) => {
                self.generation += 1;
                self.signing.succeeded();
                self.held = Some(Held {
                    credential: signed.credential,
                    record: Record::Missing,
                    signed_at: now,
                    not_after: signed.not_after,
                });
            }
            Err(why) => {
                self.signing.failed(why, now);
                // Who is refused the identity must not go on with what is left of it.
                if why == Refusal::NoIdentity {
                    self.held = None;
                }
                if self.held.is_none() {
                    self.demand = Demand::Nobody;
                }
            }
        }
    }

    pub(super) fn recorded(
        &mut self,
        generation: Generation,
        result: Result<(), Refusal>,
        now: Timestamp,
    ) {
        match result {
            Ok(()) => {
                self.recording.succeeded();
                // A record of the generation before says nothing of this one.
                if let Some(held) = &mut self.held
                    && generation == self.generation
                {
                    held.record = Record::Durable;
                    self.demand = Demand::Nobody;
                }
            }
            Err(why) => {
                self.recording.failed(why, now);
                self.demand = Demand::Nobody;
            }
        }
    }

    /// Drops the credential if its time is over, or half of it if nobody uses it.
    pub(super) fn expire(&mut self, now: Timestamp) -> Change {
        match &self.held {
            Some(held) if self.kept_until(held) <= now => {
                self.held = None;
                Change::Some
            }
            Some(_) | None => Change::None,
        }
    }

    /// When [`poll`](Self::poll) or [`expire`](Self::expire) has something to do without being asked.
    pub(super) fn wake_at(&self) -> impl Iterator<Item = Timestamp> {
        let expiry = self.held.as_ref().map(|held| self.kept_until(held));
        let renewal = self.held.as_ref().and_then(|held| {
            (self.is_kept(held) && !self.signing.is_busy()).then(|| held.half_life())
        });
        [expiry, renewal, self.signing.paused_until()]
            .into_iter()
            .flatten()
    }

    pub(super) fn wants_signature(&self, now: Timestamp) -> bool {
        let due = match &self.held {
            Some(held) => self.is_kept(held) && held.half_life() <= now,
            None => self.keep == Keep::Always || self.demand == Demand::Waiting,
        };
        due && self.signing.may_start(now)
    }

    pub(super) fn is_signing(&self) -> bool {
        self.signing.is_busy()
    }

    /// Whether nobody waits and nothing is under way: it may make room.
    pub(super) fn is_idle(&self) -> bool {
        self.demand == Demand::Nobody && !self.signing.is_busy() && !self.recording.is_busy()
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_spent(&self, now: Timestamp) -> bool {
        self.held.is_none() && self.is_idle() && self.signing.may_start(now)
    }

    pub(super) fn last_asked(&self) -> Timestamp {
        self.last_asked
    }

    fn kept_until(&self, held: &Held<C>) -> Timestamp {
        if self.is_kept(held) {
            held.not_after
        } else {
            held.half_life()
        }
    }

    fn is_kept(&self, held: &Held<C>) -> bool {
        match self.keep {
            Keep::Always => true,
            Keep::WhileAsked => self.last_asked >= held.signed_at,
        }
    }
}

impl<C> Held<C> {
    fn half_life(&self) -> Timestamp {
        self.signed_at + self.not_after.since(self.signed_at) / 2
    }
}
