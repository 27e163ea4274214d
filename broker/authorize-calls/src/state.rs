//! The questions that humans are asked, and what becomes of them: the pure core of the job.
//!
//! Calls come in with policy's verdict; records, answers and cards go out. An answer leaves only after
//! [`State::on_recorded`] has confirmed the record of it; whatever cannot be recorded is denied. No clock, no randomness,
//! no I/O: instants and nonces are inputs. It must never answer one call twice, nor use one approval twice.

mod covers;
mod question;
mod words;

use std::collections::BTreeMap;

use holdfast_proof::tpm::EccPublicKey;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::{Effect, ToolCall};
use holdfast_protocol::decision::{DeniedBy, Reason, Verdict};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::receipt::Receipt;
use holdfast_protocol::{Sha256Digest, Timestamp};

use crate::card::ApprovalCard;
use covers::Covers;
use question::{Phase, Question};
pub use words::{Answer, AnswerRefused, Final, Judged, Limits, Step, Ticket};

/// What follows once a record is durable.
#[derive(Clone, Debug)]
enum Then {
    Answer {
        session: SessionId,
        call: CallId,
        decision: Final,
        /// What a human approved by name, for the calls that follow from this one.
        cover: Vec<Effect>,
    },
    Ask(CallId),
    Grant(Sha256Digest, Grant),
    Nothing,
}

/// A late approval.
#[derive(Clone, Debug)]
struct Grant {
    session: SessionId,
    policy: Sha256Digest,
    tier: Tier,
    until: Timestamp,
    named: CallId,
}

/// An approval that a call finds.
struct Approval {
    because: Reason,
    /// What it covers beside the call.
    cover: Vec<Effect>,
}

/// The job's state.
#[derive(Debug, Default)]
pub struct State {
    limits: Limits,
    questions: BTreeMap<CallId, Question>,
    /// By sameness.
    grants: BTreeMap<Sha256Digest, Grant>,
    covers: Covers,
    writing: BTreeMap<Ticket, Then>,
    next_ticket: u64,
    next_question: u64,
}

impl State {
    /// Nobody asks anything.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes in a call.
    pub fn on_call(&mut self, now: Timestamp, judged: Judged) -> Vec<Step> {
        let mut cover = vec![];
        let decision = match &judged.verdict {
            Verdict::Allow { because } => Final::Allow {
                because: because.clone(),
            },
            Verdict::Deny { by, because } => Final::Deny {
                by: *by,
                because: because.clone(),
            },
            Verdict::StepUp { tier, because } => {
                let (tier, because) = (*tier, because.clone());
                match self.approved_before(now, &judged, tier) {
                    Some(approval) => {
                        cover = approval.cover;
                        Final::Allow {
                            because: approval.because,
                        }
                    }
                    None => return self.ask(now, judged, tier, because),
                }
            }
        };
        self.decide(judged.call, judged.digest, decision, vec![], cover)
    }

    /// A record is durable.
    pub fn on_recorded(&mut self, ticket: Ticket) -> Vec<Step> {
        match self.writing.remove(&ticket) {
            Some(Then::Answer {
                session,
                call,
                decision,
                cover,
            }) => {
                if matches!(decision, Final::Allow { .. }) {
                    self.covers.open(session, call, cover);
                }
                vec![Step::Answer { call, decision }]
            }
            Some(Then::Ask(call)) => match self.questions.get_mut(&call) {
                Some(question) => {
                    question.shown();
                    vec![Step::Cards]
                }
                None => vec![],
            },
            Some(Then::Grant(sameness, grant)) => {
                self.grants.insert(sameness, grant);
                vec![]
            }
            Some(Then::Nothing) | None => vec![],
        }
    }

    /// A record could not be written: what depended on it does not happen.
    pub fn on_not_recorded(&mut self, ticket: Ticket) -> Vec<Step> {
        let denied = |call| Step::Answer {
            call,
            decision: Final::Deny {
                by: DeniedBy::Audit,
                because: Reason::new(
                    "audit/not-recorded",
                    "the record could not be written, so nothing is allowed",
                ),
            },
        };
        match self.writing.remove(&ticket) {
            Some(Then::Answer { call, .. }) => vec![denied(call)],
            Some(Then::Ask(call)) => match self.questions.remove(&call) {
                Some(question) if question.waits() => vec![denied(call), Step::Cards],
                Some(_) => vec![Step::Cards],
                None => vec![],
            },
            Some(Then::Grant(..) | Then::Nothing) | None => vec![],
        }
    }

