//! Sets of values and their rows: put, read, renamed, dropped.
//!
//! Nothing is decided here, and no transaction ends here.

use holdfast_proof::event_log::BootEvents;
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrValues};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::super::StoreError;
use super::super::row::{json, millis, plain, time, to_json};
use crate::reference::{Boot, KeptBoot, ProposalId};

pub(super) type Tx<'a> = Transaction<'a, Any>;

/// The part that a set of values plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The host is held to it.
    Current,
    /// It was, before.
    Previous,
    /// It waits for an operator.
    Proposed,
    /// An operator does not want it; its name alone is kept.
    Rejected,
    /// It becomes the current one once it is seen.
    Ahead,
    /// Only within a transaction that swaps two others.
    Swapped,
}

impl Role {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Proposed => "proposed",
            Self::Rejected => "rejected",
            Self::Ahead => "ahead",
            Self::Swapped => "swapped",
        }
    }
}

pub(super) async fn rename(
    tx: &mut Tx<'_>,
    id: HostId,
    from: Role,
    to: Role,
) -> Result<(), StoreError> {
    for statement in [
        "UPDATE reference_set SET role = $3 WHERE host = $1 AND role = $2",
        "UPDATE reference_value SET role = $3 WHERE host = $1 AND role = $2",
    ] {
        sqlx::query(statement)
            .bind(id.to_string())
            .bind(from.word())
            .bind(to.word())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn date(
    tx: &mut Tx<'_>,
    id: HostId,
    role: Role,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE reference_set SET at = $3, proposal = NULL WHERE host = $1 AND role = $2")
        .bind(id.to_string())
        .bind(role.word())
        .bind(millis(at))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn drop_set(tx: &mut Tx<'_>, id: HostId, role: Role) -> Result<(), StoreError> {
    drop_values(tx, id, role).await?;
    sqlx::query("DELETE FROM reference_set WHERE host = $1 AND role = $2")
        .bind(id.to_string())
        .bind(role.word())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn drop_values(tx: &mut Tx<'_>, id: HostId, role: Role) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM reference_value WHERE host = $1 AND role = $2")
        .bind(id.to_string())
        .bind(role.word())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn put_set(
    tx: &mut Tx<'_>,
    id: HostId,
    role: Role,
    at: Timestamp,
    name: Option<ProposalId>,
    events: Option<&BootEvents>,
) -> Result<(), StoreError> {
    let events = events.map(|events| to_json("events", events)).transpose()?;
    sqlx::query(
        "INSERT INTO reference_set (host, role, at, proposal, events) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (host, role) DO UPDATE SET at = $3, proposal = $4, \
         events = coalesce($5, reference_set.events)",
    )
    .bind(id.to_string())
    .bind(role.word())
    .bind(millis(at))
    .bind(name.map(|name| name.to_string()))
    .bind(events)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn put_values(
    tx: &mut Tx<'_>,
    id: HostId,
    role: Role,
    values: &PcrValues,
) -> Result<(), StoreError> {
    for (index, value) in values.iter() {
        sqlx::query(
            "INSERT INTO reference_value (host, role, bank, pcr, value) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id.to_string())
        .bind(role.word())
        .bind(i64::from(value.alg().id()))
        .bind(i64::from(index.get()))
        .bind(value.as_bytes())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

pub(super) async fn kept(
    tx: &mut Tx<'_>,
    id: HostId,
    role: Role,
) -> Result<Option<KeptBoot>, StoreError> {
    let row = sqlx::query("SELECT at, events FROM reference_set WHERE host = $1 AND role = $2")
        .bind(id.to_string())
        .bind(role.word())
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(KeptBoot {
        at: time(&row, "at")?,
        boot: Boot {
            values: values(tx, id, role).await?,
            events: match plain::<Option<&str>>(&row, "events")? {
                None => None,
                Some(_) => Some(json(&row, "events")?),
            },
        },
    }))
}

pub(super) async fn values(
    tx: &mut Tx<'_>,
    id: HostId,
    role: Role,
) -> Result<PcrValues, StoreError> {
    let rows =
        sqlx::query("SELECT bank, pcr, value FROM reference_value WHERE host = $1 AND role = $2")
            .bind(id.to_string())
            .bind(role.word())
            .fetch_all(&mut **tx)
            .await?;
    let mut values = PcrValues::new();
    for row in &rows {
        let (index, value) = value(row)?;
        if !values.insert(index, value) {
            return Err(corrupt());
        }
    }
    Ok(values)
}

pub(in crate::store::sql) fn value(row: &AnyRow) -> Result<(PcrIndex, Digest), StoreError> {
    let bank = u16::try_from(plain::<i64>(row, "bank")?)
        .ok()
        .and_then(HashAlg::from_id)
        .ok_or_else(corrupt)?;
    let index = u8::try_from(plain::<i64>(row, "pcr")?)
        .ok()
        .and_then(PcrIndex::new)
        .ok_or_else(corrupt)?;
    let value = Digest::new(bank, plain(row, "value")?).ok_or_else(corrupt)?;
    Ok((index, value))
}

pub(super) fn corrupt() -> StoreError {
    StoreError::Corrupt {
        field: "reference_value",
    }
}
