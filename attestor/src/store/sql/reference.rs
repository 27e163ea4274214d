//! The boots that hosts are held to, each a set of values under the role that it plays.
//!
//! A decision renames roles in one transaction and counts the host's revision up, so that evidence which was judged by
//! another reference is not accepted.

mod rows;

use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;

use super::hosts::found;
use super::row::plain;
use super::{SqlStore, StoreError, log};
use crate::reference::{Boot, ProposalId, References};
use crate::registry::{EventsKept, ReferencePcrs, Verdict};
use crate::store::{Acceptance, Approval, Found, ReferenceStore};
use crate::verify_host::Update;
pub(super) use rows::value;
use rows::{
    Role, Tx, corrupt, date, drop_set, drop_values, kept, put_set, put_values, rename, values,
};

/// What evidence of a host is judged by.
pub(super) struct Held {
    pub(super) reference: ReferencePcrs,
    pub(super) ahead: ReferencePcrs,
    pub(super) events: EventsKept,
}

pub(super) async fn held(tx: &mut Tx<'_>, id: HostId) -> Result<Held, StoreError> {
    // One statement, because every attestation asks.
    let rows = sqlx::query(
        "SELECT role, bank, pcr, value, (SELECT count(*) FROM reference_set \
         WHERE host = $1 AND role = 'current' AND events IS NOT NULL) AS kept \
         FROM reference_value WHERE host = $1 AND role IN ('current', 'ahead')",
    )
    .bind(id.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let mut held = Held {
        reference: ReferencePcrs::default(),
        ahead: ReferencePcrs::default(),
        events: EventsKept::No,
    };
    for row in &rows {
        let (index, value) = value(row)?;
        let of_role = match plain::<&str>(row, "role")? {
            "ahead" => &mut held.ahead.0,
            _ => &mut held.reference.0,
        };
        if !of_role.insert(index, value) {
            return Err(corrupt());
        }
        if plain::<i64>(row, "kept")? > 0 {
            held.events = EventsKept::Yes;
        }
    }
    Ok(held)
}

/// Forgets all boots of a host; whether it had a reference.
pub(super) async fn clear(tx: &mut Tx<'_>, id: HostId) -> Result<u64, StoreError> {
    let forgotten = sqlx::query("DELETE FROM reference_value WHERE host = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM reference_set WHERE host = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(forgotten.rows_affected())
}

pub(super) async fn forget(store: &SqlStore, id: HostId) -> Result<Found, StoreError> {
    let mut tx = store.write().await?;
    let forgotten = clear(&mut tx, id).await?;
    count_up(&mut tx, id).await?;
    let found = found(&mut tx, id, forgotten).await?;
    tx.commit().await?;
    Ok(found)
}

/// What an acceptance changes of its host's reference; the host's row is written by the same transaction.
pub(super) async fn accept(tx: &mut Tx<'_>, acceptance: &Acceptance) -> Result<(), StoreError> {
    let (id, at) = (acceptance.host, acceptance.observed.at);
    let learned = match &acceptance.update {
        Update::Seen(values) => {
            drop_set(tx, id, Role::Ahead).await?;
            drop_set(tx, id, Role::Previous).await?;
            rename(tx, id, Role::Current, Role::Previous).await?;
            values
        }
        Update::Unseen => &acceptance.learned,
    };
    put_values(tx, id, Role::Current, learned).await?;
    if !learned.is_empty() || acceptance.events.is_some() {
        let events = acceptance.events.as_ref();
        put_set(tx, id, Role::Current, at, None, events).await?;
    }
    Ok(())
}

impl ReferenceStore for SqlStore {
    async fn references(&self, id: HostId) -> Result<Option<References>, StoreError> {
        let mut tx = self.read().await?;
        if found(&mut tx, id, 0).await? == Found::Unknown {
            return Ok(None);
        }
        Ok(Some(References {
            current: kept(&mut tx, id, Role::Current).await?,
            previous: kept(&mut tx, id, Role::Previous).await?,
            proposed: kept(&mut tx, id, Role::Proposed).await?,
            ahead: kept(&mut tx, id, Role::Ahead).await?,
        }))
    }

    async fn propose(
        &self,
        host: HostId,
        boot: &Boot,
        verdict: &Verdict,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let name = boot.name();
        let known: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM reference_set WHERE host = $1 AND proposal = $2 AND role IN ('proposed', 'rejected')",
        )
        .bind(host.to_string())
        .bind(name.to_string())
        .fetch_one(&mut *tx)
        .await?;
        if known == 0 {
            drop_set(&mut tx, host, Role::Proposed).await?;
            let events = boot.events.as_ref();
            put_set(
                &mut tx,
                host,
                Role::Proposed,
                verdict.at,
                Some(name),
                events,
            )
            .await?;
            put_values(&mut tx, host, Role::Proposed, &boot.values).await?;
        }
        log::verdict(&mut tx, verdict).await?;
        Ok(tx.commit().await?)
    }

    async fn approve_boot(
        &self,
        id: HostId,
        seen: ProposalId,
        now: Timestamp,
    ) -> Result<Approval, StoreError> {
        let mut tx = self.write().await?;
        // The host's row first, as every other writer takes it.
        count_up(&mut tx, id).await?;
        if !is_proposed(&mut tx, id, seen).await? {
            return Ok(Approval::Gone);
        }
        let before = values(&mut tx, id, Role::Current).await?;
        if !before.is_empty() {
            drop_set(&mut tx, id, Role::Previous).await?;
            rename(&mut tx, id, Role::Current, Role::Previous).await?;
        }
        drop_set(&mut tx, id, Role::Current).await?;
        rename(&mut tx, id, Role::Proposed, Role::Current).await?;
        date(&mut tx, id, Role::Current, now).await?;
        tx.commit().await?;
        Ok(Approval::Done)
    }

    async fn reject_boot(&self, id: HostId, seen: ProposalId) -> Result<Approval, StoreError> {
        let mut tx = self.write().await?;
        if !is_proposed(&mut tx, id, seen).await? {
            return Ok(Approval::Gone);
        }
        drop_set(&mut tx, id, Role::Rejected).await?;
        rename(&mut tx, id, Role::Proposed, Role::Rejected).await?;
        sqlx::query("UPDATE reference_set SET events = NULL WHERE host = $1 AND role = 'rejected'")
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        drop_values(&mut tx, id, Role::Rejected).await?;
        tx.commit().await?;
        Ok(Approval::Done)
    }

    async fn roll_back(&self, id: HostId, now: Timestamp) -> Result<Found, StoreError> {
        let mut tx = self.write().await?;
        count_up(&mut tx, id).await?;
        let before = values(&mut tx, id, Role::Previous).await?;
        if before.is_empty() {
            return found(&mut tx, id, 0).await;
        }
        rename(&mut tx, id, Role::Current, Role::Swapped).await?;
        rename(&mut tx, id, Role::Previous, Role::Current).await?;
        rename(&mut tx, id, Role::Swapped, Role::Previous).await?;
        date(&mut tx, id, Role::Current, now).await?;
        // An update that was accepted ahead was one of the reference that goes.
        drop_set(&mut tx, id, Role::Ahead).await?;
        tx.commit().await?;
        Ok(Found::Changed)
    }

    async fn accept_ahead(
        &self,
        id: HostId,
        values: &PcrValues,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        let mut tx = self.write().await?;
        if count_up(&mut tx, id).await? == 0 {
            return Ok(Found::Unknown);
        }
        drop_set(&mut tx, id, Role::Ahead).await?;
        put_set(&mut tx, id, Role::Ahead, now, None, None).await?;
        put_values(&mut tx, id, Role::Ahead, values).await?;
        tx.commit().await?;
        Ok(Found::Changed)
    }
}

async fn count_up(tx: &mut Tx<'_>, id: HostId) -> Result<u64, StoreError> {
    let counted = sqlx::query("UPDATE host SET revision = revision + 1 WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(counted.rows_affected())
}

async fn is_proposed(tx: &mut Tx<'_>, id: HostId, seen: ProposalId) -> Result<bool, StoreError> {
    let proposed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM reference_set WHERE host = $1 AND role = 'proposed' AND proposal = $2",
    )
    .bind(id.to_string())
    .bind(seen.to_string())
    .fetch_one(&mut **tx)
    .await?;
    Ok(proposed > 0)
}
