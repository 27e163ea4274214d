//! The words that the core and its shell speak.
//!
//! Values only; nothing here must ever decide.

use std::time::Duration;

use holdfast_proof::receipt::ReceiptRefused;
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::ToolCall;
use holdfast_protocol::decision::{DeniedBy, Reason, Verdict};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::CallId;
use holdfast_protocol::receipt::ConsentProof;

/// The bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a call waits for its human: shorter than the shortest time limit of the agents' hooks.
    pub wait: Duration,
    /// How long a late card stays, and how long a late approval lets the same call through.
    pub late: Duration,
    /// The most cards of one session.
    pub per_session: usize,
    /// The most cards of all.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(9 * 60),
            late: Duration::from_secs(15 * 60),
            per_session: 8,
            total: 64,
        }
    }
}

/// A call with everything that was found out about it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The call.
    pub call: ToolCall,
    /// SHA-256 over its canonical JSON: what is recorded and consented to.
    pub digest: Sha256Digest,
    /// SHA-256 over what makes another call the same call: all but its id and its time.
    pub sameness: Sha256Digest,
    /// What policy says.
    pub verdict: Verdict,
    /// SHA-256 over the policy that says so.
    pub policy: Sha256Digest,
    /// 256 fresh random bits.
    pub nonce: Sha256Digest,
}

/// What a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Final {
    /// It may happen.
    Allow {
        /// Why.
        because: Reason,
    },
    /// It may not.
    Deny {
        /// Who says so.
        by: DeniedBy,
        /// Why.
        because: Reason,
    },
}

impl From<Final> for Verdict {
    fn from(decision: Final) -> Self {
        match decision {
            Final::Allow { because } => Self::Allow { because },
            Final::Deny { by, because } => Self::Deny { by, because },
        }
    }
}

/// What a human answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No.
    Deny,
    /// Yes, by a click, which proves nobody's presence: enough for R1.
    Click,
    /// Yes, with a proof: enough for R2.
    Prove(ConsentProof),
}

/// A human's answer cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerRefused {
    /// Whoever answers: no such question waits, or it was answered before.
    #[error("there is no such question")]
    NoQuestion,
    /// Whoever answers: the tier wants more proof than the answer has.
    #[error("approving this takes a proof of tier {0:?}")]
    TooLittle(Tier),
    /// The environment: this installation has no way to prove that tier.
    #[error("this installation cannot prove tier {0:?}")]
    Unprovable(Tier),
    /// Whoever answers: no approval key is enrolled for the human.
    #[error("no approval key is enrolled for this human")]
    NoKey,
    /// Whoever answers: the proof does not hold.
    #[error("the proof does not hold")]
    Proof(#[source] ReceiptRefused),
    /// The environment: the job has stopped.
    #[error("nobody decides any more")]
    Stopped,
}

/// Names a record that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write these, in order, then say so with [`State::on_recorded`] or [`State::on_not_recorded`].
    Record {
        /// Which record it is.
        ticket: Ticket,
        /// What happened.
        events: Vec<What>,
    },
    /// Answer whoever waits for this call.
    Answer {
        /// The call.
        call: CallId,
        /// The answer.
        decision: Final,
    },
    /// The cards have changed.
    Cards,
}
