//! Takes one upload: reads what is held, has it judged, writes what is new, acknowledges.
//!
//! Records, tree and checkpoint become durable in one transaction; two uploads at once cannot both be kept.

use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_protocol::Timestamp;
use holdfast_protocol::mirror::{Answer, Cosignature, Held, Refusal, Upload};
use holdfast_protocol::words::with_causes;

use super::judge::{Continuation, Proven, Refused, continuation, fits, proven};
use super::{CosignedCheckpoint, Cosigner, Fork, Growth, LogKeys, MirroredLog, PAGE};
use crate::registry::Host;
use crate::store::{Store, StoreError};

/// What one host's logs may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All records of one log together, in bytes.
    pub bytes_per_log: u64,
}

/// An answer, and how many bytes were read, hashed or written for it.
#[derive(Debug)]
pub struct Taken {
    /// The answer.
    pub answer: Answer,
    /// Its cost, in bytes.
    pub cost: u64,
}

/// Takes an upload of `host`, which the connection has named.
///
/// # Errors
/// [`StoreError`] if nothing could be read or made durable; [`StoreError::Conflict`] if another upload came first.
pub async fn take<S: Store>(
    store: &S,
    cosigner: &Cosigner,
    limits: Limits,
    host: &Host,
    upload: Upload,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let keys = match LogKeys::of(&host.enrolled) {
        Ok(keys) => keys,
        Err(error) => {
            let refused = Refused::plain(Refusal::Origin, with_causes(&error));
            return Ok(Taken::refused(refused));
        }
    };
    if upload.origin != keys.origin.as_str() {
        let detail = format!("this host's log is `{}`", keys.origin);
        return Ok(Taken::refused(Refused::plain(Refusal::Origin, detail)));
    }
    let log = store.mirrored_log(host.id, &keys).await?;
    let mut taking = Taking {
        store,
        cosigner,
        limits,
        log,
        now,
        cost: 0,
    };
    let taken = taking.upload(&keys, upload).await?;
    let cost = taking.cost;
    let answer = match taken {
        Ok(held) => Answer::Held(held),
        Err(refused) => {
            taking.remember(&refused).await?;
            Answer::Refused {
                refusal: refused.refusal,
                detail: refused.detail,
            }
        }
    };
    Ok(Taken { answer, cost })
}

impl Taken {
    fn refused(refused: Refused) -> Self {
        Self {
            answer: Answer::Refused {
                refusal: refused.refusal,
                detail: refused.detail,
            },
            cost: 0,
        }
    }
}

struct Taking<'a, S> {
    store: &'a S,
    cosigner: &'a Cosigner,
    limits: Limits,
    log: MirroredLog,
    now: Timestamp,
    cost: u64,
}

