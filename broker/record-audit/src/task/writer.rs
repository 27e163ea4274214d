//! The one writer: commits batches, and walks the checkpoint machine beside them.
//!
//! Stores go in order, on this task; TPM commands run beside it, one at a time, so that a slow TPM holds up nobody who
//! records.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use holdfast_proof::counter::CountedCheckpoint;
use holdfast_proof::hash::sha256;
use holdfast_proof::note::{CheckpointBody, EvidenceLine, MalformedNote, SignedNote};
use holdfast_protocol::clock::Clock;
use holdfast_protocol::management::AuditHead;
use holdfast_protocol::words::with_causes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::handle::{Command, Recorded};

use super::{AuditError, MAX_BATCH};
use crate::signer::{CheckpointCounter, CheckpointSigner};
use crate::state::{Batch, Checkpoint, Core, Effect, Evidence, Input, Tip};
use crate::store::Store;
use crate::verify::LogAnchor;

/// The task behind an [`AuditLog`](super::AuditLog).
pub struct AuditTask {
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) store: Store,
    pub(super) core: Core,
    pub(super) anchor: LogAnchor,
    pub(super) signer: Arc<dyn CheckpointSigner>,
    pub(super) counter: Option<Arc<dyn CheckpointCounter>>,
    pub(super) clock: Clock,
    /// The TPM command under way.
    pub(super) step: Option<Step>,
    /// Who waits for a checkpoint, and over how many records.
    pub(super) waiting: Vec<(u64, Waiter)>,
    pub(super) head: watch::Sender<AuditHead>,
    pub(super) broken: Arc<OnceLock<String>>,
}

type Waiter = oneshot::Sender<Result<AuditHead, AuditError>>;
pub(super) type Step = Pin<Box<dyn Future<Output = Input> + Send>>;

/// The head that the core and the anchor show.
pub(super) fn head(anchor: &LogAnchor, core: &Core) -> AuditHead {
    let tip = core.tip();
    AuditHead {
        origin: anchor.key.name().to_string(),
        size: tip.size,
        root: tip.root,
        checkpointed: core.checkpoints().covered(),
        counter: core.checkpoints().last_value(),
    }
}

