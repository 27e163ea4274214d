//! The rows of rollouts: held, read, put.
//!
//! Nothing is decided here, and no transaction ends here.

use std::num::NonZeroU32;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::any::AnyRow;

use super::super::reference::value;
use super::super::row::{millis, optional_text, plain, text, time, to_word, when, word};
use super::{StoreError, Tx};
use crate::group::GroupName;
use crate::registry::ReferencePcrs;
use crate::rollout::{
    Counted, Member, Offer, Part, Plan, Presence, Refused, Rollout, RolloutId, Rules, Shown, Stage,
    leave,
};

/// Whether a rollout is under way, which it then is until this transaction ends: nobody else decides about it.
pub(super) async fn hold(tx: &mut Tx<'_>, id: RolloutId) -> Result<bool, StoreError> {
    let held = sqlx::query(
        "UPDATE rollout SET revision = revision + 1 \
         WHERE id = $1 AND done_at IS NULL AND cancelled_at IS NULL",
    )
    .bind(number(id))
    .execute(&mut **tx)
    .await?;
    Ok(held.rows_affected() == 1)
}

/// Keeps others from writing what is known of a host, until this transaction ends: what is read next is the newest.
pub(super) async fn hold_member(
    tx: &mut Tx<'_>,
    id: RolloutId,
    host: HostId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE rollout_host SET part = part WHERE rollout = $1 AND host = $2")
        .bind(number(id))
        .bind(host.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The rollout under way that a host is in.
pub(super) async fn under_way(
    tx: &mut Tx<'_>,
    host: HostId,
) -> Result<Option<RolloutId>, StoreError> {
    let row = sqlx::query("SELECT rollout FROM rollout_host WHERE host = $1 AND under_way = 1")
        .bind(host.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(|row| key(row, "rollout")).transpose()
}

/// A rollout with its hosts.
pub(super) async fn read(tx: &mut Tx<'_>, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
    let row = sqlx::query(
        "SELECT host_group, canary_group, started_at, needed, hold_ms, canary_limit, general_limit, \
         general_at, braked_at, done_at, cancelled_at FROM rollout WHERE id = $1",
    )
    .bind(number(id))
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hold = u64::try_from(plain::<i64>(&row, "hold_ms")?);
    let mut rollout = Rollout {
        id,
        group: text(&row, "host_group")?,
        canary: text(&row, "canary_group")?,
        started_at: time(&row, "started_at")?,
        rules: Rules {
            needed: count(&row, "needed")?,
            hold: Duration::from_millis(hold.map_err(|_| corrupt("hold_ms"))?),
            canary_limit: count(&row, "canary_limit")?,
            general_limit: count(&row, "general_limit")?,
        },
        stage: stage(&row)?,
        members: Vec::new(),
    };
    let rows = sqlx::query(
        "SELECT m.host, m.part, m.shown_since, m.shown_last, m.refused_at, m.refused_why, m.heard_until, m.pardoned, \
         h.host_group, h.revoked_at, h.banned_at \
         FROM rollout_host m JOIN host h ON h.id = m.host WHERE m.rollout = $1 ORDER BY m.host",
    )
    .bind(number(id))
    .fetch_all(&mut **tx)
    .await?;
    for row in &rows {
        let mut member = member(row)?;
        let group: Option<GroupName> = optional_text(row, "host_group")?;
        let ordered_away = when(row, "revoked_at")?
            .or(when(row, "banned_at")?)
            .is_some();
        if ordered_away || group.as_ref() != Some(rollout.group_of(member.part)) {
            member.presence = Presence::Gone;
        }
        rollout.members.push(member);
    }
    Ok(Some(rollout))
}

/// What is known of a host in a rollout under way, and the stage.
pub(super) async fn member_of(
    tx: &mut Tx<'_>,
    id: RolloutId,
    host: HostId,
) -> Result<Option<(Stage, Member)>, StoreError> {
    let row = sqlx::query(
        "SELECT m.host, m.part, m.shown_since, m.shown_last, m.refused_at, m.refused_why, m.heard_until, m.pardoned, \
         r.general_at, r.braked_at, r.done_at, r.cancelled_at \
         FROM rollout_host m JOIN rollout r ON r.id = m.rollout WHERE m.rollout = $1 AND m.host = $2",
    )
    .bind(number(id))
    .bind(host.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref()
        .map(|row| Ok((stage(row)?, member(row)?)))
        .transpose()
}

/// What the rollout that a host is in means for it, if it is still in the group that it was in then.
pub(super) async fn offer_of(
    tx: &mut Tx<'_>,
    host: HostId,
    group: Option<&GroupName>,
) -> Result<Option<Offer>, StoreError> {
    let row = sqlx::query(
        "SELECT m.rollout, m.host, m.part, m.shown_since, m.shown_last, m.refused_at, m.refused_why, m.heard_until, m.pardoned, \
         r.host_group, r.canary_group, r.general_at, r.braked_at, r.done_at, r.cancelled_at \
         FROM rollout_host m JOIN rollout r ON r.id = m.rollout WHERE m.host = $1 AND m.under_way = 1",
    )
    .bind(host.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (id, member) = (key(&row, "rollout")?, member(&row)?);
    let of_part: GroupName = match member.part {
        Part::Canary => text(&row, "canary_group")?,
        Part::General => text(&row, "host_group")?,
    };
    if group != Some(&of_part) {
        return Ok(None);
    }
    let rows =
        sqlx::query("SELECT bank, pcr, value FROM rollout_value WHERE rollout = $1 AND host = $2")
            .bind(number(id))
            .bind(host.to_string())
            .fetch_all(&mut **tx)
            .await?;
    let mut values = ReferencePcrs::default();
    for row in &rows {
        let (index, value) = value(row)?;
        if !values.0.insert(index, value) {
            return Err(corrupt("rollout_value"));
        }
    }
    Ok(Some(Offer {
        rollout: id,
        part: member.part,
        values,
        leave: leave(stage(&row)?, member.part),
        shown: member.shown,
        refused: member.refused,
    }))
}

/// Adds a rollout with its hosts.
pub(super) async fn put_planned(
    tx: &mut Tx<'_>,
    plan: &Plan,
    now: Timestamp,
) -> Result<RolloutId, StoreError> {
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM rollout")
        .fetch_one(&mut **tx)
        .await?;
    let next = u32::try_from(last)
        .ok()
        .and_then(|last| last.checked_add(1));
    let id = next.and_then(NonZeroU32::new).map(RolloutId);
    let id = id.ok_or_else(|| corrupt("rollout.id"))?;
    sqlx::query(
        "INSERT INTO rollout (id, host_group, canary_group, started_at, needed, hold_ms, canary_limit, general_limit) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(number(id))
    .bind(plan.group.to_string())
    .bind(plan.canary.to_string())
    .bind(millis(now))
    .bind(i64::from(plan.rules.needed.get()))
    .bind(i64::try_from(plan.rules.hold.as_millis()).unwrap_or(i64::MAX))
    .bind(i64::from(plan.rules.canary_limit.get()))
    .bind(i64::from(plan.rules.general_limit.get()))
    .execute(&mut **tx)
    .await?;
    for planned in &plan.members {
        sqlx::query(
            "INSERT INTO rollout_host (rollout, host, part, heard_until, pardoned) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(number(id))
        .bind(planned.host.to_string())
        .bind(to_word("part", &planned.part)?)
        .bind(millis(planned.heard_until))
        .bind(i64::from(planned.counted == Counted::Pardoned))
        .execute(&mut **tx)
        .await?;
        for (index, value) in planned.values.iter() {
            sqlx::query(
                "INSERT INTO rollout_value (rollout, host, bank, pcr, value) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(number(id))
            .bind(planned.host.to_string())
            .bind(i64::from(value.alg().id()))
            .bind(i64::from(index.get()))
            .bind(value.as_bytes())
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(id)
}

/// Writes what is known of a host.
pub(super) async fn put_member(
    tx: &mut Tx<'_>,
    id: RolloutId,
    member: &Member,
) -> Result<(), StoreError> {
    let Member {
        host,
        part: _,
        presence: _,
        shown,
        refused,
        heard_until,
        counted,
    } = member;
    sqlx::query(
        "UPDATE rollout_host SET shown_since = $3, shown_last = $4, refused_at = $5, refused_why = $6, \
         heard_until = $7, pardoned = $8 WHERE rollout = $1 AND host = $2",
    )
    .bind(number(id))
    .bind(host.to_string())
    .bind(shown.map(|shown| millis(shown.since)))
    .bind(shown.map(|shown| millis(shown.last)))
    .bind(refused.as_ref().map(|refused| millis(refused.at)))
    .bind(refused.as_ref().map(|refused| refused.why.clone()))
    .bind(millis(*heard_until))
    .bind(i64::from(*counted == Counted::Pardoned))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has a host's failure not count; what else is known of the host may have changed since it was read.
pub(super) async fn put_pardoned(
    tx: &mut Tx<'_>,
    id: RolloutId,
    host: HostId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE rollout_host SET pardoned = 1 WHERE rollout = $1 AND host = $2")
        .bind(number(id))
        .bind(host.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes how far a rollout is. One that is over has no host in it any more.
pub(super) async fn put_stage(
    tx: &mut Tx<'_>,
    id: RolloutId,
    stage: Stage,
) -> Result<(), StoreError> {
    let (braked, done, cancelled) = match stage {
        Stage::Canary | Stage::General { .. } => (None, None, None),
        Stage::Braked { at, .. } => (Some(at), None, None),
        Stage::Done { at } => (None, Some(at), None),
        Stage::Cancelled { at } => (None, None, Some(at)),
    };
    sqlx::query(
        "UPDATE rollout SET general_at = coalesce($2, general_at), braked_at = $3, done_at = $4, cancelled_at = $5 \
         WHERE id = $1",
    )
    .bind(number(id))
    .bind(stage.general_since().map(millis))
    .bind(braked.map(millis))
    .bind(done.map(millis))
    .bind(cancelled.map(millis))
    .execute(&mut **tx)
    .await?;
    if stage.is_over() {
        sqlx::query("UPDATE rollout_host SET under_way = 0 WHERE rollout = $1")
            .bind(number(id))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

fn stage(row: &AnyRow) -> Result<Stage, StoreError> {
    let general = when(row, "general_at")?;
    if let Some(at) = when(row, "cancelled_at")? {
        return Ok(Stage::Cancelled { at });
    }
    if let Some(at) = when(row, "done_at")? {
        return Ok(Stage::Done { at });
    }
    if let Some(at) = when(row, "braked_at")? {
        return Ok(Stage::Braked { at, general });
    }
    Ok(general.map_or(Stage::Canary, |since| Stage::General { since }))
}

fn member(row: &AnyRow) -> Result<Member, StoreError> {
    let shown = match (when(row, "shown_since")?, when(row, "shown_last")?) {
        (None, None) => None,
        (Some(since), Some(last)) => Some(Shown { since, last }),
        (Some(_), None) | (None, Some(_)) => return Err(corrupt("shown_last")),
    };
    let refused = when(row, "refused_at")?
        .map(|at| {
            let why = plain::<String>(row, "refused_why")?;
            Ok::<_, StoreError>(Refused { at, why })
        })
        .transpose()?;
    Ok(Member {
        host: text(row, "host")?,
        part: word(row, "part")?,
        presence: Presence::Here,
        shown,
        refused,
        heard_until: time(row, "heard_until")?,
        counted: match plain::<i64>(row, "pardoned")? {
            0 => Counted::Yes,
            _ => Counted::Pardoned,
        },
    })
}

/// A column that names a rollout.
pub(super) fn key(row: &AnyRow, column: &'static str) -> Result<RolloutId, StoreError> {
    count(row, column).map(RolloutId)
}

fn count(row: &AnyRow, column: &'static str) -> Result<NonZeroU32, StoreError> {
    let number = u32::try_from(plain::<i64>(row, column)?).ok();
    number
        .and_then(NonZeroU32::new)
        .ok_or_else(|| corrupt(column))
}

fn number(id: RolloutId) -> i64 {
    i64::from(id.0.get())
}

fn corrupt(field: &'static str) -> StoreError {
    StoreError::Corrupt { field }
}
