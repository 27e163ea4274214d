//! Where the boots are kept that hosts are held to, and those that wait for an operator.

use std::future::Future;

use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;

use super::{Found, StoreError};
use crate::reference::{Boot, ProposalId, References};
use crate::registry::Verdict;

/// What came of deciding about a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// It is decided.
    Done,
    /// The host has another proposal by now, or none.
    Gone,
}

/// The home of hosts' boots.
pub trait ReferenceStore {
    /// All that is kept of a host's boots; `None` if there is no such host.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn references(
        &self,
        id: HostId,
    ) -> impl Future<Output = Result<Option<References>, StoreError>> + Send;

    /// Writes down that a host was refused for its boot, which waits for an operator instead of the one before; unless the
    /// operator has rejected the very same.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn propose(
        &self,
        host: HostId,
        boot: &Boot,
        verdict: &Verdict,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes a proposal the reference; what was the reference is kept as the one before.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn approve_boot(
        &self,
        id: HostId,
        seen: ProposalId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Approval, StoreError>> + Send;

    /// Drops a proposal, and does not take the very same again.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn reject_boot(
        &self,
        id: HostId,
        seen: ProposalId,
    ) -> impl Future<Output = Result<Approval, StoreError>> + Send;

    /// Makes the reference before the reference again, and the other way round; unchanged if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn roll_back(
        &self,
        id: HostId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Accepts values ahead of time, all of them together, instead of those accepted before.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn accept_ahead(
        &self,
        id: HostId,
        values: &PcrValues,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}