impl<S: Store> Taking<'_, S> {
    async fn upload(
        &mut self,
        keys: &LogKeys,
        mut upload: Upload,
    ) -> Result<Result<Held, Refused>, StoreError> {
        if let Some(fork) = &self.log.fork {
            let detail = format!("since {}: {}", fork.refusal, fork.detail);
            return Ok(Err(Refused::plain(Refusal::Forked, detail)));
        }
        if !self.log.keys.are_those_of(keys) {
            let detail = "its checkpoint key was enrolled with another AK or counter";
            return Ok(Err(Refused::plain(Refusal::Origin, detail)));
        }
        // Before anything is written: what does not verify leaves no trace.
        let checkpoint = match upload.checkpoint.take().map(|note| proven(keys, note)) {
            Some(Ok(checkpoint)) => Some(checkpoint),
            Some(Err(refused)) => return Ok(Err(refused)),
            None => None,
        };
        let growth = match self.continuation(upload).await? {
            Ok(Continuation::Grows(growth)) => growth,
            Ok(Continuation::Gap) => return Ok(Ok(self.held(None))),
            Err(refused) => return Ok(Err(refused)),
        };
        let total = self.log.bytes.saturating_add(growth.bytes());
        if total > self.limits.bytes_per_log {
            let detail = format!(
                "no more than {} bytes of one log",
                self.limits.bytes_per_log
            );
            return Ok(Err(Refused::plain(Refusal::Full, detail)));
        }
        match checkpoint {
            Some(proven) if proven.body.size == growth.tree.size() => {
                let tree = growth.tree.clone();
                self.checkpoint(Some(growth), proven, &tree).await
            }
            Some(proven) if proven.body.size < growth.tree.size() => {
                self.keep(Some(&growth), None).await?;
                let tree = self.tree_at(proven.body.size).await?;
                self.checkpoint(None, proven, &tree).await
            }
            // Over records that are not here yet: the size in the answer says so.
            Some(_) | None => {
                self.keep(Some(&growth), None).await?;
                Ok(Ok(self.held(None)))
            }
        }
    }

    async fn continuation(
        &mut self,
        upload: Upload,
    ) -> Result<Result<Continuation, Refused>, StoreError> {
        let known = self.log.tree.size().min(upload.end());
        let held = match known.checked_sub(upload.first) {
            Some(count) if count > 0 => {
                self.store
                    .mirrored_records(self.log.id, upload.first, count)
                    .await?
            }
            Some(_) | None => Vec::new(),
        };
        let sent: usize = upload.records.iter().map(Vec::len).sum();
        self.spend(sent.saturating_add(held.iter().map(Vec::len).sum()));
        Ok(continuation(&self.log, upload, &held))
    }

    /// Judges a checkpoint against our own tree at its size, and makes it durable with the records that came with it.
    async fn checkpoint(
        &mut self,
        growth: Option<Growth>,
        proven: Proven,
        tree: &Frontier,
    ) -> Result<Result<Held, Refused>, StoreError> {
        let seen = self
            .store
            .mirrored_cosignature(self.log.id, proven.body.size, &proven.note)
            .await?;
        if let Some(line) = seen {
            self.keep(growth.as_ref(), None).await?;
            return Ok(Ok(self.held(Some(line))));
        }
        if let Err(refused) = fits(&self.log, &proven, tree) {
            return Ok(Err(refused));
        }
        let line = self.cosigner.cosign(&proven.text, self.now);
        let cosigned = CosignedCheckpoint {
            tree: tree.clone(),
            note: proven.note,
            value: proven.value,
            cosignature: line.clone(),
            at: self.now,
        };
        self.keep(growth.as_ref(), Some(&cosigned)).await?;
        Ok(Ok(self.held(Some(line))))
    }

    /// Our own tree when it had `size` records.
    async fn tree_at(&mut self, size: u64) -> Result<Frontier, StoreError> {
        let mut tree = self.store.mirrored_tree_below(self.log.id, size).await?;
        while tree.size() < size {
            let count = (size - tree.size()).min(PAGE);
            let page = self
                .store
                .mirrored_records(self.log.id, tree.size(), count)
                .await?;
            if page.is_empty() {
                return Err(StoreError::Corrupt {
                    field: "mirrored_bundle.first",
                });
            }
            for record in page {
                self.spend(record.len());
                tree.append(leaf_hash(&record));
            }
        }
        Ok(tree)
    }

    async fn keep(
        &mut self,
        growth: Option<&Growth>,
        cosigned: Option<&CosignedCheckpoint>,
    ) -> Result<(), StoreError> {
        let growth = growth.filter(|growth| !growth.records.is_empty());
        if growth.is_none() && cosigned.is_none() {
            return Ok(());
        }
        self.log = self
            .store
            .keep_mirrored(&self.log, growth, cosigned, self.now)
            .await?;
        Ok(())
    }

    /// Keeps the first evidence of a fork.
    async fn remember(&self, refused: &Refused) -> Result<(), StoreError> {
        let Some(evidence) = &refused.evidence else {
            return Ok(());
        };
        let fork = Fork {
            at: self.now,
            refusal: refused.refusal,
            detail: refused.detail.clone(),
            evidence: evidence.clone(),
        };
        self.store.record_fork(self.log.id, &fork).await
    }

    fn held(&self, line: Option<String>) -> Held {
        Held {
            size: self.log.tree.size(),
            cosigned: line.map(|line| Cosignature {
                line,
                cosigner: self.cosigner.vkey(),
            }),
        }
    }

    fn spend(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.cost = self.cost.saturating_add(bytes);
    }
}
