//! One question to a human.
//!
//! It must never be shown before the record of it is durable.

use holdfast_protocol::Timestamp;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::{Channel, ToolCall};
use holdfast_protocol::decision::{DeniedBy, Reason};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::receipt::{Consent, ConsentFormat};

use super::{Final, Judged};
use crate::card::{self, ApprovalCard, Waiting};

#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The order of asking.
    pub(super) number: u64,
    pub(super) judged: Judged,
    pub(super) tier: Tier,
    pub(super) because: Reason,
    pub(super) asked: Timestamp,
    pub(super) phase: Phase,
}

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its record is being written; the agent waits.
    Recording { deadline: Timestamp },
    /// It is shown; the agent waits.
    Asked { deadline: Timestamp },
    /// It is shown; the agent was told no.
    Late { gone: Timestamp },
    /// The agent was told no before the record was durable.
    LateRecording { gone: Timestamp },
}

impl Question {
    /// Whether who waits for this asks for `call` as well: the same session, or a human for sessions that are not yet.
    pub(super) fn is_of_whom(&self, call: &ToolCall) -> bool {
        let own = &self.judged.call;
        if own.channel == Channel::Launch && call.channel == Channel::Launch {
            own.caller.human == call.caller.human
        } else {
            own.caller.session == call.caller.session
        }
    }

    /// Whether the agent still waits.
    pub(super) fn waits(&self) -> bool {
        match self.phase {
            Phase::Recording { .. } | Phase::Asked { .. } => true,
            Phase::Late { .. } | Phase::LateRecording { .. } => false,
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        match self.phase {
            Phase::Asked { .. } | Phase::Late { .. } => true,
            Phase::Recording { .. } | Phase::LateRecording { .. } => false,
        }
    }

    /// When this phase ends.
    pub(super) fn ends(&self) -> Timestamp {
        match self.phase {
            Phase::Recording { deadline } | Phase::Asked { deadline } => deadline,
            Phase::Late { gone } | Phase::LateRecording { gone } => gone,
        }
    }

    /// Its record is durable.
    pub(super) fn shown(&mut self) {
        self.phase = match self.phase {
            Phase::Recording { deadline } | Phase::Asked { deadline } => Phase::Asked { deadline },
            Phase::Late { gone } | Phase::LateRecording { gone } => Phase::Late { gone },
        };
    }

    /// The agent waits no longer; the event says so.
    pub(super) fn turn_late(&mut self, gone: Timestamp) -> What {
        self.phase = if self.is_shown() {
            Phase::Late { gone }
        } else {
            Phase::LateRecording { gone }
        };
        What::CallDecided {
            call: self.judged.call.clone(),
            digest: self.judged.digest,
            verdict: silence().into(),
        }
    }

    /// What a proof of consent signs.
    pub(super) fn consent(&self) -> Consent {
        Consent {
            format: ConsentFormat::V1,
            call: self.judged.call.id,
            call_digest: self.judged.digest,
            policy_digest: self.judged.policy,
            human: self.judged.call.caller.human,
            nonce: self.judged.nonce,
            asked: self.asked,
        }
    }

    pub(super) fn card(&self, position: usize) -> ApprovalCard {
        let call = &self.judged.call;
        ApprovalCard {
            call: call.id,
            session: call.caller.session,
            agent: call.caller.kind.clone(),
            human: call.caller.human,
            headline: card::headline(call),
            effects: card::lines(&call.effects),
            tier: self.tier,
            why: self.because.clone(),
            quoted: card::quotation(call),
            directory: call.cwd.to_string_lossy().into_owned(),
            digest: self.judged.digest,
            consent: self.consent(),
            position,
            waiting: match self.phase {
                Phase::Recording { deadline } | Phase::Asked { deadline } => {
                    Waiting::Until { deadline }
                }
                Phase::Late { gone } | Phase::LateRecording { gone } => Waiting::Late { gone },
            },
        }
    }
}

/// Nobody answered in time.
pub(super) fn silence() -> Final {
    Final::Deny {
        by: DeniedBy::Silence,
        because: Reason::new(
            "approval/silence",
            "nobody answered in time; the question stays open for a while, and once it is approved, try the same call again",
        ),
    }
}

/// The session is no more.
pub(super) fn gone() -> Final {
    Final::Deny {
        by: DeniedBy::Session,
        because: Reason::new("session/gone", "the session has ended or was revoked"),
    }
}

/// Whoever asked has taken it back.
pub(super) fn withdrawn() -> Final {
    Final::Deny {
        by: DeniedBy::Silence,
        because: Reason::new(
            "approval/withdrawn",
            "whoever asked took the question back before it was answered",
        ),
    }
}