    /// Takes a human's answer. `key` is the approval key that is enrolled for the human who is asked.
    ///
    /// # Errors
    /// [`AnswerRefused`]; the question then stays as it was.
    pub fn on_answer(
        &mut self,
        now: Timestamp,
        call: CallId,
        answer: Answer,
        key: Option<&EccPublicKey>,
    ) -> Result<Vec<Step>, AnswerRefused> {
        let question = self
            .questions
            .get(&call)
            .filter(|question| question.is_shown() && question.ends() > now)
            .ok_or(AnswerRefused::NoQuestion)?;
        let receipt = match (answer, question.tier) {
            (Answer::Deny, _) => None,
            (Answer::Click, Tier::R0 | Tier::R1) => Some(None),
            (Answer::Click, tier @ (Tier::R2 | Tier::R3)) => {
                return Err(AnswerRefused::TooLittle(tier));
            }
            (Answer::Prove(_), tier @ Tier::R3) => return Err(AnswerRefused::Unprovable(tier)),
            (Answer::Prove(proof), Tier::R0 | Tier::R1 | Tier::R2) => {
                let receipt = Receipt {
                    consent: question.consent(),
                    proof,
                    given: now,
                };
                holdfast_proof::receipt::verify(
                    &receipt,
                    &question.consent(),
                    key.ok_or(AnswerRefused::NoKey)?,
                )
                .map_err(AnswerRefused::Proof)?;
                Some(Some(receipt))
            }
        };
        // From here on the question is gone: whatever answers it again finds nothing.
        let question = self
            .questions
            .remove(&call)
            .ok_or(AnswerRefused::NoQuestion)?;
        let mut steps = match receipt {
            None => self.denied(question),
            Some(receipt) => self.approved(now, question, receipt),
        };
        steps.push(Step::Cards);
        Ok(steps)
    }

    /// Whoever waited for this call has gone: an approval would reach nobody.
    pub fn on_abandoned(&mut self, now: Timestamp, call: CallId) -> Vec<Step> {
        match self.questions.get_mut(&call) {
            Some(question) if question.waits() => {
                let late = now + self.limits.late;
                let decided = question.turn_late(late);
                let mut steps = self.record(vec![decided], Then::Nothing);
                steps.push(Step::Cards);
                steps
            }
            Some(_) | None => vec![],
        }
    }

    /// Whoever asked takes the question back: nobody can answer it any more.
    pub fn on_withdrawn(&mut self, call: CallId) -> Vec<Step> {
        let Some(question) = self.questions.remove(&call) else {
            return vec![];
        };
        let mut steps = vec![];
        if question.waits() {
            let judged = question.judged;
            let decision = question::withdrawn();
            steps = self.decide(judged.call, judged.digest, decision, vec![], vec![]);
        }
        steps.push(Step::Cards);
        steps
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Timestamp) -> Vec<Step> {
        self.grants.retain(|_, grant| grant.until > now);
        let over: Vec<CallId> = self
            .questions
            .iter()
            .filter(|(_, question)| question.ends() <= now)
            .map(|(call, _)| *call)
            .collect();
        let mut steps = Vec::new();
        for call in &over {
            let Some(question) = self.questions.get_mut(call) else {
                continue;
            };
            if !question.waits() {
                self.questions.remove(call);
                continue;
            }
            let late = question.ends() + self.limits.late;
            let decided = question.turn_late(late);
            let then = Then::Answer {
                session: question.judged.call.caller.session,
                call: *call,
                decision: question::silence(),
                cover: vec![],
            };
            steps.extend(self.record(vec![decided], then));
            if late <= now {
                self.questions.remove(call);
            }
        }
        if !over.is_empty() {
            steps.push(Step::Cards);
        }
        steps
    }

