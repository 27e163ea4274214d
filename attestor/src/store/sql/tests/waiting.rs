//! Hosts wait, but not many and not for ever, and are approved as they were seen.

use std::time::Duration;

use holdfast_protocol::grade::Grade;
use holdfast_protocol::{Sha256Digest, Timestamp};

use super::{Engine, Fixture, MINUTE, NOW, Store, with_host};
use crate::registry::{EkFingerprint, WaitingHost};
use crate::store::sql::waiting::{MAX_WAITING, PATIENCE};
use crate::store::{EkStore, Found, StoreError, Waiting, WaitingStore};

fn waiting(number: u64, name: &str, at: Timestamp) -> WaitingHost {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    WaitingHost {
        ek: Sha256Digest::new(digest).to_string().parse().unwrap(),
        name: name.parse().unwrap(),
        grade: Grade::Hardware,
        remote: "2001:db8::1".parse().unwrap(),
        why: "nothing vouches for it".to_owned(),
        first_at: at,
        last_at: at,
    }
}

pub(super) async fn a_host_waits_once_under_its_last_name(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let first = waiting(1, "one", NOW);
    assert_eq!(store.wait(&first).await.unwrap(), Waiting::Waits);
    let mut renamed = waiting(1, "uno", NOW + MINUTE);
    store.wait(&renamed).await.unwrap();
    renamed.first_at = NOW;
    let kept = store.waiting(NOW + MINUTE).await.unwrap();
    assert_eq!(kept, std::slice::from_ref(&renamed));

    // The operator has seen another name than it has now.
    assert_eq!(store.approve(&first, NOW).await.unwrap(), Found::Unknown);
    assert_eq!(store.listed_ek(first.ek).await.unwrap(), None);
    assert_eq!(store.approve(&renamed, NOW).await.unwrap(), Found::Changed);
    assert!(store.waiting(NOW).await.unwrap().is_empty());
    let listed = store.listed_ek(first.ek).await.unwrap().unwrap();
    assert_eq!(listed.host_name, Some(renamed.name.clone()));
    assert_eq!(store.approve(&renamed, NOW).await.unwrap(), Found::Unknown);
}

pub(super) async fn only_so_many_hosts_wait_and_for_a_time(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let most = u64::try_from(MAX_WAITING).unwrap();
    for number in 0..most {
        store.wait(&waiting(number, "h", NOW)).await.unwrap();
    }
    assert!(matches!(
        store.wait(&waiting(most, "h", NOW)).await,
        Err(StoreError::Full { .. })
    ));
    // One that waits already may go on.
    store.wait(&waiting(0, "h", NOW + MINUTE)).await.unwrap();
    let later = NOW + PATIENCE;
    assert_eq!(store.waiting(later).await.unwrap().len(), 1);
    let fresh = waiting(most, "h", later);
    assert_eq!(store.wait(&fresh).await.unwrap(), Waiting::Waits);
    let after = later - Duration::from_millis(1);
    assert_eq!(store.waiting(after).await.unwrap().len(), 2);
}

pub(super) async fn a_revoked_host_does_not_wait(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (tpm, id) = with_host(store, 1).await;
    let mut host = waiting(1, "one", NOW);
    host.ek = EkFingerprint::of(&tpm.ek_public.key().unwrap());
    // An enrolled one may: what vouched for it may be gone.
    assert_eq!(store.wait(&host).await.unwrap(), Waiting::Waits);
    store.revoke(id, "stolen", NOW).await.unwrap();
    assert_eq!(store.wait(&host).await.unwrap(), Waiting::Revoked);
}
