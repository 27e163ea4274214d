//! Where mirrored logs live, and what their store has to promise.
//!
//! It keeps bytes by their position and never judges them. What it says it has written is durable, records and tree
//! together.

use std::future::Future;

use holdfast_proof::merkle::Frontier;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;

use super::StoreError;
use crate::mirror_audit::{CosignedCheckpoint, Fork, Growth, LogId, LogKeys, MirroredLog};
use crate::registry::Host;

/// The home of mirrored logs.
pub trait MirrorStore {
    /// The log of these keys, which is made, empty, where it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read or made.
    fn mirrored_log(
        &self,
        host: HostId,
        keys: &LogKeys,
    ) -> impl Future<Output = Result<MirroredLog, StoreError>> + Send;

    /// All logs, by host; those of one host from the oldest on.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn mirrored_logs(&self) -> impl Future<Output = Result<Vec<MirroredLog>, StoreError>> + Send;

    /// The largest value that a host's audit counter is known to have had, by the evidence in its log.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn counted_up_to(
        &self,
        host: &Host,
    ) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send;

    /// At most `count` records from index `first` on, in order and without a gap.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn mirrored_records(
        &self,
        log: LogId,
        first: u64,
        count: u64,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, StoreError>> + Send;

    /// The cosigned checkpoints, in the order in which they came.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn mirrored_checkpoints(
        &self,
        log: LogId,
    ) -> impl Future<Output = Result<Vec<CosignedCheckpoint>, StoreError>> + Send;

    /// The cosignature of this very note, if it was cosigned before.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn mirrored_cosignature(
        &self,
        log: LogId,
        size: u64,
        note: &str,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// The tree at the largest cosigned size that is not above `size`; the empty tree where there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn mirrored_tree_below(
        &self,
        log: LogId,
        size: u64,
    ) -> impl Future<Output = Result<Frontier, StoreError>> + Send;

    /// Adds records and a checkpoint to a log, both or neither; the log as it is then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the log changed since it was read; others if it could not be made durable.
    fn keep_mirrored(
        &self,
        log: &MirroredLog,
        growth: Option<&Growth>,
        cosigned: Option<&CosignedCheckpoint>,
        now: Timestamp,
    ) -> impl Future<Output = Result<MirroredLog, StoreError>> + Send;

    /// Keeps the first evidence that a log forked.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    fn record_fork(
        &self,
        log: LogId,
        fork: &Fork,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
