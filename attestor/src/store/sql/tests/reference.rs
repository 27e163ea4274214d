//! Hosts' boots: proposed, approved, rolled back, accepted ahead; one of each is kept. And the groups that hosts are in.

use std::collections::BTreeSet;

use holdfast_proof::event_log::BootEvents;

use super::*;
use crate::reference::{Boot, References};
use crate::software_tpm::firmware::event_log;
use crate::store::{Approval, ReferenceStore};

/// A boot with these values of PCR 4 and 7, and the events of a log.
fn boot(four: u8, seven: u8) -> Boot {
    let mut values = PcrValues::new();
    assert!(values.insert(pcr(4), digest(four)));
    assert!(values.insert(pcr(7), digest(seven)));
    let pcrs = BTreeSet::from([pcr(4), pcr(7)]);
    Boot {
        values,
        events: BootEvents::of(&event_log(), HashAlg::Sha256, &pcrs).unwrap(),
    }
}

async fn kept(store: &SqlStore, id: HostId) -> References {
    store.references(id).await.unwrap().unwrap()
}

/// A host that is held to a boot.
async fn held_to(store: &SqlStore, id: u8, reference: &Boot) -> HostId {
    let (_, id) = with_host(store, id).await;
    let before = host(store, id).await;
    let mut first = acceptance(&before, 9, reference.values.clone());
    first.events.clone_from(&reference.events);
    store.accept(&first).await.unwrap();
    assert_eq!(kept(store, id).await.current.unwrap().boot, *reference);
    id
}

async fn propose(store: &SqlStore, id: HostId, boot: &Boot) {
    let refused = verdict(id, Outcome::Refused);
    store.propose(id, boot, &refused).await.unwrap();
}

pub(super) async fn a_proposal_is_approved_as_it_was_seen_and_rolled_back(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (old, new) = (boot(1, 1), boot(1, 2));
    let id = held_to(store, 1, &old).await;
    propose(store, id, &new).await;
    assert_eq!(
        store.verdicts(id, 1).await.unwrap(),
        [verdict(id, Outcome::Refused)]
    );
    assert_eq!(kept(store, id).await.proposed.unwrap().boot, new);
    assert_eq!(host(store, id).await.reference.0, old.values);

    // What the operator saw is not what the host proposes by now.
    let seen = boot(1, 3).name();
    let gone = store.approve_boot(id, seen, NOW).await.unwrap();
    assert_eq!(gone, Approval::Gone);
    assert_eq!(host(store, id).await.reference.0, old.values);

    let judged_before = host(store, id).await;
    let done = store.approve_boot(id, new.name(), NOW).await.unwrap();
    assert_eq!(done, Approval::Done);
    let after = kept(store, id).await;
    assert_eq!(after.current.unwrap().boot, new);
    assert_eq!(after.previous.unwrap().boot, old);
    assert_eq!(after.proposed, None);
    assert_eq!(host(store, id).await.reference.0, new.values);
    // Evidence that was judged by the old one comes too late.
    let late = store
        .accept(&acceptance(&judged_before, 10, PcrValues::new()))
        .await;
    assert!(matches!(late, Err(StoreError::Conflict)));
    let again = store.approve_boot(id, new.name(), NOW).await.unwrap();
    assert_eq!(again, Approval::Gone);

    assert_eq!(store.roll_back(id, NOW).await.unwrap(), Found::Changed);
    let back = kept(store, id).await;
    assert_eq!(back.current.unwrap().boot, old);
    assert_eq!(back.previous.unwrap().boot, new);
    assert_eq!(host(store, id).await.reference.0, old.values);

    let (_, fresh) = with_host(store, 2).await;
    assert_eq!(store.roll_back(fresh, NOW).await.unwrap(), Found::Unchanged);
    let unknown = HostId::from_random([7; 16]);
    assert_eq!(store.roll_back(unknown, NOW).await.unwrap(), Found::Unknown);
    assert_eq!(store.references(unknown).await.unwrap(), None);
    // A host's first boot has none before it.
    propose(store, fresh, &old).await;
    let done = store.approve_boot(fresh, old.name(), NOW).await.unwrap();
    assert_eq!(done, Approval::Done);
    assert_eq!(kept(store, fresh).await.previous, None);

    assert_eq!(store.forget_reference(id).await.unwrap(), Found::Changed);
    assert_eq!(kept(store, id).await, References::default());
    assert_eq!(kept(store, fresh).await.current.unwrap().boot, old);
}

