//! The registry in SQLite: one file beside the attestor, write-ahead log, every commit synced.
//!
//! What may happen once is one statement or one immediate transaction here; nothing may be checked
//! in one and done in another.

mod enrolling;
mod hosts;
mod log;
mod mirror;
mod row;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use holdfast_proof::evidence::Nonce;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{Acceptance, Enrolling, EnrollmentId, Found, Store, StoreError};
use crate::enroll_host::PendingEnrollment;
use crate::registry::{
    EnrolledHost, Host, ImaState, IssuedSvid, NonceStanding, Revision, TokenHash, TokenRecord,
    Verdict,
};
use row::millis;

/// The oldest SQLite that we run on: it has the fix of the write-ahead log's reset bug.
const OLDEST: (u32, u32, u32) = (3, 51, 3);

/// How many nonces one host may hold: more than its retries need, few enough that asking for ever
/// fills nothing.
const MAX_NONCES: i64 = 64;

/// How many enrollments may be unfinished at once, over all hosts.
const MAX_PENDING: i64 = 4096;

/// The registry in one SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the database, makes it where it is not, and brings its layout up to date.
    ///
    /// # Errors
    /// [`StoreError`] if any of that fails, or SQLite is too old.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        // SQLite has one writer; the others are readers that must not wait for it.
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        let version: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&pool)
            .await?;
        if !is_recent(&version) {
            return Err(StoreError::TooOld { found: version });
        }
        sqlx::migrate!().run(&pool).await?;
        Ok(Self { pool })
    }

    /// Closes the database once the running statements have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that holds the write lock from its start, so that what it reads stays true.
    async fn write(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn is_recent(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next(), next()) >= OLDEST
}

impl Store for SqliteStore {
    async fn issue_nonce(
        &self,
        nonce: &Nonce,
        host: HostId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM nonce WHERE expires_at <= ?")
            .bind(millis(now))
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO nonce (value, host, expires_at) VALUES (?, ?, ?)")
            .bind(nonce.as_bytes().as_slice())
            .bind(host.to_string())
            .bind(millis(expires_at))
            .execute(&mut *tx)
            .await?;
        // The oldest go first: a host that asks anew has given up the old ones.
        sqlx::query(
            "DELETE FROM nonce WHERE host = ?1 AND value NOT IN \
             (SELECT value FROM nonce WHERE host = ?1 ORDER BY expires_at DESC LIMIT ?2)",
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
        let used = sqlx::query("DELETE FROM nonce WHERE value = ? AND host = ? AND expires_at > ?")
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
        hosts::revoke(self, id, why, now).await
    }

    async fn forget_reference(&self, id: HostId) -> Result<Found, StoreError> {
        hosts::forget_reference(self, id).await
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

    async fn record_svid(&self, svid: &IssuedSvid) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        log::svid(&mut tx, svid).await?;
        Ok(tx.commit().await?)
    }
}
