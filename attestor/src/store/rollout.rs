//! Where rollouts are kept, with what is known of their hosts since they began.

use std::future::Future;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;

use super::{Found, StoreError};
use crate::rollout::{Plan, Rollout, RolloutId, Stage};

/// What came of beginning a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starting {
    /// It has begun.
    Started(RolloutId),
    /// One of its hosts is in another that is under way.
    UnderWay(RolloutId),
}

/// A rollout that has come to another stage.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The stage that it was in.
    pub from: Stage,
    /// The rollout as it is now.
    pub rollout: Rollout,
}

/// The home of rollouts. A stage is decided and written in one transaction that nobody else decides in, so that replicas
/// agree.
pub trait RolloutStore {
    /// Begins a rollout.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn start_rollout(
        &self,
        plan: &Plan,
        now: Timestamp,
    ) -> impl Future<Output = Result<Starting, StoreError>> + Send;

    /// All rollouts, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn rollouts(&self) -> impl Future<Output = Result<Vec<Rollout>, StoreError>> + Send;

    /// One rollout.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn rollout(
        &self,
        id: RolloutId,
    ) -> impl Future<Output = Result<Option<Rollout>, StoreError>> + Send;

    /// The rollouts that are under way.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn rollouts_under_way(&self)
    -> impl Future<Output = Result<Vec<RolloutId>, StoreError>> + Send;

    /// Brings a rollout to the stage that follows from its facts; what changed, if anything did.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn settle_rollout(
        &self,
        id: RolloutId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Turn>, StoreError>> + Send;

    /// Writes down that the own evidence of a host was refused, if the rollout lets it show the update or it has; and settles.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn refused_in_rollout(
        &self,
        id: RolloutId,
        host: HostId,
        why: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Turn>, StoreError>> + Send;

    /// Lets a braked rollout go on; the failures that there are do not count any more.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn resume_rollout(
        &self,
        id: RolloutId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Ends a rollout: a host that has not shown the update may not any more.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn cancel_rollout(
        &self,
        id: RolloutId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}
