//! Hosts that wait for an operator, and their approval.
//!
//! A host that waits has proved nothing yet, not even that its EK is its own: approving it lists the EK, and the host still
//! has to open the challenge.

use std::time::Duration;

use holdfast_protocol::Timestamp;
use sqlx::any::AnyRow;

use super::row::{millis, plain, text, time, to_word, word};
use super::{SqlStore, StoreError};
use crate::registry::WaitingHost;
use crate::store::{Found, Waiting, WaitingStore};

/// How many may wait: more than an operator reads, few enough that strangers fill nothing. Replicas that count at the same
/// moment may let a few more in.
pub(super) const MAX_WAITING: i64 = 256;

/// How long a host waits that does not ask again.
pub(super) const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

impl WaitingStore for SqlStore {
    async fn wait(&self, host: &WaitingHost) -> Result<Waiting, StoreError> {
        // By itself: replicas that clear away in one transaction with other writes could wait for each other.
        sqlx::query("DELETE FROM waiting_host WHERE last_at <= $1")
            .bind(millis(host.last_at - PATIENCE))
            .execute(&self.pool)
            .await?;
        let mut tx = self.write().await?;
        let revoked: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM host WHERE ek_fingerprint = $1 AND revoked_at IS NOT NULL",
        )
        .bind(host.ek.to_string())
        .fetch_one(&mut *tx)
        .await?;
        if revoked != 0 {
            return Ok(Waiting::Revoked);
        }
        let again = sqlx::query(
            "UPDATE waiting_host SET name = $2, grade = $3, remote = $4, why = $5, last_at = $6 \
             WHERE ek_fingerprint = $1",
        )
        .bind(host.ek.to_string())
        .bind(host.name.to_string())
        .bind(to_word("grade", &host.grade)?)
        .bind(host.remote.to_string())
        .bind(host.why.clone())
        .bind(millis(host.last_at))
        .execute(&mut *tx)
        .await?;
        if again.rows_affected() == 0 {
            let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM waiting_host")
                .fetch_one(&mut *tx)
                .await?;
            if waiting >= MAX_WAITING {
                return Err(StoreError::Full {
                    what: "approvals",
                    limit: MAX_WAITING,
                });
            }
            sqlx::query(
                "INSERT INTO waiting_host (ek_fingerprint, name, grade, remote, why, first_at, last_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $6)",
            )
            .bind(host.ek.to_string())
            .bind(host.name.to_string())
            .bind(to_word("grade", &host.grade)?)
            .bind(host.remote.to_string())
            .bind(host.why.clone())
            .bind(millis(host.last_at))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(Waiting::Waits)
    }

    async fn waiting(&self, now: Timestamp) -> Result<Vec<WaitingHost>, StoreError> {
        sqlx::query(
            "SELECT ek_fingerprint, name, grade, remote, why, first_at, last_at FROM waiting_host \
             WHERE last_at > $1 ORDER BY first_at, ek_fingerprint",
        )
        .bind(millis(now - PATIENCE))
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    async fn approve(&self, seen: &WaitingHost, now: Timestamp) -> Result<Found, StoreError> {
        let mut tx = self.write().await?;
        let taken = sqlx::query("DELETE FROM waiting_host WHERE ek_fingerprint = $1 AND name = $2")
            .bind(seen.ek.to_string())
            .bind(seen.name.to_string())
            .execute(&mut *tx)
            .await?;
        if taken.rows_affected() == 0 {
            return Ok(Found::Unknown);
        }
        sqlx::query(
            "INSERT INTO listed_ek (fingerprint, host_name, listed_at) VALUES ($1, $2, $3) \
             ON CONFLICT (fingerprint) DO UPDATE SET host_name = $2, listed_at = $3",
        )
        .bind(seen.ek.to_string())
        .bind(seen.name.to_string())
        .bind(millis(now))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Found::Changed)
    }
}

fn read(row: &AnyRow) -> Result<WaitingHost, StoreError> {
    Ok(WaitingHost {
        ek: text(row, "ek_fingerprint")?,
        name: text(row, "name")?,
        grade: word(row, "grade")?,
        remote: text(row, "remote")?,
        why: plain(row, "why")?,
        first_at: time(row, "first_at")?,
        last_at: time(row, "last_at")?,
    })
}