    /// When [`State::on_time`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.questions
            .values()
            .map(Question::ends)
            .chain(self.grants.values().map(|grant| grant.until))
            .min()
    }

    /// A call has ended: what its approval covered is covered no more.
    pub fn on_ended(&mut self, call: CallId, outcome: String, seen: Vec<Effect>) -> Vec<Step> {
        self.covers.close(call);
        self.record(
            vec![What::CallEnded {
                call,
                outcome,
                seen,
            }],
            Then::Nothing,
        )
    }

    /// A session has ended, or was revoked: its questions are denied, its approvals void.
    pub fn on_session_gone(&mut self, session: SessionId) -> Vec<Step> {
        self.covers.forget(session);
        self.grants.retain(|_, grant| grant.session != session);
        for then in self.writing.values_mut() {
            match then {
                Then::Answer {
                    session: of,
                    decision,
                    ..
                } if *of == session => *decision = question::gone(),
                Then::Grant(_, grant) if grant.session == session => *then = Then::Nothing,
                Then::Answer { .. } | Then::Grant(..) | Then::Ask(_) | Then::Nothing => {}
            }
        }
        let calls: Vec<CallId> = self
            .questions
            .iter()
            .filter(|(_, question)| question.judged.call.caller.session == session)
            .map(|(call, _)| *call)
            .collect();
        let mut steps = Vec::new();
        for call in &calls {
            let Some(question) = self.questions.remove(call) else {
                continue;
            };
            if question.waits() {
                let judged = question.judged;
                steps.extend(self.decide(
                    judged.call,
                    judged.digest,
                    question::gone(),
                    vec![],
                    vec![],
                ));
            }
        }
        if !calls.is_empty() {
            steps.push(Step::Cards);
        }
        steps
    }

    /// The questions as they are shown, oldest first.
    pub fn cards(&self) -> Vec<ApprovalCard> {
        let mut shown: Vec<&Question> = self.questions.values().filter(|q| q.is_shown()).collect();
        shown.sort_by_key(|question| question.number);
        let mut positions: BTreeMap<u32, usize> = BTreeMap::new();
        shown
            .into_iter()
            .map(|question| {
                let position = positions
                    .entry(question.judged.call.caller.human.0)
                    .or_default();
                *position += 1;
                question.card(*position)
            })
            .collect()
    }

    fn ask(&mut self, now: Timestamp, judged: Judged, tier: Tier, because: Reason) -> Vec<Step> {
        let mine = self.questions.values();
        let mine = mine.filter(|q| q.is_of_whom(&judged.call)).count();
        let full = mine >= self.limits.per_session || self.questions.len() >= self.limits.total;
        if full || self.questions.contains_key(&judged.call.id) {
            let decision = Final::Deny {
                by: DeniedBy::Silence,
                because: Reason::new(
                    "approval/queue-full",
                    "too many questions wait for an answer already",
                ),
            };
            return self.decide(judged.call, judged.digest, decision, vec![], vec![]);
        }
        let call = judged.call.id;
        let asked = What::CallDecided {
            call: judged.call.clone(),
            digest: judged.digest,
            verdict: judged.verdict.clone(),
        };
        let question = Question {
            number: self.next_question,
            judged,
            tier,
            because,
            asked: now,
            phase: Phase::Recording {
                deadline: now + self.limits.wait,
            },
        };
        self.next_question += 1;
        self.questions.insert(call, question);
        self.record(vec![asked], Then::Ask(call))
    }

    /// An approval that covers this call already: of the call that it follows from, or a late one of the same call.
    fn approved_before(&mut self, now: Timestamp, judged: &Judged, tier: Tier) -> Option<Approval> {
        if let Some(parent) = self.covers.of(&judged.call) {
            return Some(Approval {
                because: Reason::new(
                    "approval/covers",
                    format!("the human approved it with call {parent}"),
                ),
                // What follows from a covered call is its parent's to cover, for as long as that lasts.
                cover: vec![],
            });
        }
        let grant = self.grants.get(&judged.sameness)?;
        let holds = grant.until > now
            && grant.session == judged.call.caller.session
            && grant.policy == judged.policy
            && grant.tier >= tier;
        if !holds {
            return None;
        }
        let grant = self.grants.remove(&judged.sameness)?;
        Some(Approval {
            because: Reason::new(
                "approval/late",
                format!(
                    "the human approved the same call, {}, after it was denied",
                    grant.named
                ),
            ),
            cover: judged.call.effects.clone(),
        })
    }

    fn approved(
        &mut self,
        now: Timestamp,
        question: Question,
        receipt: Option<Receipt>,
    ) -> Vec<Step> {
        let because = match &receipt {
            Some(_) => Reason::new("approval/receipt", "the human approved it with a proof"),
            None => Reason::new(
                "approval/click",
                "the human approved it with a click; presence is unproven",
            ),
        };
        let mut events: Vec<What> = receipt
            .map(|receipt| What::CallApproved { receipt })
            .into_iter()
            .collect();
        let waits = question.waits();
        let Question { judged, tier, .. } = question;
        if waits {
            let cover = judged.call.effects.clone();
            return self.decide(
                judged.call,
                judged.digest,
                Final::Allow { because },
                events,
                cover,
            );
        }
        let grant = Grant {
            session: judged.call.caller.session,
            policy: judged.policy,
            tier,
            until: now + self.limits.late,
            named: judged.call.id,
        };
        if events.is_empty() {
            events.push(What::CallDecided {
                call: judged.call,
                digest: judged.digest,
                verdict: Verdict::Allow {
                    because: Reason::new(
                        "approval/late-click",
                        "the human approved it late with a click; the same call may happen once",
                    ),
                },
            });
        }
        self.record(events, Then::Grant(judged.sameness, grant))
    }

    fn denied(&mut self, question: Question) -> Vec<Step> {
        let decision = Final::Deny {
            by: DeniedBy::Human,
            because: Reason::new("approval/denied", "the human said no"),
        };
        let waits = question.waits();
        let judged = question.judged;
        if waits {
            return self.decide(judged.call, judged.digest, decision, vec![], vec![]);
        }
        let event = What::CallDecided {
            call: judged.call,
            digest: judged.digest,
            verdict: decision.into(),
        };
        self.record(vec![event], Then::Nothing)
    }

    /// Records a decision, after `events`; the answer follows the record.
    fn decide(
        &mut self,
        call: ToolCall,
        digest: Sha256Digest,
        decision: Final,
        mut events: Vec<What>,
        cover: Vec<Effect>,
    ) -> Vec<Step> {
        let then = Then::Answer {
            session: call.caller.session,
            call: call.id,
            decision: decision.clone(),
            cover,
        };
        events.push(What::CallDecided {
            call,
            digest,
            verdict: decision.into(),
        });
        self.record(events, then)
    }

    fn record(&mut self, events: Vec<What>, then: Then) -> Vec<Step> {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.writing.insert(ticket, then);
        vec![Step::Record { ticket, events }]
    }
}

#[cfg(test)]
mod tests;
