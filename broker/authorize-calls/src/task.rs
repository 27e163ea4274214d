//! The shell around [`State`]: one task owns it; sessions and humans talk to the task over a bounded channel.
//!
//! Whatever goes wrong here (the task has stopped, a record fails or panics, a channel closes) is a denial. It must never
//! hold an answer back behind another session's record: records are written side by side.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use holdfast_policy::{Asker, Engine, Taint};
use holdfast_proof::hash::canonical_digest;
use holdfast_proof::tpm::EccPublicKey;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::{Effect, HumanUid, ToolCall};
use holdfast_protocol::clock::Clock;
use holdfast_protocol::decision::{DeniedBy, Reason, Verdict};
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::leave::Leave;
use holdfast_protocol::{Sha256Digest, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::card::ApprovalCard;
use crate::state::{Answer, AnswerRefused, Final, Judged, Limits, State, Step, Ticket};
use crate::world::World;

/// Calls and answers on their way in. A session has one call in flight for each of its agents; behind this many, the
/// sessions wait.
const MAX_INBOX: usize = 256;

/// Suspended time does not count for timers, so deadlines are looked at this often while there are any.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Where the job's records go (the broker hands in the audit job).
pub trait Recorder: Send + Sync + 'static {
    /// Makes `events` durable, in order and all or none.
    fn record(&self, events: Vec<What>) -> impl Future<Output = Result<(), NotRecorded>> + Send;
}

/// The events are not durable. The environment is to blame; the audit job has said why.
#[derive(Debug, thiserror::Error)]
#[error("the events could not be recorded")]
pub struct NotRecorded;

/// Whose approval counts (the broker hands in its enrolled factors).
pub trait ApprovalKeys: Send + Sync + 'static {
    /// The approval key that is enrolled for `human`.
    fn approval_key(&self, human: HumanUid) -> Option<EccPublicKey>;
}

/// The job, for everybody who has calls or answers.
#[derive(Clone)]
pub struct Authorizer {
    inbox: mpsc::Sender<Message>,
    engine: watch::Receiver<Arc<Engine>>,
    cards: watch::Receiver<Vec<ApprovalCard>>,
    leave: Arc<dyn Leave>,
    clock: Clock,
}

/// The job's task, to be [`run`](Job::run).
pub struct Job<R, K> {
    state: State,
    inbox: mpsc::Receiver<Message>,
    recorder: Arc<R>,
    keys: K,
    cards: watch::Sender<Vec<ApprovalCard>>,
    waiting: BTreeMap<CallId, oneshot::Sender<Final>>,
    records: JoinSet<Result<(), NotRecorded>>,
    tickets: HashMap<tokio::task::Id, Ticket>,
    clock: Clock,
    /// The latest time that was seen.
    latest: Timestamp,
}

enum Message {
    Call(Box<Judged>, oneshot::Sender<Final>),
    Answer(CallId, Answer, oneshot::Sender<Result<(), AnswerRefused>>),
    Ended(CallId, String, Vec<Effect>),
    Withdrawn(CallId),
    SessionGone(SessionId),
}

/// Makes the job and its handle. `engine` may be replaced while the job runs; whatever it says, nothing is allowed while
/// `leave` is withheld.
pub fn authorize_calls<R: Recorder, K: ApprovalKeys>(
    engine: watch::Receiver<Arc<Engine>>,
    recorder: Arc<R>,
    keys: K,
    limits: Limits,
    leave: Arc<dyn Leave>,
    clock: Clock,
) -> (Authorizer, Job<R, K>) {
    let (to_job, inbox) = mpsc::channel(MAX_INBOX);
    let (cards, shown) = watch::channel(Vec::new());
    let authorizer = Authorizer {
        inbox: to_job,
        engine,
        cards: shown,
        leave,
        clock: clock.clone(),
    };
    let job = Job {
        state: State::new(limits),
        inbox,
        recorder,
        keys,
        cards,
        waiting: BTreeMap::new(),
        records: JoinSet::new(),
        tickets: HashMap::new(),
        latest: clock.now(),
        clock,
    };
    (authorizer, job)
}

impl Authorizer {
    /// Decides a call, waiting for its human where that is needed. Never an error: what goes wrong is a denial.
    pub async fn decide(&self, call: ToolCall, world: &World, taint: Taint) -> Final {
        self.put(self.judge(call, world, taint)).await
    }

