//! Where hosts wait that nothing vouches for.

use std::future::Future;

use holdfast_protocol::Timestamp;

use super::{Found, StoreError};
use crate::registry::WaitingHost;

/// Whether a host may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It waits.
    Waits,
    /// Its EK is one of a revoked host: no operator can let it in again.
    Revoked,
}

/// The home of hosts that wait for an operator.
pub trait WaitingStore {
    /// Has a host wait, or go on waiting under what it says of itself now. What it says is not proven.
    ///
    /// # Errors
    /// [`StoreError::Full`] if too many wait; others if it could not be written.
    fn wait(&self, host: &WaitingHost) -> impl Future<Output = Result<Waiting, StoreError>> + Send;

    /// The hosts that wait, from the one that has waited longest on.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn waiting(
        &self,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<WaitingHost>, StoreError>> + Send;

    /// Lists the EK of a host that waits, under its name as the operator has seen it; unknown if it has another by now.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn approve(
        &self,
        seen: &WaitingHost,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}
