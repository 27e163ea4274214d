//! The calls that the bridge sees coming: decided first, and said to have ended.
//!
//! It must never let a call go on that was not decided, and never lose that one ended.

use std::fmt;
use std::sync::Arc;

use holdfast_protocol::call::Effect;
use holdfast_protocol::id::CallId;
use hyper::StatusCode;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::refusal::{Reason, Refusal};
use crate::decide::{Asked, Decide, Decision};

/// Asks for decisions, and tells of ends.
pub(super) struct Calls {
    decide: Arc<dyn Decide>,
    ended: UnboundedSender<Ended>,
}

/// A call that is over.
pub(super) struct Ended {
    call: CallId,
    outcome: String,
    seen: Vec<Effect>,
}

/// A call that was let through. Dropped, it has ended.
pub(super) struct Running {
    call: CallId,
    effects: Vec<Effect>,
    /// Whether the call's effects may have happened.
    sent: Sending,
    outcome: Outcome,
    ended: UnboundedSender<Ended>,
}

enum Sending {
    NotYet,
    Begun,
}

/// What became of a call, so far.
enum Outcome {
    /// Nobody waits for its answer any more.
    Left,
    NotDone(&'static str, Option<String>),
    Answering(StatusCode),
    BrokeOff(StatusCode),
    Answered(StatusCode),
    Tunneled {
        up: u64,
        down: u64,
    },
    Cut,
}

/// Tells `decide` of every end, until the last that could come.
pub(super) async fn close(decide: Arc<dyn Decide>, mut endings: UnboundedReceiver<Ended>) {
    while let Some(Ended {
        call,
        outcome,
        seen,
    }) = endings.recv().await
    {
        decide.ended(call, outcome, seen).await;
    }
}

impl Calls {
    pub(super) fn new(decide: Arc<dyn Decide>, ended: UnboundedSender<Ended>) -> Self {
        Self { decide, ended }
    }

    /// Puts on record that a call was refused without a decision.
    pub(super) async fn refused(&self, asked: Asked, refusal: Refusal) -> Refusal {
        self.decide.refused(asked, refusal.words().to_owned()).await;
        refusal
    }

    /// Has a call decided, waiting for a human where that is needed.
    pub(super) async fn decide(&self, asked: Asked) -> Result<Running, Refusal> {
        let effects = asked.effects.clone();
        match self.decide.decide(asked).await {
            Decision::Allow { call } => Ok(Running {
                call,
                effects,
                sent: Sending::NotYet,
                outcome: Outcome::Left,
                ended: self.ended.clone(),
            }),
            Decision::Deny { why } => Err(Refusal::new(Reason::Denied, why)),
        }
    }
}

impl Running {
    /// The request leaves now: what becomes of it cannot be called back.
    pub(super) fn sending(&mut self) {
        self.sent = Sending::Begun;
    }

    /// The call failed, for this reason.
    pub(super) fn failed(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::NotDone(refusal.name(), refusal.flag().map(str::to_owned));
    }

    /// The server answered; the answer is under way.
    pub(super) fn answering(&mut self, status: StatusCode) {
        self.outcome = Outcome::Answering(status);
    }

    /// The answer was passed on as a whole.
    pub(super) fn complete(&mut self) {
        if let Outcome::Answering(status) = self.outcome {
            self.outcome = Outcome::Answered(status);
        }
    }

    /// The server broke off.
    pub(super) fn broke_off(&mut self) {
        if let Outcome::Answering(status) = self.outcome {
            self.outcome = Outcome::BrokeOff(status);
        }
    }

    /// So many bytes passed through, to the server and from it.
    pub(super) fn tunneled(&mut self, up: u64, down: u64) {
        self.outcome = Outcome::Tunneled { up, down };
    }

    /// The tunnel broke off.
    pub(super) fn cut(&mut self) {
        self.outcome = Outcome::Cut;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the program that asked went away before the answer"),
            Self::NotDone(reason, None) => write!(f, "not done: {reason}"),
            Self::NotDone(reason, Some(flag)) => {
                write!(f, "not done: {reason}; `holdfast run {flag}` would give it")
            }
            Self::Answering(status) => {
                let status = status.as_u16();
                write!(f, "HTTP {status}, not read to its end")
            }
            Self::BrokeOff(status) => write!(f, "HTTP {}, broken off", status.as_u16()),
            Self::Answered(status) => write!(f, "HTTP {}", status.as_u16()),
            Self::Cut => f.write_str("the tunnel broke off"),
            Self::Tunneled { up, down } => write!(f, "{up} bytes sent, {down} received"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let seen = match self.sent {
            Sending::NotYet => Vec::new(),
            Sending::Begun => std::mem::take(&mut self.effects),
        };
        // Nobody listens once the bridge itself is gone.
        let _ = self.ended.send(Ended {
            call: self.call,
            outcome: self.outcome.to_string(),
            seen,
        });
    }
}
