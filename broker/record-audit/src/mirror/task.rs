//! The shell of the mirror: reads the log, sends, verifies what is acknowledged, keeps it.
//!
//! Woken by what is appended and by what the uplink becomes; asleep when nothing is new.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_protocol::clock::Clock;
use holdfast_protocol::management::{AuditHead, Mirror};
use holdfast_protocol::mirror::{Answer, Cosignature, MAX_BYTES, Upload};
use holdfast_protocol::words::with_causes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::state::{Batch, Core, Effect, Input, Jitter, Marks, Next};
use super::{Cosigner, Kept, NotCosigned, SendFailed, Standing, Uplink, Upstream};
use crate::store::{CheckpointRow, Reader, StoreError};

/// How many checkpoints are looked through at a time.
const PAGE: u64 = 256;

/// What the mirror is set up with.
pub struct MirrorConfig {
    /// The folder of the log.
    pub folder: PathBuf,
    /// The log's name.
    pub origin: String,
    /// The log's head, as it changes.
    pub heads: watch::Receiver<AuditHead>,
    /// Whether there is an attestor, as it changes.
    pub uplinks: watch::Receiver<Uplink>,
    /// The way there.
    pub upstream: Arc<dyn Upstream>,
    /// What was kept of it.
    pub kept: Option<Kept>,
    /// When it is tried again.
    pub clock: Clock,
}

/// The task; the daemon runs it.
pub struct MirrorTask {
    config: MirrorConfig,
    core: Core,
    standing: watch::Sender<Mirror>,
    reader: Option<Reader>,
    /// The uplink that was looked at last.
    seen: Option<Uplink>,
    /// Of the attestor that is spoken to now: its key, and the newest note that it cosigned.
    cosigner: Option<Cosigner>,
    cosigned: Option<Kept>,
}

