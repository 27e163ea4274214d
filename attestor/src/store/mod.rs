//! Where the registry lives, and what a store has to promise.
//!
//! A store keeps and counts; it must never decide whether a host is to be believed. What it says it
//! has written is durable, and what may happen once happens once, whichever replica asks.

mod eks;
mod mirror;
mod reference;
mod rollout;
pub mod sql;
mod waiting;

use std::future::Future;

use holdfast_proof::event_log::BootEvents;
use holdfast_proof::evidence::Nonce;
use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use serde::{Deserialize, Serialize};

use crate::enroll_host::PendingEnrollment;
use crate::group::GroupName;
use crate::registry::{
    EnrolledHost, Host, ImaState, IssuedSvid, NonceStanding, Observed, Revision, Standing,
    TokenHash, TokenRecord, Verdict,
};
use crate::rollout::{RolloutId, Showing};
use crate::verify_host::Update;

pub use eks::{EkStore, Listed};
pub use mirror::MirrorStore;
pub use reference::{Approval, ReferenceStore};
pub use rollout::{RolloutStore, Starting, Turn};
pub use waiting::{Waiting, WaitingStore};

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened, read or written: the environment is to blame.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// The database's layout cannot be brought up to date.
    #[error("the database's layout could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database engine is older than what our durability needs.
    #[error("{engine} {found} is older than {oldest}")]
    TooOld {
        /// Which engine.
        engine: &'static str,
        /// Its version.
        found: String,
        /// The oldest that serves, and why.
        oldest: &'static str,
    },
    /// The database is not one that a registry can be kept in.
    #[error("the database cannot be used: {why}")]
    Unusable {
        /// Why not.
        why: &'static str,
    },
    /// What is stored is not what we store.
    #[error("the stored `{field}` cannot be read")]
    Corrupt {
        /// The table and column.
        field: &'static str,
    },
    /// The database says nothing more on a connection that was open.
    #[error("the database does not answer")]
    Quiet,
    /// Another answer about the same host came first; the caller may try again.
    #[error("another answer about this host came first")]
    Conflict,
    /// As many are kept as we ever keep; the caller has to wait for old ones to expire.
    #[error("there are already {limit} unfinished {what}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: i64,
    },
}

impl From<sqlx::Error> for StoreError {
    /// What two writers at the same moment cause is a conflict: PostgreSQL ends one of them with a unique violation
    /// (SQLSTATE 23505), a serialization failure (40001) or a deadlock (40P01).
    fn from(error: sqlx::Error) -> Self {
        let met = error
            .as_database_error()
            .and_then(|error| error.code())
            .is_some_and(|code| matches!(code.as_ref(), "23505" | "40001" | "40P01"));
        if met {
            Self::Conflict
        } else {
            Self::Database(error)
        }
    }
}

/// Names one unfinished enrollment: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnrollmentId(pub [u8; 16]);

/// What came of enrolling a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolling {
    /// It is new and has this id.
    New(HostId),
    /// Its EK was enrolled before, and keeps this id.
    Renewed(HostId),
    /// Its EK was enrolled before, and was revoked.
    Revoked(HostId),
    /// The token was used or ran out meanwhile.
    TokenGone,
}

/// What is written down when evidence is accepted, at once and before the answer leaves.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The host.
    pub host: HostId,
    /// The reading that the evidence was judged against.
    pub revision: Revision,
    /// What its TPM reported.
    pub observed: Observed,
    /// PCR values that become its reference from now on.
    pub learned: PcrValues,
    /// The events of its reference boot, to be kept.
    pub events: Option<BootEvents>,
    /// Whether the values that were accepted ahead become the reference.
    pub update: Update,
    /// The rollout under way that the host is in, and how its evidence stands to that.
    pub rollout: Option<(RolloutId, Showing)>,
    /// How far its measurement list was verified; what is kept stays where this is absent.
    pub ima: Option<ImaState>,
    /// The appraisal.
    pub verdict: Verdict,
    /// The node SVID.
    pub svid: IssuedSvid,
}