    /// Denies a call that no policy was asked about, because its session has no way to do it; on record when this
    /// returns.
    pub async fn refuse(&self, call: ToolCall, because: Reason) -> Final {
        let engine = Arc::clone(&self.engine.borrow());
        let verdict = Verdict::Deny {
            by: DeniedBy::Policy,
            because,
        };
        self.put(judged(&engine, call, verdict)).await
    }

    /// What the policy would say of one effect of `asker`'s; nothing is decided or recorded.
    pub fn foresee(&self, asker: &Asker, effect: &Effect, world: &World) -> Verdict {
        let engine = Arc::clone(&self.engine.borrow());
        engine.judge(asker, &[world.act(effect, &world.project)])
    }

    /// The open questions, oldest first.
    pub fn pending(&self) -> Vec<ApprovalCard> {
        self.cards.borrow().clone()
    }

    /// The open questions, for whoever wants to be told when they change.
    pub fn cards(&self) -> watch::Receiver<Vec<ApprovalCard>> {
        self.cards.clone()
    }

    /// By which calls arrive and questions end.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Takes a human's answer.
    ///
    /// # Errors
    /// [`AnswerRefused`]; the question then stays as it was.
    pub async fn answer(&self, call: CallId, answer: Answer) -> Result<(), AnswerRefused> {
        let (reply, taken) = oneshot::channel();
        self.inbox
            .send(Message::Answer(call, answer, reply))
            .await
            .map_err(|_| AnswerRefused::Stopped)?;
        taken.await.unwrap_or(Err(AnswerRefused::Stopped))
    }

    /// A call that was let through has ended.
    pub async fn ended(&self, call: CallId, outcome: String, seen: Vec<Effect>) {
        // A job that has stopped covers nothing any more.
        let _ = self.inbox.send(Message::Ended(call, outcome, seen)).await;
    }

    /// Whoever asked for this call wants no answer any more: there is no question about it, then or later.
    pub async fn withdraw(&self, call: CallId) {
        let _ = self.inbox.send(Message::Withdrawn(call)).await;
    }

    /// A session has ended, was revoked, or is frozen with its host: what waits is denied, what was approved is forgotten.
    pub async fn session_gone(&self, session: SessionId) {
        let _ = self.inbox.send(Message::SessionGone(session)).await;
    }

    async fn put(&self, judged: Result<Judged, Final>) -> Final {
        let judged = match judged {
            Ok(judged) => judged,
            Err(denied) => return denied,
        };
        let (reply, answer) = oneshot::channel();
        if self
            .inbox
            .send(Message::Call(Box::new(judged), reply))
            .await
            .is_err()
        {
            return stopped();
        }
        answer.await.unwrap_or_else(|_| stopped())
    }

    fn judge(&self, call: ToolCall, world: &World, taint: Taint) -> Result<Judged, Final> {
        let engine = Arc::clone(&self.engine.borrow());
        let acts: Vec<_> = call
            .effects
            .iter()
            .map(|effect| world.act(effect, &call.cwd))
            .collect();
        let asker = Asker {
            caller: call.caller.clone(),
            taint,
            channel: call.channel,
            tool: call.tool.clone(),
        };
        let withheld = (
            self.leave.withheld(),
            world.withholds(&call.effects, &call.cwd),
        );
        let verdict = match withheld {
            (None, None) => engine.judge(&asker, &acts),
            (Some(because), _) => Verdict::Deny {
                by: DeniedBy::Session,
                because,
            },
            (None, Some(because)) => Verdict::Deny {
                by: DeniedBy::Policy,
                because,
            },
        };
        judged(&engine, call, verdict)
    }
}

fn judged(engine: &Engine, call: ToolCall, verdict: Verdict) -> Result<Judged, Final> {
    let undigestible = |_| broken("the call has no canonical form");
    Ok(Judged {
        digest: canonical_digest(&call).map_err(undigestible)?,
        sameness: canonical_digest(&(
            call.caller.session,
            &call.caller.spiffe_id,
            call.channel,
            &call.tool,
            &call.arguments,
            &call.cwd,
            &call.effects,
        ))
        .map_err(undigestible)?,
        verdict,
        policy: engine.digest(),
        nonce: nonce().ok_or_else(|| broken("no randomness is to be had"))?,
        call,
    })
}

