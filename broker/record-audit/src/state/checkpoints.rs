//! Checkpoints, one step at a time: signed ones, and those that the TPM's counter freezes (certify, then increment).
//!
//! The order is the proof: pending body durable → certified at count c → evidence durable → incremented to c + 1. No two
//! bodies may ever be certified at one count, whatever fails or crashes between two steps; so a pending body stays until
//! its evidence is durable, and after any doubt the counter is read before anything else is done.

use holdfast_proof::counter::CounterEvidence;
use holdfast_protocol::Timestamp;

use super::due::{Budget, DuePolicy};
use super::{Tip, Urgency};

/// What the shell has to do next. One at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the counter; answer [`Input::CounterRead`].
    ReadCounter,
    /// Make durable that this body is the one to be certified next; answer [`Input::Persisted`].
    PersistPending(Tip),
    /// Sign the note's text with the checkpoint key; answer [`Input::Signed`].
    Sign(Tip),
    /// Certify the counter over SHA-256 of the note's text; answer [`Input::Certified`].
    Certify(Tip),
    /// Make the checkpoint durable and, if it has evidence, forget the pending body in the same transaction; answer
    /// [`Input::Persisted`].
    PersistCheckpoint(Checkpoint),
    /// Increment the counter; answer [`Input::Incremented`].
    Increment,
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The counter's value.
    CounterRead(u64),
    /// What was to be durable is.
    Persisted,
    /// The signature: ECDSA-Sig-Value, DER.
    Signed(Vec<u8>),
    /// The counter's certified value and the evidence for it, which the shell has parsed.
    Certified(Evidence),
    /// The counter's value after the increment.
    Incremented(u64),
    /// The TPM did not do it, or did not say that it did.
    TpmFailed,
}

/// A checkpoint to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it covers.
    pub tip: Tip,
    /// By the checkpoint key: ECDSA-Sig-Value, DER.
    pub signature: Vec<u8>,
    /// The counter's evidence; `None` for one that is only signed.
    pub evidence: Option<Evidence>,
}

/// An NV_Certify of the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The counter's value in it.
    pub value: u64,
    /// What the TPM returned.
    pub evidence: CounterEvidence,
}

/// What is known of a log's checkpoints when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The size that the last checkpoint covers.
    pub covered: u64,
    /// The size that the last checkpoint with evidence covers.
    pub frozen: u64,
    /// The counter's value in the last evidence.
    pub last_value: Option<u64>,
    /// The body that was to be certified when the log was left.
    pub pending: Option<Tip>,
    /// When the counter was incremented, of late.
    pub increments: Vec<Timestamp>,
}

/// Log and TPM contradict each other, or we lost the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The environment: the counter moved without us, or the log is older than the counter.
    #[error(
        "{}: the TPM's counter stands at {found}, and the log's evidence leads to {expected}",
        contradiction(*found, *expected)
    )]
    Counter {
        /// The value that follows from the log.
        expected: u64,
        /// The value that the TPM tells.
        found: u64,
    },
    /// A defect of ours: an answer without its question.
    #[error("a checkpoint step was answered out of order")]
    OutOfOrder,
}

fn contradiction(found: u64, expected: u64) -> &'static str {
    if found > expected {
        "an older log was put back, or evidence was removed"
    } else {
        "this is another TPM's log, or the counter was made anew"
    }
}

/// The machine.
#[derive(Debug)]
pub struct Checkpoints {
    policy: DuePolicy,
    budget: Budget,
    counter: Counter,
    past: Past,
    /// How many records are durable.
    size: u64,
    phase: Phase,
    /// What someone wants more urgently than the tick gives it.
    wanted: Urgency,
    uncovered_since: Option<Timestamp>,
    unfrozen_since: Option<Timestamp>,
    started: Option<Timestamp>,
    not_before: Option<Timestamp>,
    stopping: Stopping,
}

/// Whether the log is about to be closed.
#[derive(Clone, Copy, Debug)]
enum Stopping {
    No,
    Yes,
}

/// What is known of the TPM's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    /// The installation has none.
    Absent,
    /// It has to be read before it is used.
    Unsettled {
        /// Its value when the log began.
        first: u64,
    },
    /// It stands at `value`, which no evidence has yet.
    At {
        /// Its value when the log began.
        first: u64,
        /// Its value.
        value: u64,
    },
}

#[derive(Clone, Debug)]
enum Phase {
    Idle,
    Reading,
    PersistingPending(Tip),
    Signing(Tip, Kind),
    Certifying(Tip, Vec<u8>),
    Persisting(Checkpoint),
    Incrementing(u64),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Signed,
    Frozen,
}

