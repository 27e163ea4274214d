//! What to send next, when to try again, and what is acknowledged: pure.
//!
//! Inputs take `now` and the jitter; nothing here waits or sends. A position only moves on when the attestor said that it
//! holds everything below, and a checkpoint only counts as passed once it is cosigned.

use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::management::Mirror;
use holdfast_protocol::mirror::{MAX_RECORDS, Refusal};

use super::Uplink;

/// The first wait after a failure; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait after a refusal: what is refused now will be refused again until somebody looks.
const REFUSED: Duration = Duration::from_secs(600);

/// After so many records a cosignature is kept even while there is more to send.
const KEEP_EVERY: u64 = 16 * 1024;

/// What of the log's checkpoints may have changed: a new one has another size or another counter value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The size that a checkpoint covers.
    pub covered: u64,
    /// The counter's value in the newest evidence.
    pub value: Option<u64>,
}

/// A checkpoint that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its number.
    pub seq: i64,
    /// How many records it covers.
    pub size: u64,
}

/// What goes into one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The first index.
    pub first: u64,
    /// How many records, at most.
    pub count: u64,
    /// The checkpoint that goes along if all of them fit.
    pub checkpoint: Option<Next>,
}

/// What the shell has to do next. One at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find the checkpoint to send after number `after`: the first that was counted, else the newest; answer [`Input::Found`].
    Find {
        /// The number of the last that need not be sent.
        after: i64,
    },
    /// Send this; answer [`Input::Held`] or [`Input::Refused`].
    Send(Batch),
    /// Make the newest cosignature durable; answer [`Input::Kept`].
    Keep,
}

