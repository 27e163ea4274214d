//! Rollouts while hosts attest: settled before an update is taken, after it was shown, and on a tick for hosts that are silent.
//!
//! The store decides; here is only when it is asked, and what the operator's log says of it. Every replica does all of it.

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::evidence::{Appraisal, Check, Evidence, Finding};
use holdfast_protocol::words::with_causes;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Shared, now};
use crate::registry::Host;
use crate::rollout::{Offer, Part, Rollout, Showing, Stage};
use crate::store::{Store, StoreError, Turn};
use crate::verify_host::Refusal;

/// How often rollouts are looked at in which nobody attests: silence is noticed by then.
const TICK: Duration = Duration::from_secs(10);

/// Looks after rollouts until `stop`.
pub(super) async fn look_after<S: Store>(shared: Arc<Shared<S>>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = settle_all(&shared.store).await {
            let error = with_causes(&error);
            tracing::warn!(error, "the rollouts could not be looked at");
        }
    }
}

async fn settle_all(store: &impl Store) -> Result<(), StoreError> {
    for id in store.rollouts_under_way().await? {
        match store.settle_rollout(id, now()).await {
            Ok(turn) => announce(turn),
            // Another replica was first.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Before evidence is judged that seems to show an update for the first time: whether the host may show it depends on now.
/// The values are the host's word yet; whoever lies is refused, and has had a rollout looked at.
pub(super) async fn before<S: Store>(
    store: &S,
    host: Host,
    evidence: &Evidence,
) -> Result<Host, StoreError> {
    let new = |offer: &&Offer| offer.shown.is_none() && seems_to_show(evidence, offer);
    let Some(rollout) = host.rollout.as_ref().filter(new).map(|offer| offer.rollout) else {
        return Ok(host);
    };
    announce(store.settle_rollout(rollout, now()).await?);
    // A host that is gone meanwhile fails at its revision.
    Ok(store.host(host.id).await?.unwrap_or(host))
}

fn seems_to_show(evidence: &Evidence, offer: &Offer) -> bool {
    offer.values.iter().all(|(index, value)| {
        evidence.pcrs.iter().any(|shown| {
            shown.bank == value.alg().id()
                && shown.index == u32::from(index.get())
                && shown.value == value.as_bytes()
        })
    })
}

/// After evidence of a host was accepted.
pub(super) async fn after<S: Store>(store: &S, host: &Host, showing: Showing) {
    let Some(offer) = &host.rollout else { return };
    // Canaries prove their hold each time; what others show again decides nothing.
    let news = offer.part == Part::Canary || offer.shown.is_none();
    if news && showing != Showing::Other {
        match store.settle_rollout(offer.rollout, now()).await {
            Ok(turn) => announce(turn),
            // The host has its answer; the next tick decides.
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(rollout = %offer.rollout, error, "a rollout could not be looked at");
            }
        }
    }
}

/// When evidence of a host is refused, before that is answered.
pub(super) async fn refused<S: Store>(
    store: &S,
    host: &Host,
    appraisal: &Appraisal,
    refusal: &Refusal,
) -> Result<(), StoreError> {
    let Some(offer) = &host.rollout else {
        return Ok(());
    };
    // A long measurement list that comes in parts is no failure, and one failure is enough.
    if refusal.ima.is_some() || offer.refused.is_some() || !is_its_own(appraisal) {
        return Ok(());
    }
    let why = format!("{}: {}", refusal.check, refusal.detail);
    let turn = store.refused_in_rollout(offer.rollout, host.id, &why, now());
    announce(turn.await?);
    Ok(())
}

/// Whether it is proven whose evidence it is: anybody may send something under a host's name, and must not brake by that.
fn is_its_own(appraisal: &Appraisal) -> bool {
    appraisal
        .checks
        .iter()
        .any(|checked| checked.check == Check::Binding && checked.finding == Finding::Passed)
}

/// Tells the operator that a rollout has come to another stage.
fn announce(turn: Option<Turn>) {
    let Some(Turn { from: _, rollout }) = turn else {
        return;
    };
    let Rollout {
        id, group, stage, ..
    } = &rollout;
    match stage {
        Stage::Braked { .. } => tracing::warn!(
            rollout = %id,
            %group,
            failed_canaries = rollout.failures(Part::Canary, now()),
            failed_hosts = rollout.failures(Part::General, now()),
            "a rollout was stopped: hosts failed after its update; `rollout show` names them"
        ),
        Stage::General { .. } => {
            tracing::info!(rollout = %id, %group, "the canaries have run the update: all of the group may take it");
        }
        Stage::Done { .. } => tracing::info!(rollout = %id, %group, "all hosts have the update"),
        Stage::Canary | Stage::Cancelled { .. } => {}
    }
}
