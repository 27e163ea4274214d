//! The verdict log and the list of issued SVIDs.
//!
//! Both are bounded, because strangers can cause entries; neither is the audit log, which hosts
//! keep and mirror.

use holdfast_protocol::id::HostId;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::row::{json, millis, plain, text, time, to_json, to_word, word};
use super::{SqlStore, StoreError};
use crate::registry::{IssuedSvid, Verdict};

/// How many verdicts are kept for each host, and as many for those that never were one.
const MAX_VERDICTS: i64 = 1000;

/// How long an SVID is remembered after its end, in milliseconds: 90 days.
const SVID_MEMORY: i64 = 90 * 24 * 3600 * 1000;

pub(super) async fn verdict(
    tx: &mut Transaction<'_, Any>,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    let host = verdict.host.map(|host| host.to_string());
    sqlx::query("INSERT INTO verdict (at, host, outcome, judged) VALUES ($1, $2, $3, $4)")
        .bind(millis(verdict.at))
        .bind(&host)
        .bind(to_word("outcome", &verdict.outcome)?)
        .bind(to_json("judged", &verdict.judged)?)
        .execute(&mut **tx)
        .await?;
    // Two statements, because `IS NOT DISTINCT FROM` uses no index in PostgreSQL.
    let trim = match host {
        Some(host) => sqlx::query(
            "DELETE FROM verdict WHERE host = $2 AND id <= \
             (SELECT id FROM verdict WHERE host = $2 ORDER BY id DESC LIMIT 1 OFFSET $1)",
        )
        .bind(MAX_VERDICTS)
        .bind(host),
        None => sqlx::query(
            "DELETE FROM verdict WHERE host IS NULL AND id <= \
             (SELECT id FROM verdict WHERE host IS NULL ORDER BY id DESC LIMIT 1 OFFSET $1)",
        )
        .bind(MAX_VERDICTS),
    };
    trim.execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn verdicts(
    store: &SqlStore,
    host: HostId,
    limit: u32,
) -> Result<Vec<Verdict>, StoreError> {
    sqlx::query(
        "SELECT at, host, outcome, judged FROM verdict WHERE host = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(host.to_string())
    .bind(i64::from(limit))
    .fetch_all(&store.pool)
    .await?
    .iter()
    .map(read_verdict)
    .collect()
}

fn read_verdict(row: &AnyRow) -> Result<Verdict, StoreError> {
    let host: Option<&str> = plain(row, "host")?;
    Ok(Verdict {
        at: time(row, "at")?,
        host: match host {
            Some(_) => Some(text(row, "host")?),
            None => None,
        },
        outcome: word(row, "outcome")?,
        judged: json(row, "judged")?,
    })
}

/// Remembers an SVID, if its host may have one: whether it may is asked in the same statement, so that a ban which has
/// come first is not overlooked.
pub(super) async fn svid(
    tx: &mut Transaction<'_, Any>,
    svid: &IssuedSvid,
) -> Result<(), StoreError> {
    let added = sqlx::query(
        "INSERT INTO svid (host, spiffe_id, kind, issued_at, expires_at) SELECT $1, $2, $3, $4, $5 \
         FROM host WHERE id = $1 AND revoked_at IS NULL AND banned_at IS NULL",
    )
    .bind(svid.host.to_string())
    .bind(svid.spiffe_id.to_string())
    .bind(to_json("kind", &svid.kind)?)
    .bind(millis(svid.issued_at))
    .bind(millis(svid.expires_at))
    .execute(&mut **tx)
    .await?;
    if added.rows_affected() != 1 {
        return Err(StoreError::Conflict);
    }
    sqlx::query("DELETE FROM svid WHERE expires_at < $1")
        .bind(millis(svid.issued_at).saturating_sub(SVID_MEMORY))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