impl AuditTask {
    /// Serves the log until `stop`, then writes what is queued, makes a last checkpoint if one is due, and closes in order. An
    /// error is the failure that broke the log: the broker must not go on without it.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), AuditError> {
        let served = async {
            self.serve(&stop).await?;
            self.finish().await
        };
        if let Err(error) = served.await {
            // Before the queue is dropped, for those who wait in it.
            let why = self.tell_why(&error);
            tracing::error!(why, "the audit log failed; nothing is recorded any more");
            return Err(error);
        }
        Ok(self.store.close().await?)
    }

    /// Reads the counter, and finishes an increment that a crash left out.
    pub(super) async fn settle(&mut self) -> Result<(), AuditError> {
        while self.core.checkpoints().is_unsettled() || self.step.is_some() {
            if self.step.is_none() {
                let Some(effect) = self.core.poll(self.clock.now()) else {
                    return Err(AuditError::NoCheckpoint);
                };
                self.perform(effect).await?;
            }
            self.walk().await?;
        }
        Ok(())
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Result<(), AuditError> {
        let mut commands = Vec::with_capacity(MAX_BATCH);
        loop {
            self.start_checkpoint().await?;
            let wake = self
                .core
                .poll_at(self.clock.now())
                .map(|at| at.since(self.clock.now()));
            tokio::select! {
                received = self.queue.recv_many(&mut commands, MAX_BATCH) => {
                    if received == 0 {
                        return Ok(());
                    }
                    self.take(&mut commands).await?;
                }
                input = next(&mut self.step) => self.stepped(input).await?,
                () = sleep(wake) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// What is left to do when nobody may record any more.
    async fn finish(&mut self) -> Result<(), AuditError> {
        self.queue.close();
        let mut commands = Vec::with_capacity(MAX_BATCH);
        while self.queue.recv_many(&mut commands, MAX_BATCH).await > 0 {
            self.take(&mut commands).await?;
        }
        self.core.stopping();
        loop {
            self.start_checkpoint().await?;
            if self.step.is_none() {
                return Ok(());
            }
            self.walk().await?;
        }
    }

    async fn take(&mut self, commands: &mut Vec<Command>) -> Result<(), AuditError> {
        let mut appends = Vec::with_capacity(commands.len());
        let mut checkpoints = Vec::new();
        for command in commands.drain(..) {
            match command {
                Command::Append {
                    draft,
                    urgency,
                    reply,
                } => appends.push((draft, urgency, reply)),
                Command::Checkpoint { reply } => checkpoints.push(reply),
            }
        }
        if !appends.is_empty() {
            let drafts = appends.iter().map(|(draft, urgency, _)| (draft, *urgency));
            let Batch {
                rows,
                tree,
                urgency,
            } = self.core.stage(drafts);
            let first = self.core.tip().size;
            if let Err(error) = self.store.append(rows, &tree).await {
                let error = AuditError::from(error);
                // Before those who wait for their records are dropped.
                self.tell_why(&error);
                return Err(error);
            }
            self.core.committed(tree, urgency, self.clock.now());
            self.publish();
            for (index, (_, _, reply)) in (first..).zip(appends) {
                // Whoever stopped waiting has its record all the same.
                let _ = reply.send(Recorded { index });
            }
        }
        if !checkpoints.is_empty() {
            self.core.checkpoint_wanted();
            let size = self.core.tip().size;
            self.waiting
                .extend(checkpoints.into_iter().map(|reply| (size, reply)));
        }
        Ok(())
    }

    /// Starts a checkpoint that is due; answers those who wait for one if there is nothing to start.
    async fn start_checkpoint(&mut self) -> Result<(), AuditError> {
        if self.step.is_some() {
            return Ok(());
        }
        if let Some(effect) = self.core.poll(self.clock.now()) {
            return self.perform(effect).await;
        }
        let covered = self.core.checkpoints().covered();
        for (size, reply) in self.waiting.drain(..) {
            let answer = if covered >= size {
                Ok(head(&self.anchor, &self.core))
            } else {
                Err(AuditError::NoCheckpoint)
            };
            let _ = reply.send(answer);
        }
        Ok(())
    }

    /// Waits for the TPM command under way and takes its result.
    async fn walk(&mut self) -> Result<(), AuditError> {
        if self.step.is_some() {
            let input = next(&mut self.step).await;
            self.stepped(input).await?;
        }
        Ok(())
    }

    async fn stepped(&mut self, input: Input) -> Result<(), AuditError> {
        self.step = None;
        if let Some(effect) = self.core.done(input, self.clock.now())? {
            self.perform(effect).await?;
        }
        self.publish();
        Ok(())
    }

    /// Does `effect` and what follows from it, up to the next TPM command.
    async fn perform(&mut self, effect: Effect) -> Result<(), AuditError> {
        let mut next = Some(effect);
        while let Some(effect) = next.take() {
            match effect {
                Effect::PersistPending(tip) => {
                    self.store.put_pending(tip).await?;
                    next = self.core.done(Input::Persisted, self.clock.now())?;
                }
                Effect::PersistCheckpoint(checkpoint) => match self.note(&checkpoint) {
                    Ok(note) => {
                        let note = note.to_string();
                        self.store
                            .put_checkpoint(&checkpoint, &note, self.clock.now())
                            .await?;
                        next = self.core.done(Input::Persisted, self.clock.now())?;
                    }
                    Err(error) => return Err(AuditError::Note(error)),
                },
                Effect::ReadCounter => self.step = Some(self.read_counter()),
                Effect::Sign(tip) => self.step = Some(self.sign(tip)),
                Effect::Certify(tip) => self.step = Some(self.certify(tip)),
                Effect::Increment => self.step = Some(self.increment()),
            }
        }
        Ok(())
    }

    fn read_counter(&self) -> Step {
        let counter = self.counter.clone();
        Box::pin(async move {
            match counter {
                Some(counter) => ask(counter.value().await, "read", Input::CounterRead),
                None => Input::TpmFailed,
            }
        })
    }

    fn increment(&self) -> Step {
        let counter = self.counter.clone();
        Box::pin(async move {
            match counter {
                Some(counter) => ask(counter.increment().await, "increment", Input::Incremented),
                None => Input::TpmFailed,
            }
        })
    }

    fn sign(&self, tip: Tip) -> Step {
        let (signer, key) = (Arc::clone(&self.signer), self.anchor.key.clone());
        let text = self.text(tip);
        Box::pin(async move {
            let signature = match signer.sign(sha256(text.as_bytes())).await {
                Ok(signature) => signature,
                Err(error) => return failed("sign", &error),
            };
            // A signature that was garbled on the bus must not become the log's checkpoint.
            let note = SignedNote::new(text, vec![key.signature_line(signature.clone())]);
            match note.map(|note| key.verify(&note)) {
                Ok(Ok(())) => Input::Signed(signature),
                Ok(Err(error)) => failed("sign", &error),
                Err(error) => failed("sign", &error),
            }
        })
    }

    fn certify(&self, tip: Tip) -> Step {
        let counter = self.counter.clone().zip(self.anchor.counter.clone());
        let text = self.text(tip);
        Box::pin(async move {
            let Some((counter, anchor)) = counter else {
                return Input::TpmFailed;
            };
            let evidence = match counter.certify(sha256(text.as_bytes())).await {
                Ok(evidence) => evidence,
                Err(error) => return failed("certify", &error),
            };
            let checkpoint = CountedCheckpoint {
                body: text.as_bytes(),
                attest: evidence.attest(),
                signature: evidence.signature(),
            };
            // What would be a finding later is not stored in the first place.
            match anchor.verify_one(&checkpoint) {
                Ok(certified) => Input::Certified(Evidence {
                    value: certified.value,
                    evidence,
                }),
                Err(flaw) => failed("certify", &flaw),
            }
        })
    }

    fn note(&self, checkpoint: &Checkpoint) -> Result<SignedNote, MalformedNote> {
        let signature = self.anchor.key.signature_line(checkpoint.signature.clone());
        let note = SignedNote::new(self.text(checkpoint.tip), vec![signature])?;
        match &checkpoint.evidence {
            Some(Evidence { evidence, .. }) => note.with_signature(EvidenceLine::encode(
                self.anchor.key.name(),
                evidence.encode(),
            )),
            None => Ok(note),
        }
    }

    fn text(&self, tip: Tip) -> String {
        CheckpointBody {
            origin: self.anchor.key.name().clone(),
            size: tip.size,
            root: tip.root,
        }
        .encode()
    }

    /// What everybody is told from here on.
    fn tell_why(&self, error: &AuditError) -> &str {
        self.broken.get_or_init(|| with_causes(error))
    }

    fn publish(&self) {
        self.head.send_replace(head(&self.anchor, &self.core));
    }
}

fn ask<T>(
    answer: Result<T, crate::signer::TpmFailed>,
    what: &'static str,
    input: fn(T) -> Input,
) -> Input {
    match answer {
        Ok(value) => input(value),
        Err(error) => failed(what, &error),
    }
}

fn failed(what: &'static str, error: &dyn std::error::Error) -> Input {
    let why = with_causes(error);
    tracing::warn!(
        what,
        why,
        "the TPM did not do its part of a checkpoint; it is asked again later"
    );
    Input::TpmFailed
}

/// The step's result; never, if there is none.
async fn next(step: &mut Option<Step>) -> Input {
    match step {
        Some(step) => step.await,
        None => std::future::pending().await,
    }
}

async fn sleep(wake: Option<std::time::Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake).await,
        None => std::future::pending().await,
    }
}
