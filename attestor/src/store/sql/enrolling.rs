//! Tokens, unfinished enrollments, and the moment in which a host is enrolled.
//!
//! A token is used up in the transaction that enrolls its host, so that it cannot enroll two and is
//! not lost to a host that failed.

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::{Any, Transaction};

use super::row::{bytes, json, millis, optional_text, text, time, to_json, to_word};
use super::{MAX_PENDING, SqlStore, StoreError, reference};
use crate::enroll_host::PendingEnrollment;
use crate::registry::{EkFingerprint, EnrolledHost, TokenHash, TokenRecord};
use crate::store::{Enrolling, EnrollmentId};

pub(super) async fn add_token(store: &SqlStore, token: &TokenRecord) -> Result<(), StoreError> {
    let host_name = token.host_name.as_ref().map(ToString::to_string);
    sqlx::query(
        "INSERT INTO token (hash, host_name, ek_fingerprint, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(token.hash.0.as_bytes().as_slice())
    .bind(host_name)
    .bind(token.ek.as_ref().map(ToString::to_string))
    .bind(millis(token.created_at))
    .bind(millis(token.expires_at))
    .execute(&store.pool)
    .await?;
    Ok(())
}

pub(super) async fn usable_token(
    store: &SqlStore,
    hash: TokenHash,
    now: Timestamp,
) -> Result<Option<TokenRecord>, StoreError> {
    let row = sqlx::query(
        "SELECT hash, host_name, ek_fingerprint, created_at, expires_at FROM token \
         WHERE hash = $1 AND used_at IS NULL AND expires_at > $2",
    )
    .bind(hash.0.as_bytes().as_slice())
    .bind(millis(now))
    .fetch_optional(&store.pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(TokenRecord {
        hash: TokenHash(bytes(&row, "hash", |hash| hash.try_into())?),
        host_name: optional_text(&row, "host_name")?,
        ek: optional_text(&row, "ek_fingerprint")?,
        created_at: time(&row, "created_at")?,
        expires_at: time(&row, "expires_at")?,
    }))
}

pub(super) async fn begin(
    store: &SqlStore,
    id: EnrollmentId,
    pending: &PendingEnrollment,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    sqlx::query("DELETE FROM pending_enrollment WHERE expires_at <= $1")
        .bind(millis(now))
        .execute(&mut *tx)
        .await?;
    let unfinished: i64 = sqlx::query_scalar("SELECT count(*) FROM pending_enrollment")
        .fetch_one(&mut *tx)
        .await?;
    if unfinished >= MAX_PENDING {
        return Err(StoreError::Full {
            what: "enrollments",
            limit: MAX_PENDING,
        });
    }
    sqlx::query("INSERT INTO pending_enrollment (id, expires_at, body) VALUES ($1, $2, $3)")
        .bind(id.0.as_slice())
        .bind(millis(pending.expires_at))
        .bind(to_json("body", pending)?)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn take(
    store: &SqlStore,
    id: EnrollmentId,
    now: Timestamp,
) -> Result<Option<PendingEnrollment>, StoreError> {
    let row =
        sqlx::query("DELETE FROM pending_enrollment WHERE id = $1 RETURNING expires_at, body")
            .bind(id.0.as_slice())
            .fetch_optional(&store.pool)
            .await?;
    let Some(row) = row else { return Ok(None) };
    if time(&row, "expires_at")? <= now {
        return Ok(None);
    }
    json(&row, "body").map(Some)
}

pub(super) async fn enroll(
    store: &SqlStore,
    host: &EnrolledHost,
    fresh_id: HostId,
    token: Option<TokenHash>,
    now: Timestamp,
) -> Result<Enrolling, StoreError> {
    let fingerprint = host
        .ek
        .key()
        .map(|key| EkFingerprint::of(&key))
        .ok_or(StoreError::Corrupt { field: "ek" })?;
    let mut tx = store.write().await?;
    let before = sqlx::query("SELECT id FROM host WHERE ek_fingerprint = $1")
        .bind(fingerprint.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    let enrolling = match before {
        None => {
            write_host(&mut tx, INSERT, host, fresh_id, fingerprint).await?;
            Enrolling::New(fresh_id)
        }
        Some(row) => {
            let id: HostId = text(&row, "id")?;
            if !write_host(&mut tx, UPDATE, host, id, fingerprint).await? {
                return Ok(Enrolling::Revoked(id));
            }
            if token.is_some() {
                // The operator who gave the token has answered for the machine as it is now.
                reference::clear(&mut tx, id).await?;
            }
            Enrolling::Renewed(id)
        }
    };
    if let (Enrolling::New(id) | Enrolling::Renewed(id), Some(token)) = (enrolling, token)
        && !use_up(&mut tx, token, id, now).await?
    {
        // Dropping the transaction takes the host back.
        return Ok(Enrolling::TokenGone);
    }
    tx.commit().await?;
    Ok(enrolling)
}

const INSERT: &str = "INSERT INTO host (id, revision, name, grade, ek_trust, ek_fingerprint, ek, \
    ak, checkpoint_key, audit_counter, anchor, last) \
    VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)";

const UPDATE: &str = "UPDATE host SET revision = revision + 1, name = $2, grade = $3, \
    ek_trust = $4, ek_fingerprint = $5, ek = $6, ak = $7, checkpoint_key = $8, \
    audit_counter = $9, anchor = $10, last = $10 WHERE id = $1 AND revoked_at IS NULL";

/// Writes a host's row, unless it was revoked; whether it did.
async fn write_host(
    tx: &mut Transaction<'_, Any>,
    statement: &'static str,
    host: &EnrolledHost,
    id: HostId,
    fingerprint: EkFingerprint,
) -> Result<bool, StoreError> {
    let written = sqlx::query(statement)
        .bind(id.to_string())
        .bind(host.name.to_string())
        .bind(to_word("grade", &host.grade)?)
        .bind(to_word("ek_trust", &host.trust)?)
        .bind(fingerprint.to_string())
        .bind(host.ek.as_bytes())
        .bind(host.ak.as_bytes())
        .bind(host.checkpoint_key.as_bytes())
        .bind(host.audit_counter.encode())
        .bind(to_json("anchor", &host.anchor)?)
        .execute(&mut **tx)
        .await?;
    Ok(written.rows_affected() == 1)
}

async fn use_up(
    tx: &mut Transaction<'_, Any>,
    token: TokenHash,
    host: HostId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let used = sqlx::query(
        "UPDATE token SET used_at = $1, used_by = $2 \
         WHERE hash = $3 AND used_at IS NULL AND expires_at > $1",
    )
    .bind(millis(now))
    .bind(host.to_string())
    .bind(token.0.as_bytes().as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(used.rows_affected() == 1)
}