pub(super) async fn a_rejected_boot_is_not_proposed_again(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let id = held_to(store, 1, &boot(1, 1)).await;
    let unwanted = boot(1, 2);
    propose(store, id, &unwanted).await;
    let other = store.reject_boot(id, boot(1, 3).name()).await.unwrap();
    assert_eq!(other, Approval::Gone);
    let done = store.reject_boot(id, unwanted.name()).await.unwrap();
    assert_eq!(done, Approval::Done);
    propose(store, id, &unwanted).await;
    assert_eq!(kept(store, id).await.proposed, None);
    let gone = store.approve_boot(id, unwanted.name(), NOW).await.unwrap();
    assert_eq!(gone, Approval::Gone);
    propose(store, id, &boot(1, 3)).await;
    assert!(kept(store, id).await.proposed.is_some());
}

pub(super) async fn an_update_becomes_the_reference_with_the_acceptance_that_saw_it(
    engine: Engine<'_>,
) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let old = boot(1, 1);
    let id = held_to(store, 1, &old).await;
    let mut update = PcrValues::new();
    assert!(update.insert(pcr(4), digest(9)));
    let before = host(store, id).await;
    let found = store.accept_ahead(id, &update, NOW).await.unwrap();
    assert_eq!(found, Found::Changed);
    let with_update = host(store, id).await;
    assert_eq!(with_update.ahead.0, update);
    assert_eq!(with_update.reference.0, old.values);
    let stale = store
        .accept(&acceptance(&before, 10, PcrValues::new()))
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict)));

    let mut seen = acceptance(&with_update, 10, PcrValues::new());
    seen.update = Update::Seen(boot(9, 1).values);
    store.accept(&seen).await.unwrap();
    let after = kept(store, id).await;
    let current = after.current.unwrap();
    assert_eq!(current.boot.values, boot(9, 1).values);
    // The events of the boot before say nothing of this one.
    assert_eq!(current.boot.events, None);
    assert_eq!(after.previous.unwrap().boot, old);
    assert_eq!(after.ahead, None);
    assert!(host(store, id).await.ahead.0.is_empty());
    let unknown = HostId::from_random([7; 16]);
    let found = store.accept_ahead(unknown, &update, NOW).await.unwrap();
    assert_eq!(found, Found::Unknown);
}

pub(super) async fn one_proposal_is_kept_of_each_host(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let id = held_to(store, 1, &boot(1, 1)).await;
    for seven in 2..40 {
        propose(store, id, &boot(1, seven)).await;
    }
    assert_eq!(kept(store, id).await.proposed.unwrap().boot, boot(1, 39));
    for (table, most) in [("reference_set", 2), ("reference_value", 4)] {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(count, most, "{table}");
    }
}

pub(super) async fn a_host_is_in_one_group_and_what_was_judged_before_is_stale(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, id) = with_host(store, 1).await;
    let before = host(store, id).await;
    assert_eq!(before.group, None);
    let edge = "edge".parse().unwrap();
    let found = store.set_group(id, Some(&edge)).await.unwrap();
    assert_eq!(found, Found::Changed);
    assert_eq!(host(store, id).await.group.as_ref(), Some(&edge));
    assert_eq!(store.given(id).await.unwrap().unwrap().group, Some(edge));
    let stale = store
        .accept(&acceptance(&before, 9, PcrValues::new()))
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict)));
    store.set_group(id, None).await.unwrap();
    assert_eq!(host(store, id).await.group, None);
    let unknown = HostId::from_random([7; 16]);
    let found = store.set_group(unknown, None).await.unwrap();
    assert_eq!(found, Found::Unknown);
}
