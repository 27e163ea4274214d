//! What operators order about hosts.
//!
//! An order and the news of it are one transaction: neither is ever there without the other.

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::any::AnyArguments;
use sqlx::{Any, query::Query};

use super::hosts::found;
use super::row::millis;
use super::{SqlStore, StoreError, news};
use crate::group::GroupName;
use crate::store::Found;

pub(super) async fn revoke(
    store: &SqlStore,
    id: HostId,
    why: &str,
    now: Timestamp,
) -> Result<Found, StoreError> {
    let update = sqlx::query(
        "UPDATE host SET revision = revision + 1, revoked_at = $2, revoked_why = $3 \
         WHERE id = $1 AND revoked_at IS NULL",
    );
    let bound = update.bind(id.to_string()).bind(millis(now));
    order(store, id, bound.bind(why.to_owned())).await
}

pub(super) async fn ban(
    store: &SqlStore,
    id: HostId,
    why: &str,
    now: Timestamp,
) -> Result<Found, StoreError> {
    let update = sqlx::query(
        "UPDATE host SET revision = revision + 1, banned_at = $2, banned_why = $3 \
         WHERE id = $1 AND banned_at IS NULL AND revoked_at IS NULL",
    );
    let bound = update.bind(id.to_string()).bind(millis(now));
    order(store, id, bound.bind(why.to_owned())).await
}

pub(super) async fn unban(store: &SqlStore, id: HostId) -> Result<Found, StoreError> {
    let update = sqlx::query(
        "UPDATE host SET revision = revision + 1, banned_at = NULL, banned_why = NULL \
         WHERE id = $1 AND banned_at IS NOT NULL",
    );
    order(store, id, update.bind(id.to_string())).await
}

pub(super) async fn ask_reattest(
    store: &SqlStore,
    id: HostId,
    now: Timestamp,
) -> Result<Found, StoreError> {
    // The revision stays: an attestation that is under way is none the worse for it.
    let update = sqlx::query("UPDATE host SET reattest_at = $2 WHERE id = $1");
    order(store, id, update.bind(id.to_string()).bind(millis(now))).await
}

pub(super) async fn set_group(
    store: &SqlStore,
    id: HostId,
    group: Option<&GroupName>,
) -> Result<Found, StoreError> {
    // The revision goes up: what was judged by the policy before is not accepted any more.
    let update =
        sqlx::query("UPDATE host SET revision = revision + 1, host_group = $2 WHERE id = $1");
    let group = group.map(ToString::to_string);
    order(store, id, update.bind(id.to_string()).bind(group)).await
}

/// Carries out an update of one host, and leaves the news of it.
async fn order(
    store: &SqlStore,
    id: HostId,
    update: Query<'_, Any, AnyArguments>,
) -> Result<Found, StoreError> {
    let mut tx = store.write().await?;
    let changed = update.execute(&mut *tx).await?;
    let found = found(&mut tx, id, changed.rows_affected()).await?;
    if found == Found::Changed {
        news::leave(&mut tx, store.engine, id).await?;
    }
    tx.commit().await?;
    Ok(found)
}
