//! Orders hold whatever else is under way, and whoever follows them misses none.

use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::super::news::{KEPT, leave};
use super::*;
use crate::store::{Given, Ordered};

promises!(
    a_banned_host_gets_nothing_until_it_is_unbanned_and_a_revocation_outweighs_it,
    whoever_follows_hears_each_order_of_another_and_at_once,
);

async fn a_banned_host_gets_nothing_until_it_is_unbanned_and_a_revocation_outweighs_it(
    engine: Engine<'_>,
) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (tpm, id) = with_host(store, 1).await;
    let before = host(store, id).await;
    assert_eq!(store.unban(id).await.unwrap(), Found::Unchanged);
    assert_eq!(store.ban(id, "lost", NOW).await.unwrap(), Found::Changed);
    assert_eq!(store.ban(id, "again", NOW).await.unwrap(), Found::Unchanged);
    let why = "lost".to_owned();
    let banned = Standing::Banned { at: NOW, why };
    assert_eq!(host(store, id).await.standing, banned);
    // Neither what was being judged nor what was being signed meanwhile.
    let accepted = store
        .accept(&acceptance(&before, 9, PcrValues::new()))
        .await;
    assert!(matches!(accepted, Err(StoreError::Conflict)));
    let signed = store.record_svids(&[svid(id), svid(id)]).await;
    assert!(matches!(signed, Err(StoreError::Conflict)));
    // Enrolling anew is no way around it.
    let again = store
        .enroll(
            &enrolled(&tpm, NOW),
            HostId::from_random([7; 16]),
            None,
            NOW,
        )
        .await;
    assert_eq!(again.unwrap(), Enrolling::Renewed(id));
    assert_eq!(host(store, id).await.standing, banned);

    assert_eq!(store.unban(id).await.unwrap(), Found::Changed);
    assert_eq!(host(store, id).await.standing, Standing::Active);
    store.record_svids(&[svid(id)]).await.unwrap();
    store.ban(id, "lost", NOW).await.unwrap();
    store.revoke(id, "stolen", NOW).await.unwrap();
    store.unban(id).await.unwrap();
    let standing = host(store, id).await.standing;
    assert!(matches!(standing, Standing::Revoked { .. }));
    let unknown = HostId::from_random([9; 16]);
    assert_eq!(
        store.ask_reattest(unknown, NOW).await.unwrap(),
        Found::Unknown
    );
}

async fn whoever_follows_hears_each_order_of_another_and_at_once(engine: Engine<'_>) {
    let Fixture { store, home, .. } = &Fixture::new(engine).await;
    let (_, first) = with_host(store, 1).await;
    let (_, second) = with_host(store, 2).await;
    let follower = SqlStore::open(home).await.unwrap();
    let (tell, mut told) = unbounded_channel();
    let mut following = JoinSet::new();
    following.spawn({
        let follower = follower.clone();
        async move {
            follower
                .follow_orders(|order| tell.send(order).unwrap())
                .await
        }
    });
    // What was before is not known to it.
    store.ban(first, "before", NOW).await.unwrap();
    assert_eq!(hears(&mut told).await, Ordered::Any);
    // Until it is quiet: whether the ban is told of as well is chance.
    while tokio::time::timeout(MINUTE / 300, told.recv())
        .await
        .is_ok()
    {}

    for round in 0..20 {
        let (id, at) = ([first, second][round % 2], NOW + MINUTE);
        let given = Instant::now();
        assert_eq!(store.ask_reattest(id, at).await.unwrap(), Found::Changed);
        assert_eq!(hears(&mut told).await, Ordered::Host(id));
        assert!(given.elapsed() < MINUTE / 60, "{:?}", given.elapsed());
        // It can be read by then.
        let given = follower.given(id).await.unwrap();
        let reattest = given.and_then(|Given { reattest, .. }| reattest);
        assert_eq!(reattest, Some(at));
    }
    // What was not changed is no news.
    assert_eq!(
        store.ban(first, "again", NOW).await.unwrap(),
        Found::Unchanged
    );
    store.unban(first).await.unwrap();
    store.revoke(second, "stolen", NOW).await.unwrap();
    assert_eq!(hears(&mut told).await, Ordered::Host(first));
    assert_eq!(hears(&mut told).await, Ordered::Host(second));
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn news_in_sqlite_is_bounded_and_who_missed_some_is_told_so() {
    let Fixture { store, home, .. } = &Fixture::new(Engine::Sqlite).await;
    let (_, id) = with_host(store, 1).await;
    let follower = SqlStore::open(home).await.unwrap();
    let (tell, mut told) = unbounded_channel();
    let mut following = JoinSet::new();
    following.spawn(async move {
        follower
            .follow_orders(|order| tell.send(order).unwrap())
            .await
    });
    assert_eq!(hears(&mut told).await, Ordered::Any);
    // At one blow, so that nobody can look in between.
    let mut tx = store.write().await.unwrap();
    for _ in 0..KEPT + 10 {
        leave(&mut tx, store.engine, id).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(hears(&mut told).await, Ordered::Any);
    assert_eq!(hears(&mut told).await, Ordered::Host(id));
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM host_order")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(kept, KEPT);
}

async fn hears(told: &mut UnboundedReceiver<Ordered>) -> Ordered {
    let order = tokio::time::timeout(MINUTE, told.recv()).await;
    order.expect("news in time").unwrap()
}

#[test]
fn a_host_is_silent_once_its_svid_and_a_margin_are_over() {
    let scene = crate::software_tpm::Scene::new();
    let (ttl, heard) = (MINUTE * 60, scene.host.last.at);
    let late = heard + ttl + MINUTE;
    assert_eq!(
        scene
            .host
            .silent_since(ttl, late - Duration::from_millis(1)),
        None
    );
    assert_eq!(scene.host.silent_since(ttl, late), Some(heard));
}