/// Why an effect was not done.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
    #[error("the audit log could not be sent")]
    Send(#[from] SendFailed),
    #[error("the attestor's acknowledgement is not taken")]
    NotCosigned(#[from] NotCosigned),
    #[error("the attestor took a checkpoint and did not acknowledge it")]
    Unacknowledged,
    #[error("the attestor's acknowledgement cannot be kept")]
    Keep(#[source] std::io::Error),
}

impl MirrorTask {
    /// Sets the task up; how much the attestor has is told from then on.
    pub fn new(config: MirrorConfig) -> (Self, Standing) {
        let (size, checkpoint) = config
            .kept
            .as_ref()
            .map_or((0, 0), |kept| (kept.size, kept.checkpoint));
        let core = Core::resume(size, checkpoint);
        let (standing, told) = watch::channel(core.standing());
        let task = Self {
            config,
            core,
            standing,
            reader: None,
            seen: None,
            cosigner: None,
            cosigned: None,
        };
        (task, told)
    }

    /// Mirrors until `stop`. No failure ends it: the log goes on, and so does this, later.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look_around();
            let effect = self.core.poll(self.config.clock.now());
            self.tell();
            if let Some(effect) = effect {
                let done = tokio::select! {
                    () = stop.cancelled() => return,
                    done = self.perform(effect) => done,
                };
                let input = done.unwrap_or_else(|error| failed(&error, &self.config.clock));
                self.core.done(input, self.config.clock.now());
                continue;
            }
            let wake = self
                .core
                .poll_at()
                .map(|at| at.since(self.config.clock.now()));
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.config.heads.changed() => if changed.is_err() {
                    return stop.cancelled().await;
                },
                changed = self.config.uplinks.changed() => if changed.is_err() {
                    return stop.cancelled().await;
                },
                () = sleep(wake) => {}
            }
        }
    }

    fn look_around(&mut self) {
        let head = self.config.heads.borrow_and_update();
        let marks = Marks {
            covered: head.checkpointed,
            value: head.counter,
        };
        self.core.grown(head.size, marks);
        drop(head);
        let uplink = self.config.uplinks.borrow_and_update().clone();
        if self.seen.as_ref() == Some(&uplink) {
            return;
        }
        self.seen = Some(uplink.clone());
        if let Uplink::Up { peer, .. } = &uplink {
            let known = self.config.kept.as_ref().filter(|kept| kept.peer == *peer);
            self.cosigner = known.and_then(|kept| Cosigner::from_vkey(&kept.cosigner).ok());
            if known.is_none() {
                self.core.begin_anew();
                self.config.kept = None;
            }
        }
        self.core.uplink(uplink);
    }

    fn tell(&self) {
        let standing = self.core.standing();
        self.standing.send_if_modified(|told| {
            let changed = *told != standing;
            *told = standing;
            changed
        });
    }

    async fn perform(&mut self, effect: Effect) -> Result<Input, NotDone> {
        match effect {
            Effect::Find { after } => {
                let found = find(self.reader().await?, after).await?;
                Ok(Input::Found(found.map(|row| next(&row))))
            }
            Effect::Send(batch) => self.send(batch).await,
            Effect::Keep => {
                if let Some(kept) = self.cosigned.take() {
                    self.config.upstream.keep(&kept).map_err(NotDone::Keep)?;
                    self.config.kept = Some(kept);
                }
                Ok(Input::Kept)
            }
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<Input, NotDone> {
        let origin = self.config.origin.clone();
        let reader = self.reader().await?;
        let mut room = MAX_BYTES;
        let records: Vec<_> = reader
            .records(batch.first, batch.count)
            .await?
            .into_iter()
            .zip(batch.first..)
            .take_while(|(row, index)| {
                let left = room.checked_sub(row.json.len());
                room = left.unwrap_or(0);
                // What is missing from a damaged log is not to be papered over by what stands behind it.
                left.is_some() && row.index == *index
            })
            .map(|(row, _)| row.json)
            .collect();
        let sent = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let checkpoint = match batch.checkpoint.filter(|_| sent == batch.count) {
            Some(next) => find_one(reader, next.seq).await?,
            None => None,
        };
        if sent == 0 && checkpoint.is_none() {
            return Err(StoreError::Damaged(crate::store::Damage::Record(batch.first)).into());
        }
        let upload = Upload {
            origin,
            first: batch.first,
            records,
            checkpoint: checkpoint.as_ref().map(|row| row.note.clone()),
        };
        let answer = self.config.upstream.send(upload).await?;
        match answer {
            Answer::Refused { refusal, detail } => Ok(Input::Refused {
                refusal,
                why: format!("the attestor refuses this log: {refusal}: {detail}"),
                checkpoint: checkpoint.as_ref().map(next),
            }),
            Answer::Held(held) => {
                let cosigned = match (checkpoint, held.cosigned) {
                    (Some(row), Some(cosignature)) => {
                        self.acknowledged(&row, &cosignature)?;
                        Some(next(&row))
                    }
                    (Some(row), None) if held.size >= row.tip.size => {
                        return Err(NotDone::Unacknowledged);
                    }
                    (Some(_) | None, _) => None,
                };
                Ok(Input::Held {
                    size: held.size,
                    sent,
                    cosigned,
                })
            }
        }
    }

    /// Verifies a cosignature by the key that this attestor had before, or takes its key now: the connection vouches for it.
    fn acknowledged(
        &mut self,
        row: &CheckpointRow,
        cosignature: &Cosignature,
    ) -> Result<(), NotDone> {
        let cosigner = match self.cosigner.take() {
            Some(known) => self.cosigner.insert(known),
            None => self
                .cosigner
                .insert(Cosigner::from_vkey(&cosignature.cosigner)?),
        };
        if cosigner.vkey() != cosignature.cosigner {
            return Err(NotCosigned::OtherKey.into());
        }
        let note = cosigner.acknowledge(&row.note, &cosignature.line)?;
        if let Uplink::Up { peer, .. } = &*self.config.uplinks.borrow() {
            self.cosigned = Some(Kept {
                peer: peer.clone(),
                cosigner: cosigner.vkey().to_owned(),
                checkpoint: row.seq,
                size: row.tip.size,
                note: note.to_string(),
            });
        }
        Ok(())
    }

    /// One connection for all reads; after an error it is opened anew.
    async fn reader(&mut self) -> Result<&mut Reader, StoreError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(&self.config.folder).await?,
        };
        Ok(self.reader.insert(reader))
    }
}

/// The first counted checkpoint after number `after`, for no count may be left out; else the newest.
async fn find(reader: &mut Reader, after: i64) -> Result<Option<CheckpointRow>, StoreError> {
    let mut newest = None;
    let mut seq = after;
    loop {
        let page = reader.checkpoints(seq, PAGE).await?;
        if page.is_empty() {
            return Ok(newest);
        }
        for row in page {
            seq = row.seq;
            if row.counter.is_some() {
                return Ok(Some(row));
            }
            newest = Some(row);
        }
    }
}

async fn find_one(reader: &mut Reader, seq: i64) -> Result<Option<CheckpointRow>, StoreError> {
    let page = reader.checkpoints(seq.saturating_sub(1), 1).await?;
    Ok(page.into_iter().find(|row| row.seq == seq))
}

fn next(row: &CheckpointRow) -> Next {
    Next {
        seq: row.seq,
        size: row.tip.size,
    }
}

fn failed(error: &NotDone, clock: &Clock) -> Input {
    let why = with_causes(error);
    tracing::debug!(
        why,
        "the audit log was not mirrored; it is tried again later"
    );
    Input::Failed {
        why,
        jitter: Jitter(clock.jitter_bits()),
    }
}

async fn sleep(wake: Option<std::time::Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake).await,
        None => std::future::pending().await,
    }
}