/// Whether there is such a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is, and it was changed.
    Changed,
    /// There is, and it was so already.
    Unchanged,
    /// There is not.
    Unknown,
}

/// What is ordered about a host, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Whether it may get identities.
    pub standing: Standing,
    /// When a new attestation was last asked for.
    pub reattest: Option<Timestamp>,
    /// The group whose policy it is held to.
    pub group: Option<GroupName>,
}

/// Whom orders were given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// This host.
    Host(HostId),
    /// Any: what was given before was not followed.
    Any,
}

/// The registry's home. Every answer is durable before it is given.
pub trait Store:
    EkStore + MirrorStore + ReferenceStore + RolloutStore + WaitingStore + Clone + Send + Sync + 'static
{
    /// Remembers a nonce that a host is given.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written.
    fn issue_nonce(
        &self,
        nonce: &Nonce,
        host: HostId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Uses a nonce up.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn consume_nonce(
        &self,
        nonce: &Nonce,
        host: HostId,
        now: Timestamp,
    ) -> impl Future<Output = Result<NonceStanding, StoreError>> + Send;

    /// Adds a one-time token.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written.
    fn add_token(&self, token: &TokenRecord)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The token of this hash, if it may be used at `now`. It stays usable until a host is enrolled with it.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn usable_token(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<TokenRecord>, StoreError>> + Send;

    /// Remembers an enrollment that was begun.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written, or too many are unfinished.
    fn begin_enrollment(
        &self,
        id: EnrollmentId,
        pending: &PendingEnrollment,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes an unfinished enrollment out, so that it is finished or refused once.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn take_enrollment(
        &self,
        id: EnrollmentId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<PendingEnrollment>, StoreError>> + Send;

    /// Enrolls a host under `fresh_id`, or under the id that its EK already has; uses `token` up with it.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn enroll(
        &self,
        host: &EnrolledHost,
        fresh_id: HostId,
        token: Option<TokenHash>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Enrolling, StoreError>> + Send;

    /// A host.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn host(&self, id: HostId) -> impl Future<Output = Result<Option<Host>, StoreError>> + Send;

    /// All hosts, by id.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn hosts(&self) -> impl Future<Output = Result<Vec<Host>, StoreError>> + Send;

    /// Revokes a host, for good.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn revoke(
        &self,
        id: HostId,
        why: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Bans a host until it is unbanned.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn ban(
        &self,
        id: HostId,
        why: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Lets a banned host attest again. A revoked one stays revoked.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn unban(&self, id: HostId) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Asks a host for a new attestation.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn ask_reattest(
        &self,
        id: HostId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Puts a host into a group, or into none.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn set_group(
        &self,
        id: HostId,
        group: Option<&GroupName>,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// What is ordered about a host: one cheap look, because every stream looks again and again.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn given(&self, id: HostId) -> impl Future<Output = Result<Option<Given>, StoreError>> + Send;

    /// Tells of each order (revoked, banned, unbanned, asked to attest) once it can be read, whichever process or replica
    /// gave it; first of all that everything may have changed. It gives up with an error alone.
    fn follow_orders(
        &self,
        told: impl Fn(Ordered) + Send + Sync,
    ) -> impl Future<Output = StoreError> + Send;

    /// Forgets a host's reference PCRs, so that its next attestation sets them anew.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn forget_reference(
        &self,
        id: HostId,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Writes down that evidence was accepted.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the host changed since it was read; others if it could not be made durable.
    fn accept(
        &self,
        acceptance: &Acceptance,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes down how far a refused host's measurement list was replayed, with the refusal.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the host changed since it was read; others if it could not be made durable.
    fn refuse_ahead(
        &self,
        host: HostId,
        revision: Revision,
        ima: &ImaState,
        verdict: &Verdict,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds to the verdict log.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    fn record_verdict(
        &self,
        verdict: &Verdict,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The newest verdicts about a host, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn verdicts(
        &self,
        host: HostId,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Verdict>, StoreError>> + Send;

    /// Writes down that SVIDs were signed, before they leave: all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the host may have none any more; others if it could not be made durable.
    fn record_svids(
        &self,
        svids: &[IssuedSvid],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