impl<R: Recorder, K: ApprovalKeys> Job<R, K> {
    /// Runs until cancelled or until every handle is gone. Whoever waits then is denied.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            let nap = self.nap();
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(written) = self.records.join_next_with_id(), if !self.records.is_empty() => {
                    let (id, result) = match written {
                        Ok((id, result)) => (id, result),
                        Err(panicked) => (panicked.id(), Err(NotRecorded)),
                    };
                    if let Some(ticket) = self.tickets.remove(&id) {
                        let steps = match result {
                            Ok(()) => self.state.on_recorded(ticket),
                            Err(NotRecorded) => self.state.on_not_recorded(ticket),
                        };
                        self.take(steps);
                    }
                }
                message = self.inbox.recv() => match message {
                    Some(message) => self.hear(message),
                    None => break,
                },
                () = tokio::time::sleep(nap.unwrap_or(LONGEST_NAP)), if nap.is_some() => {
                    let now = self.now();
                    let steps = self.state.on_time(now);
                    self.take(steps);
                }
            }
        }
        tracing::info!(waiting = self.waiting.len(), "calls are decided no more");
    }

    fn hear(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Call(judged, reply) => {
                // Names are 128 random bits; a second one like it is denied by the closed channel.
                let call = judged.call.id;
                if self.waiting.contains_key(&call) {
                    return;
                }
                self.waiting.insert(call, reply);
                let steps = self.state.on_call(now, *judged);
                self.take(steps);
            }
            Message::Answer(call, answer, reply) => {
                if self
                    .waiting
                    .get(&call)
                    .is_some_and(oneshot::Sender::is_closed)
                {
                    self.waiting.remove(&call);
                    let steps = self.state.on_abandoned(now, call);
                    self.take(steps);
                }
                let key = self
                    .cards
                    .borrow()
                    .iter()
                    .find(|card| card.call == call)
                    .and_then(|card| self.keys.approval_key(card.human));
                let taken = self
                    .state
                    .on_answer(now, call, answer, key.as_ref())
                    .map(|steps| self.take(steps));
                // Whoever answered may have gone; the answer stands.
                let _ = reply.send(taken);
            }
            Message::Ended(call, outcome, seen) => {
                let steps = self.state.on_ended(call, outcome, seen);
                self.take(steps);
            }
            Message::Withdrawn(call) => {
                let steps = self.state.on_withdrawn(call);
                self.take(steps);
            }
            Message::SessionGone(session) => {
                let steps = self.state.on_session_gone(session);
                self.take(steps);
            }
        }
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Record { ticket, events } => self.record(ticket, events),
                Step::Answer { call, decision } => {
                    let unheard = match self.waiting.remove(&call) {
                        Some(reply) => reply.send(decision).is_err(),
                        None => false,
                    };
                    if unheard {
                        let outcome = "nobody waited for the answer".to_owned();
                        for step in self.state.on_ended(call, outcome, vec![]) {
                            if let Step::Record { ticket, events } = step {
                                self.record(ticket, events);
                            }
                        }
                    }
                }
                // Nobody may look; then nobody is told.
                Step::Cards => {
                    self.cards.send_replace(self.state.cards());
                }
            }
        }
    }

    fn record(&mut self, ticket: Ticket, events: Vec<What>) {
        let recorder = Arc::clone(&self.recorder);
        let task = self
            .records
            .spawn(async move { recorder.record(events).await });
        self.tickets.insert(task.id(), ticket);
    }

    /// The time. Where it has gone back, nobody can say which deadlines have passed: all of them have.
    fn now(&mut self) -> Timestamp {
        let now = self.clock.now();
        if now < self.latest {
            tracing::warn!("the time was wrong: what waits for an answer is denied");
            let steps = self.state.on_time(Timestamp::from_millis(u64::MAX));
            self.take(steps);
        }
        self.latest = now;
        now
    }

    /// How long until a deadline has to be looked at.
    fn nap(&self) -> Option<Duration> {
        let deadline = self.state.next_deadline()?;
        Some(deadline.since(self.clock.now()).min(LONGEST_NAP))
    }
}

fn stopped() -> Final {
    Final::Deny {
        by: DeniedBy::Session,
        because: Reason::new("broker/stopped", "nobody decides any more"),
    }
}

fn broken(text: &str) -> Final {
    Final::Deny {
        by: DeniedBy::PolicyError,
        because: Reason::new("broker/error", text),
    }
}

fn nonce() -> Option<Sha256Digest> {
    let mut bits = [0; 32];
    SystemRandom::new().fill(&mut bits).ok()?;
    Some(Sha256Digest::new(bits))
}

#[cfg(test)]
mod tests;
