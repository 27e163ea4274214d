//! The registry in SQL: one set of statements for SQLite (a file beside the attestor) and PostgreSQL (which replicas
//! share).
//!
//! What may happen once is one conditional statement, or one transaction around it; nothing may be checked in one and done
//! in another.

mod eks;
mod enrolling;
mod home;
mod hosts;
mod log;
mod mirror;
mod news;
mod orders;
mod reference;
mod rollout;
mod row;
#[cfg(test)]
mod tests;
mod waiting;

use holdfast_proof::evidence::Nonce;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::{Any, AnyPool, Transaction};

use super::{Acceptance, Enrolling, EnrollmentId, Found, Given, Ordered, Store, StoreError};
use crate::enroll_host::PendingEnrollment;
use crate::group::GroupName;
use crate::registry::{
    EnrolledHost, Host, ImaState, IssuedSvid, NonceStanding, Revision, TokenHash, TokenRecord,
    Verdict,
};
use home::Engine;
pub use home::{Home, InvalidPostgresUrl, PostgresUrl};
use row::millis;

/// How many nonces one host may hold: more than its retries need, few enough that asking for ever
/// fills nothing.
const MAX_NONCES: i64 = 64;

/// How many enrollments may be unfinished at once, over all hosts; replicas that count at the same moment may let a few
/// more in.
const MAX_PENDING: i64 = 4096;

/// The registry in one SQL database.
#[derive(Clone, Debug)]
pub struct SqlStore {
    pool: AnyPool,
    engine: Engine,
}

impl SqlStore {
    /// Opens the database and brings its layout up to date; a file that is not there is made.
    ///
    /// # Errors
    /// [`StoreError`] if any of that fails, the engine is too old, or it would lose commits in a crash.
    pub async fn open(home: &Home) -> Result<Self, StoreError> {
        let (pool, engine) = home.open().await?;
        Ok(Self { pool, engine })
    }

    /// Closes the database once the running statements have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that writes.
    async fn write(&self) -> Result<Transaction<'_, Any>, StoreError> {
        Ok(self.pool.begin_with(self.engine.begin_write()).await?)
    }

    /// A transaction that reads as of one moment.
    async fn read(&self) -> Result<Transaction<'_, Any>, StoreError> {
        Ok(self.pool.begin_with(self.engine.begin_read()).await?)
    }
}

impl Store for SqlStore {
    async fn issue_nonce(
        &self,
        nonce: &Nonce,
        host: HostId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        // By itself: replicas that clear away in one transaction with other writes could wait for each other.
        sqlx::query("DELETE FROM nonce WHERE expires_at <= $1")
            .bind(millis(now))
            .execute(&self.pool)
            .await?;
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO nonce (value, host, expires_at) VALUES ($1, $2, $3)")
            .bind(nonce.as_bytes().as_slice())
            .bind(host.to_string())
            .bind(millis(expires_at))
            .execute(&mut *tx)
            .await?;
        // The oldest go first: a host that asks anew has given up the old ones.
        sqlx::query(
            "DELETE FROM nonce WHERE host = $1 AND value NOT IN \
             (SELECT value FROM nonce WHERE host = $1 ORDER BY expires_at DESC LIMIT $2)",
        )
        .bind(host.to_string())
        .bind(MAX_NONCES)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn consume_nonce(
        &self,
        nonce: &Nonce,
        host: HostId,
        now: Timestamp,
    ) -> Result<NonceStanding, StoreError> {
        let used =
            sqlx::query("DELETE FROM nonce WHERE value = $1 AND host = $2 AND expires_at > $3")
                .bind(nonce.as_bytes().as_slice())
                .bind(host.to_string())
                .bind(millis(now))
                .execute(&self.pool)
                .await?;
        Ok(match used.rows_affected() {
            1 => NonceStanding::Fresh,
            _ => NonceStanding::Unknown,
        })
    }

    async fn add_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        enrolling::add_token(self, token).await
    }

    async fn usable_token(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<TokenRecord>, StoreError> {
        enrolling::usable_token(self, hash, now).await
    }

    async fn begin_enrollment(
        &self,
        id: EnrollmentId,
        pending: &PendingEnrollment,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        enrolling::begin(self, id, pending, now).await
    }

    async fn take_enrollment(
        &self,
        id: EnrollmentId,
        now: Timestamp,
    ) -> Result<Option<PendingEnrollment>, StoreError> {
        enrolling::take(self, id, now).await
    }

    async fn enroll(
        &self,
        host: &EnrolledHost,
        fresh_id: HostId,
        token: Option<TokenHash>,
        now: Timestamp,
    ) -> Result<Enrolling, StoreError> {
        enrolling::enroll(self, host, fresh_id, token, now).await
    }

    async fn host(&self, id: HostId) -> Result<Option<Host>, StoreError> {
        hosts::one(self, id).await
    }

    async fn hosts(&self) -> Result<Vec<Host>, StoreError> {
        hosts::all(self).await
    }

    async fn revoke(&self, id: HostId, why: &str, now: Timestamp) -> Result<Found, StoreError> {
        orders::revoke(self, id, why, now).await
    }

    async fn ban(&self, id: HostId, why: &str, now: Timestamp) -> Result<Found, StoreError> {
        orders::ban(self, id, why, now).await
    }

    async fn unban(&self, id: HostId) -> Result<Found, StoreError> {
        orders::unban(self, id).await
    }

    async fn ask_reattest(&self, id: HostId, now: Timestamp) -> Result<Found, StoreError> {
        orders::ask_reattest(self, id, now).await
    }

    async fn set_group(&self, id: HostId, group: Option<&GroupName>) -> Result<Found, StoreError> {
        orders::set_group(self, id, group).await
    }

    async fn given(&self, id: HostId) -> Result<Option<Given>, StoreError> {
        hosts::given(self, id).await
    }

    async fn follow_orders(&self, told: impl Fn(Ordered) + Send + Sync) -> StoreError {
        match news::follow(self, told).await {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    async fn forget_reference(&self, id: HostId) -> Result<Found, StoreError> {
        reference::forget(self, id).await
    }

    async fn refuse_ahead(
        &self,
        host: HostId,
        revision: Revision,
        ima: &ImaState,
        verdict: &Verdict,
    ) -> Result<(), StoreError> {
        hosts::refuse_ahead(self, host, revision, ima, verdict).await
    }

    async fn accept(&self, acceptance: &Acceptance) -> Result<(), StoreError> {
        hosts::accept(self, acceptance).await
    }

    async fn record_verdict(&self, verdict: &Verdict) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        log::verdict(&mut tx, verdict).await?;
        Ok(tx.commit().await?)
    }

    async fn verdicts(&self, host: HostId, limit: u32) -> Result<Vec<Verdict>, StoreError> {
        log::verdicts(self, host, limit).await
    }

    async fn record_svids(&self, svids: &[IssuedSvid]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for svid in svids {
            log::svid(&mut tx, svid).await?;
        }
        Ok(tx.commit().await?)
    }
}
