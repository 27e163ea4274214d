//! Keys are listed whole; tokens remember whose they are.

use holdfast_protocol::Sha256Digest;

use super::{Engine, Fixture, MINUTE, NOW, Store, token};
use crate::ek_hashes::ListedEk;
use crate::registry::EkFingerprint;
use crate::store::{EkStore, Found, Listed};

fn ek(digit: u8) -> EkFingerprint {
    Sha256Digest::new([digit; 32]).to_string().parse().unwrap()
}

fn listed(digit: u8, host_name: Option<&str>) -> ListedEk {
    ListedEk {
        ek: ek(digit),
        host_name: host_name.map(|name| name.parse().unwrap()),
        listed_at: NOW,
    }
}

pub(super) async fn keys_are_listed_and_take_the_name_that_comes_last(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    assert_eq!(store.listed_ek(ek(1)).await.unwrap(), None);
    let first = [listed(1, Some("one")), listed(2, None)];
    let counted = |added, renamed, unchanged| Listed {
        added,
        renamed,
        unchanged,
    };
    assert_eq!(store.list_eks(&first).await.unwrap(), counted(2, 0, 0));
    assert_eq!(store.listed_eks().await.unwrap(), first);

    let later = |mut one: ListedEk| {
        one.listed_at = NOW + MINUTE;
        one
    };
    let second = [
        later(listed(2, Some("two"))),
        later(listed(1, Some("one"))),
        later(listed(3, None)),
    ];
    assert_eq!(store.list_eks(&second).await.unwrap(), counted(1, 1, 1));
    // What is as before keeps its time.
    let [two, _, three] = second;
    let [one, _] = first;
    assert_eq!(store.listed_eks().await.unwrap(), [one, two.clone(), three]);
    assert_eq!(store.listed_ek(ek(2)).await.unwrap(), Some(two));

    assert_eq!(store.unlist_ek(ek(2)).await.unwrap(), Found::Changed);
    assert_eq!(store.unlist_ek(ek(2)).await.unwrap(), Found::Unknown);
    assert_eq!(store.listed_ek(ek(2)).await.unwrap(), None);
}

pub(super) async fn a_list_that_fails_midway_lists_nothing(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    store.list_eks(&[listed(9, None)]).await.unwrap();
    // A row that we did not write ends the import when it comes to it.
    sqlx::query("UPDATE listed_ek SET host_name = 'not a name'")
        .execute(&store.pool)
        .await
        .unwrap();
    store
        .list_eks(&[listed(1, None), listed(9, None)])
        .await
        .unwrap_err();
    assert_eq!(store.listed_ek(ek(1)).await.unwrap(), None);
}

pub(super) async fn a_token_remembers_its_ek(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let mut record = token(1);
    record.ek = Some(ek(5));
    store.add_token(&record).await.unwrap();
    let usable = store.usable_token(record.hash, NOW).await.unwrap();
    assert_eq!(usable, Some(record));
}