impl Checkpoints {
    /// Takes up a log's checkpoints. `first` is the counter's value when the log began, `None` if there is no counter.
    pub fn resume(
        policy: DuePolicy,
        first: Option<u64>,
        past: Past,
        size: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            budget: Budget::new(policy.daily_increments, past.increments.iter().copied()),
            counter: first.map_or(Counter::Absent, |first| Counter::Unsettled { first }),
            uncovered_since: (size > past.covered).then_some(now),
            unfrozen_since: (size > past.frozen).then_some(now),
            policy,
            past,
            size,
            phase: Phase::Idle,
            wanted: Urgency::Routine,
            started: None,
            not_before: None,
            stopping: Stopping::No,
        }
    }

    /// The size that the last checkpoint covers.
    pub fn covered(&self) -> u64 {
        self.past.covered
    }

    /// The size that the last checkpoint with evidence covers.
    pub fn frozen(&self) -> u64 {
        self.past.frozen
    }

    /// The counter's value in the last evidence.
    pub fn last_value(&self) -> Option<u64> {
        self.past.last_value
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether the counter still has to be read.
    pub fn is_unsettled(&self) -> bool {
        matches!(self.counter, Counter::Unsettled { .. })
    }

    pub(super) fn grown(&mut self, size: u64, urgency: Urgency, now: Timestamp) {
        self.size = size;
        if size > self.past.covered {
            self.uncovered_since.get_or_insert(now);
        }
        if size > self.past.frozen {
            self.unfrozen_since.get_or_insert(now);
        }
        self.wanted = self.wanted.max(urgency);
    }

    pub(super) fn wanted(&mut self) {
        self.wanted = Urgency::Freeze;
        self.not_before = None;
    }

    /// Whatever has no checkpoint is due now.
    pub(super) fn stopping(&mut self) {
        self.stopping = Stopping::Yes;
    }

    pub(super) fn poll(&mut self, tip: Tip, now: Timestamp) -> Option<Effect> {
        if !self.is_idle() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        if self.is_unsettled() {
            self.phase = Phase::Reading;
            return Some(Effect::ReadCounter);
        }
        if let Some(pending) = self.past.pending {
            return Some(self.sign(pending, Kind::Frozen, now));
        }
        if self.frozen_at(now).is_some_and(|at| at <= now) {
            self.wanted = Urgency::Routine;
            self.started = Some(now);
            self.phase = Phase::PersistingPending(tip);
            return Some(Effect::PersistPending(tip));
        }
        // What was wanted is there already, or the budget has no more for it than a signature.
        let due = self.covered_at(now).is_some_and(|at| at <= now);
        self.wanted = Urgency::Routine;
        due.then(|| self.sign(tip, Kind::Signed, now))
    }

    pub(super) fn poll_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.is_idle() {
            return None;
        }
        let unfinished = self.is_unsettled() || self.past.pending.is_some();
        let at = if unfinished {
            Some(now)
        } else {
            [self.frozen_at(now), self.covered_at(now)]
                .into_iter()
                .flatten()
                .min()
        };
        at.map(|at| self.not_before.map_or(at, |not_before| at.max(not_before)))
    }

    pub(super) fn done(
        &mut self,
        input: Input,
        now: Timestamp,
    ) -> Result<Option<Effect>, CheckpointError> {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        match (phase, input) {
            (Phase::Reading, Input::CounterRead(value)) => self.settle(value),
            (Phase::PersistingPending(tip), Input::Persisted) => {
                self.past.pending = Some(tip);
                Ok(Some(self.sign(tip, Kind::Frozen, now)))
            }
            (Phase::Signing(tip, Kind::Signed), Input::Signed(signature)) => {
                Ok(Some(self.persist(Checkpoint {
                    tip,
                    signature,
                    evidence: None,
                })))
            }
            (Phase::Signing(tip, Kind::Frozen), Input::Signed(signature)) => {
                self.phase = Phase::Certifying(tip, signature);
                Ok(Some(Effect::Certify(tip)))
            }
            (Phase::Certifying(tip, signature), Input::Certified(evidence)) => {
                self.expect(evidence.value)?;
                Ok(Some(self.persist(Checkpoint {
                    tip,
                    signature,
                    evidence: Some(evidence),
                })))
            }
            (Phase::Persisting(checkpoint), Input::Persisted) => {
                Ok(self.persisted(&checkpoint, now))
            }
            (Phase::Incrementing(from), Input::Incremented(value)) => {
                self.advance_to(from + 1);
                self.expect(value)?;
                self.not_before = None;
                Ok(None)
            }
            // The step may have happened all the same; the counter tells.
            (
                Phase::Reading
                | Phase::Signing(..)
                | Phase::Certifying(..)
                | Phase::Incrementing(_),
                Input::TpmFailed,
            ) => {
                if let Counter::At { first, .. } = self.counter {
                    self.counter = Counter::Unsettled { first };
                }
                self.not_before = Some(now + self.policy.retry);
                Ok(None)
            }
            (
                Phase::Idle
                | Phase::Reading
                | Phase::PersistingPending(_)
                | Phase::Signing(..)
                | Phase::Certifying(..)
                | Phase::Persisting(_)
                | Phase::Incrementing(_),
                Input::CounterRead(_)
                | Input::Persisted
                | Input::Signed(_)
                | Input::Certified(_)
                | Input::Incremented(_)
                | Input::TpmFailed,
            ) => Err(CheckpointError::OutOfOrder),
        }
    }

    /// Finds out, from the counter's value, whether the last evidence still lacks its increment.
    fn settle(&mut self, value: u64) -> Result<Option<Effect>, CheckpointError> {
        if self.past.last_value == Some(value) {
            self.phase = Phase::Incrementing(value);
            return Ok(Some(Effect::Increment));
        }
        let expected = match (self.past.last_value, self.counter) {
            (Some(last), _) => last.saturating_add(1),
            (None, Counter::Unsettled { first } | Counter::At { first, .. }) => first,
            (None, Counter::Absent) => return Err(CheckpointError::OutOfOrder),
        };
        self.advance_to(expected);
        self.expect(value)?;
        self.not_before = None;
        Ok(None)
    }

    fn advance_to(&mut self, value: u64) {
        if let Counter::Unsettled { first } | Counter::At { first, .. } = self.counter {
            self.counter = Counter::At { first, value };
        }
    }

    fn expect(&self, found: u64) -> Result<(), CheckpointError> {
        match self.counter {
            Counter::At { value, .. } if value == found => Ok(()),
            Counter::At { value, .. } => Err(CheckpointError::Counter {
                expected: value,
                found,
            }),
            Counter::Absent | Counter::Unsettled { .. } => Err(CheckpointError::OutOfOrder),
        }
    }

    fn sign(&mut self, tip: Tip, kind: Kind, now: Timestamp) -> Effect {
        self.started = Some(now);
        self.phase = Phase::Signing(tip, kind);
        Effect::Sign(tip)
    }

    fn persist(&mut self, checkpoint: Checkpoint) -> Effect {
        self.phase = Phase::Persisting(checkpoint.clone());
        Effect::PersistCheckpoint(checkpoint)
    }

    fn persisted(&mut self, checkpoint: &Checkpoint, now: Timestamp) -> Option<Effect> {
        // Records that came meanwhile have waited since this checkpoint began, at most.
        let since = self.started.unwrap_or(now);
        self.past.covered = self.past.covered.max(checkpoint.tip.size);
        self.uncovered_since = (self.size > self.past.covered).then_some(since);
        let evidence = checkpoint.evidence.as_ref()?;
        self.past.frozen = checkpoint.tip.size;
        self.unfrozen_since = (self.size > self.past.frozen).then_some(since);
        self.past.last_value = Some(evidence.value);
        self.past.pending = None;
        self.budget.spend(now);
        self.phase = Phase::Incrementing(evidence.value);
        Some(Effect::Increment)
    }

    /// When a checkpoint with counter is due; `None` if there is nothing to freeze, or no way to.
    fn frozen_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.size <= self.past.frozen || matches!(self.counter, Counter::Absent) {
            return None;
        }
        let allowed = self.budget.allowed_at(self.wanted, now)?;
        match self.wanted {
            Urgency::Freeze => Some(allowed),
            Urgency::Routine => {
                let due = self.routine_at(self.size - self.past.frozen, self.unfrozen_since, now);
                Some(due.max(allowed))
            }
        }
    }

    /// When a checkpoint of any kind is due; `None` if the last one covers everything.
    fn covered_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.size <= self.past.covered {
            return None;
        }
        Some(match self.wanted {
            Urgency::Freeze => now,
            Urgency::Routine => {
                self.routine_at(self.size - self.past.covered, self.uncovered_since, now)
            }
        })
    }

    fn routine_at(&self, waiting: u64, since: Option<Timestamp>, now: Timestamp) -> Timestamp {
        if matches!(self.stopping, Stopping::Yes) {
            return now;
        }
        if waiting < self.policy.records {
            // A clock that was set back must not make a record wait for it to catch up.
            return since.map_or(now, |since| since.min(now)) + self.policy.tick;
        }
        let rested = |started: Timestamp| started.min(now) + self.policy.rest;
        self.started.map_or(now, rested)
    }
}