/// Random bits that spread the retries of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u32);

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The checkpoint to send, if there is one.
    Found(Option<Next>),
    /// The attestor holds so many; `sent` records went out, and the checkpoint that went along, if one did, is cosigned.
    Held {
        /// How many records it holds.
        size: u64,
        /// How many records were sent.
        sent: u64,
        /// The checkpoint that it cosigned.
        cosigned: Option<Next>,
    },
    /// The attestor does not take it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// For people.
        why: String,
        /// The checkpoint that was sent.
        checkpoint: Option<Next>,
    },
    /// The newest cosignature is durable.
    Kept,
    /// It could not be done.
    Failed {
        /// For people.
        why: String,
        /// For the wait.
        jitter: Jitter,
    },
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Core {
    uplink: Uplink,
    size: u64,
    marks: Marks,
    /// The attestor holds every record below this index.
    position: u64,
    /// No checkpoint up to this number has to be sent.
    passed: i64,
    next: Find,
    phase: Phase,
    /// The size of the newest cosignature that is not durable yet, and of the one that is.
    unkept: Option<u64>,
    kept: u64,
    failures: u32,
    not_before: Option<Timestamp>,
    why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Find {
    /// It has to be looked for.
    Unknown,
    /// There is none.
    Nothing,
    /// This one.
    This(Next),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Finding,
    Sending(Batch),
    Keeping,
}

impl Core {
    /// Goes on after what was acknowledged: `size` records, and the checkpoints up to number `checkpoint`; both 0 at first.
    pub fn resume(size: u64, checkpoint: i64) -> Self {
        Self {
            uplink: Uplink::Stranger,
            size,
            marks: Marks::default(),
            position: size,
            passed: checkpoint,
            next: Find::Unknown,
            phase: Phase::Idle,
            unkept: None,
            kept: size,
            failures: 0,
            not_before: None,
            why: None,
        }
    }

    /// The log has so many records and these checkpoints.
    pub fn grown(&mut self, size: u64, marks: Marks) {
        self.size = size;
        if marks != self.marks {
            self.marks = marks;
            if self.next == Find::Nothing {
                self.next = Find::Unknown;
            }
        }
    }

    /// Whether there is an attestor to send to. A change is worth trying at once.
    pub fn uplink(&mut self, uplink: Uplink) {
        if self.uplink != uplink {
            self.uplink = uplink;
            self.not_before = None;
            self.failures = 0;
        }
    }

    /// Another attestor, which has nothing.
    pub fn begin_anew(&mut self) {
        self.position = 0;
        self.passed = 0;
        self.kept = 0;
        self.unkept = None;
        self.next = Find::Unknown;
    }

    /// What is to be done now, if anything; its result comes back through [`Core::done`].
    pub fn poll(&mut self, now: Timestamp) -> Option<Effect> {
        if self.phase != Phase::Idle {
            return None;
        }
        let waits = self.not_before.is_some_and(|at| now < at);
        let up = matches!(self.uplink, Uplink::Up { .. });
        if waits || !up {
            return None;
        }
        if self.next == Find::Unknown {
            self.phase = Phase::Finding;
            return Some(Effect::Find { after: self.passed });
        }
        let batch = self.batch();
        let much = |size: u64| batch.is_none() || size.saturating_sub(self.kept) >= KEEP_EVERY;
        if self.unkept.is_some_and(much) {
            self.phase = Phase::Keeping;
            return Some(Effect::Keep);
        }
        let batch = batch?;
        self.phase = Phase::Sending(batch);
        Some(Effect::Send(batch))
    }

    /// When [`Core::poll`] is worth calling again, if nothing happens before.
    pub fn poll_at(&self) -> Option<Timestamp> {
        self.not_before
            .filter(|_| matches!(self.uplink, Uplink::Up { .. }))
    }

    /// The result of the last effect.
    pub fn done(&mut self, input: Input, now: Timestamp) {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        match input {
            Input::Found(next) => self.next = next.map_or(Find::Nothing, Find::This),
            Input::Held {
                size,
                sent,
                cosigned,
            } => {
                self.well();
                let first = match phase {
                    Phase::Sending(batch) => batch.first,
                    Phase::Idle | Phase::Finding | Phase::Keeping => self.position,
                };
                self.held(first, size, sent, cosigned);
            }
            Input::Refused {
                refusal: Refusal::Stale,
                checkpoint: Some(stale),
                ..
            } => {
                // It fits and is older than what the attestor cosigned: records will tell whether an older log was put back.
                self.well();
                self.pass(stale);
            }
            Input::Refused { why, .. } => {
                self.not_before = Some(now + REFUSED);
                self.why = Some(why);
            }
            Input::Kept => {
                self.kept = self.unkept.take().unwrap_or(self.kept);
            }
            Input::Failed { why, jitter } => {
                self.not_before = Some(now + self.backoff(jitter));
                self.failures = self.failures.saturating_add(1);
                self.why = Some(why);
            }
        }
    }

    /// How much the attestor has, for people.
    pub fn standing(&self) -> Mirror {
        let size = self.position;
        match &self.uplink {
            Uplink::Stranger => Mirror::None,
            Uplink::Down { why } if !self.is_current() => Mirror::Behind {
                size,
                why: Some(why.clone()),
            },
            Uplink::Up { .. } if !self.is_current() => Mirror::Behind {
                size,
                why: self.why.clone(),
            },
            Uplink::Down { .. } | Uplink::Up { .. } => Mirror::Current { size },
        }
    }

    /// Every record is held, every checkpoint that has to be is cosigned, and nothing was refused.
    fn is_current(&self) -> bool {
        self.position >= self.size && self.next == Find::Nothing && self.why.is_none()
    }

    fn batch(&self) -> Option<Batch> {
        let next = match self.next {
            Find::This(next) => Some(next),
            Find::Nothing | Find::Unknown => None,
        };
        // Cut at the checkpoint, so that its root is that of the tree after the upload's last record.
        let end = match next {
            Some(next) => next.size.max(self.position),
            None => self.size,
        };
        let most = u64::try_from(MAX_RECORDS).unwrap_or(u64::MAX);
        let count = end.saturating_sub(self.position).min(most);
        let checkpoint = next.filter(|next| next.size <= self.position.saturating_add(count));
        (count > 0 || checkpoint.is_some()).then_some(Batch {
            first: self.position,
            count,
            checkpoint,
        })
    }

    fn held(&mut self, first: u64, size: u64, sent: u64, cosigned: Option<Next>) {
        if size < first {
            // It lost what it had. What it has cosigned of our counted checkpoints it knows again when it sees them.
            self.position = size;
            self.passed = 0;
            self.next = Find::Unknown;
            return;
        }
        // It may hold more: then this log was put back, and what is sent again from here on shows it.
        self.position = first.saturating_add(sent).min(size);
        if let Some(cosigned) = cosigned {
            self.unkept = Some(cosigned.size);
            self.pass(cosigned);
        }
    }

    fn pass(&mut self, next: Next) {
        self.passed = self.passed.max(next.seq);
        self.next = Find::Unknown;
    }

    fn well(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.why = None;
    }

    fn backoff(&self, jitter: Jitter) -> Duration {
        let doubled = SHORTEST.saturating_mul(1 << self.failures.min(10));
        let whole = doubled.min(LONGEST);
        // From half of it to all of it.
        whole.mul_f64(0.5 + f64::from(jitter.0) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests;
