//! Rollouts: begun, settled, resumed, ended; and what an attestation writes of its host's part.
//!
//! Whoever decides about a rollout holds its row from before the facts are read until the decision is written. Locks are
//! taken in the order host, rollout, rollout's host.

mod rows;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use sqlx::{Any, Transaction};

use super::{SqlStore, StoreError, log};
use crate::group::GroupName;
use crate::registry::{Judged, Outcome, Verdict};
use crate::rollout::{
    Condition, Counted, Leave, Offer, Plan, Rollout, RolloutId, Showing, Stage, heard_until, leave,
};
use crate::store::{Acceptance, Found, RolloutStore, Starting, Turn};
use rows::{
    hold, hold_member, key, member_of, offer_of, put_member, put_pardoned, put_planned, put_stage,
    read, under_way,
};

pub(super) type Tx<'a> = Transaction<'a, Any>;

/// What the rollout that a host is in means for it.
pub(super) async fn offer(
    tx: &mut Tx<'_>,
    id: HostId,
    group: Option<&GroupName>,
) -> Result<Option<Offer>, StoreError> {
    offer_of(tx, id, group).await
}

/// What an acceptance says of its host in a rollout; the host's row is written by the same transaction.
pub(super) async fn accept(tx: &mut Tx<'_>, acceptance: &Acceptance) -> Result<(), StoreError> {
    let Some((id, showing)) = acceptance.rollout else {
        return Ok(());
    };
    // Leave that was read may have been taken back since.
    let taken = showing == Showing::Taken;
    if taken && !hold(tx, id).await? {
        return Err(StoreError::Conflict);
    }
    hold_member(tx, id, acceptance.host).await?;
    let Some((stage, mut member)) = member_of(tx, id, acceptance.host).await? else {
        return Err(StoreError::Conflict);
    };
    if taken && leave(stage, member.part) != Leave::Given {
        return Err(StoreError::Conflict);
    }
    let until = heard_until(acceptance.svid.expires_at);
    member.verified(showing, until, acceptance.observed.at);
    put_member(tx, id, &member).await
}

impl RolloutStore for SqlStore {
    async fn start_rollout(&self, plan: &Plan, now: Timestamp) -> Result<Starting, StoreError> {
        let mut tx = self.write().await?;
        for planned in &plan.members {
            if let Some(id) = under_way(&mut tx, planned.host).await? {
                return Ok(Starting::UnderWay(id));
            }
        }
        let id = put_planned(&mut tx, plan, now).await?;
        tx.commit().await?;
        Ok(Starting::Started(id))
    }

    async fn rollouts(&self) -> Result<Vec<Rollout>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sqlx::query("SELECT id FROM rollout ORDER BY id DESC")
            .fetch_all(&mut *tx)
            .await?;
        let mut rollouts = Vec::with_capacity(rows.len());
        for row in &rows {
            rollouts.extend(read(&mut tx, key(row, "id")?).await?);
        }
        Ok(rollouts)
    }

    async fn rollout(&self, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
        read(&mut self.read().await?, id).await
    }

    async fn rollouts_under_way(&self) -> Result<Vec<RolloutId>, StoreError> {
        sqlx::query(
            "SELECT id FROM rollout WHERE done_at IS NULL AND cancelled_at IS NULL ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|row| key(row, "id"))
        .collect()
    }

    async fn settle_rollout(
        &self,
        id: RolloutId,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let mut tx = self.write().await?;
        if !hold(&mut tx, id).await? {
            return Ok(None);
        }
        let turn = settle(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(turn)
    }

    async fn refused_in_rollout(
        &self,
        id: RolloutId,
        host: HostId,
        why: &str,
        now: Timestamp,
    ) -> Result<Option<Turn>, StoreError> {
        let mut tx = self.write().await?;
        if !hold(&mut tx, id).await? {
            return Ok(None);
        }
        hold_member(&mut tx, id, host).await?;
        let Some(rollout) = read(&mut tx, id).await? else {
            return Ok(None);
        };
        let mut members = rollout.members.iter();
        let Some(member) = members.find(|member| member.host == host) else {
            return Ok(None);
        };
        match rollout.condition(member, now) {
            Condition::Gone | Condition::Held => return Ok(None),
            Condition::Offered
            | Condition::Absent
            | Condition::Runs(_)
            | Condition::Refused
            | Condition::Silent => {}
        }
        let mut member = member.clone();
        member.refused(why, now);
        put_member(&mut tx, id, &member).await?;
        let turn = settle(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(turn)
    }

    async fn resume_rollout(&self, id: RolloutId, now: Timestamp) -> Result<Found, StoreError> {
        let mut tx = self.write().await?;
        let held = hold(&mut tx, id).await?;
        let Some(mut rollout) = read(&mut tx, id).await? else {
            return Ok(Found::Unknown);
        };
        if !held || !rollout.resume(now) {
            return Ok(Found::Unchanged);
        }
        let members = rollout.members.iter();
        for member in members.filter(|member| member.counted == Counted::Pardoned) {
            put_pardoned(&mut tx, id, member.host).await?;
        }
        put_stage(&mut tx, id, rollout.stage).await?;
        tx.commit().await?;
        Ok(Found::Changed)
    }

    async fn cancel_rollout(&self, id: RolloutId, now: Timestamp) -> Result<Found, StoreError> {
        let mut tx = self.write().await?;
        if !hold(&mut tx, id).await? {
            let known = read(&mut tx, id).await?;
            return Ok(known.map_or(Found::Unknown, |_| Found::Unchanged));
        }
        put_stage(&mut tx, id, Stage::Cancelled { at: now }).await?;
        tx.commit().await?;
        Ok(Found::Changed)
    }
}

/// Decides about a rollout that this transaction holds.
async fn settle(
    tx: &mut Tx<'_>,
    id: RolloutId,
    now: Timestamp,
) -> Result<Option<Turn>, StoreError> {
    let Some(mut rollout) = read(tx, id).await? else {
        return Ok(None);
    };
    let from = rollout.stage;
    let to = rollout.settled(now);
    if to == from {
        return Ok(None);
    }
    put_stage(tx, id, to).await?;
    if matches!(to, Stage::Braked { .. }) {
        let failed: Vec<_> = rollout.failed(now).collect();
        for member in failed {
            let detail = member.refused.as_ref().map_or_else(
                || "it has gone silent".to_owned(),
                |refused| refused.why.clone(),
            );
            let judged = Judged::Brake {
                rollout: id,
                detail,
            };
            let verdict = Verdict {
                at: now,
                host: Some(member.host),
                outcome: Outcome::Refused,
                judged,
            };
            log::verdict(tx, &verdict).await?;
        }
    }
    rollout.stage = to;
    Ok(Some(Turn { from, rollout }))
}
