//! Hosts after their enrollment: read, accepted.
//!
//! Every write counts the row's revision up, so that an answer made from an older reading fails.

use holdfast_proof::tpm::{NvPublic, Public};
use holdfast_protocol::id::HostId;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::reference::{self, Held};
use super::row::{bytes, json, optional_text, plain, text, to_json, when, word};
use super::{SqlStore, StoreError, log, rollout};
use crate::registry::{EnrolledHost, Host, ImaState, Revision, Standing, Verdict};
use crate::store::{Acceptance, Found, Given};

const COLUMNS: &str = "SELECT id, revision, name, grade, ek_trust, ek, ak, checkpoint_key, \
    audit_counter, anchor, last, ima, revoked_at, revoked_why, banned_at, banned_why, reattest_at, host_group \
    FROM host ORDER BY id";

const ONE: &str = "SELECT id, revision, name, grade, ek_trust, ek, ak, checkpoint_key, \
    audit_counter, anchor, last, ima, revoked_at, revoked_why, banned_at, banned_why, reattest_at, host_group \
    FROM host WHERE id = $1";

pub(super) async fn one(store: &SqlStore, id: HostId) -> Result<Option<Host>, StoreError> {
    // One transaction, so that row and reference are of the same moment.
    let mut tx = store.read().await?;
    let row = sqlx::query(ONE)
        .bind(id.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let held = reference::held(&mut tx, id).await?;
    let mut host = read(&row, held)?;
    host.rollout = rollout::offer(&mut tx, id, host.group.as_ref()).await?;
    Ok(Some(host))
}

pub(super) async fn given(store: &SqlStore, id: HostId) -> Result<Option<Given>, StoreError> {
    let row = sqlx::query(
        "SELECT revoked_at, revoked_why, banned_at, banned_why, reattest_at, host_group FROM host WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(&store.pool)
    .await?;
    let given = |row: &AnyRow| {
        Ok(Given {
            standing: standing(row)?,
            reattest: when(row, "reattest_at")?,
            group: optional_text(row, "host_group")?,
        })
    };
    row.as_ref().map(given).transpose()
}

pub(super) async fn all(store: &SqlStore) -> Result<Vec<Host>, StoreError> {
    let mut tx = store.read().await?;
    let rows = sqlx::query(COLUMNS).fetch_all(&mut *tx).await?;
    let mut hosts = Vec::with_capacity(rows.len());
    for row in &rows {
        let held = reference::held(&mut tx, text(row, "id")?).await?;
        let mut host = read(row, held)?;
        host.rollout = rollout::offer(&mut tx, host.id, host.group.as_ref()).await?;
        hosts.push(host);
    }
    Ok(hosts)
}

pub(super) async fn accept(store: &SqlStore, acceptance: &Acceptance) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let updated = sqlx::query(
        "UPDATE host SET revision = revision + 1, last = $1, ima = coalesce($2, ima) \
         WHERE id = $3 AND revision = $4 AND revoked_at IS NULL AND banned_at IS NULL",
    )
    .bind(to_json("last", &acceptance.observed)?)
    .bind(ima(acceptance.ima.as_ref())?)
    .bind(acceptance.host.to_string())
    .bind(acceptance.revision.0)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() != 1 {
        return Err(StoreError::Conflict);
    }
    reference::accept(&mut tx, acceptance).await?;
    rollout::accept(&mut tx, acceptance).await?;
    log::verdict(&mut tx, &acceptance.verdict).await?;
    log::svid(&mut tx, &acceptance.svid).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn refuse_ahead(
    store: &SqlStore,
    host: HostId,
    revision: Revision,
    state: &ImaState,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let updated = sqlx::query(
        "UPDATE host SET revision = revision + 1, ima = $1 \
         WHERE id = $2 AND revision = $3 AND revoked_at IS NULL AND banned_at IS NULL",
    )
    .bind(ima(Some(state))?)
    .bind(host.to_string())
    .bind(revision.0)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() != 1 {
        return Err(StoreError::Conflict);
    }
    log::verdict(&mut tx, verdict).await?;
    Ok(tx.commit().await?)
}

fn ima(state: Option<&ImaState>) -> Result<Option<String>, StoreError> {
    state.map(|state| to_json("ima", state)).transpose()
}

pub(super) async fn found(
    tx: &mut Transaction<'_, Any>,
    id: HostId,
    changed: u64,
) -> Result<Found, StoreError> {
    if changed > 0 {
        return Ok(Found::Changed);
    }
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM host WHERE id = $1")
        .bind(id.to_string())
        .fetch_one(&mut **tx)
        .await?;
    Ok(match known {
        0 => Found::Unknown,
        _ => Found::Unchanged,
    })
}

fn read(row: &AnyRow, held: Held) -> Result<Host, StoreError> {
    Ok(Host {
        id: text(row, "id")?,
        revision: Revision(plain(row, "revision")?),
        enrolled: EnrolledHost {
            name: text(row, "name")?,
            grade: word(row, "grade")?,
            trust: word(row, "ek_trust")?,
            ek: bytes(row, "ek", Public::parse)?,
            ak: bytes(row, "ak", Public::parse)?,
            checkpoint_key: bytes(row, "checkpoint_key", Public::parse)?,
            audit_counter: bytes(row, "audit_counter", NvPublic::parse)?,
            anchor: json(row, "anchor")?,
        },
        standing: standing(row)?,
        group: optional_text(row, "host_group")?,
        reattest: when(row, "reattest_at")?,
        last: json(row, "last")?,
        reference: held.reference,
        ahead: held.ahead,
        rollout: None,
        events: held.events,
        ima: match plain::<Option<&str>>(row, "ima")? {
            None => None,
            Some(_) => Some(json(row, "ima")?),
        },
    })
}

fn standing(row: &AnyRow) -> Result<Standing, StoreError> {
    // A revocation outweighs a ban.
    if let Some(at) = when(row, "revoked_at")? {
        let why = plain(row, "revoked_why")?;
        return Ok(Standing::Revoked { at, why });
    }
    Ok(match when(row, "banned_at")? {
        Some(at) => Standing::Banned {
            at,
            why: plain(row, "banned_why")?,
        },
        None => Standing::Active,
    })
}
