//! Rollouts: begun once, given in their turn, stopped, resumed and ended, by whichever replica.

use std::num::NonZeroU32;

use super::*;
use crate::registry::Judged;
use crate::rollout::{
    Condition, Counted, Leave, Part, Plan, Planned, Rollout, RolloutId, Rules, Showing, Stage,
};
use crate::store::{ReferenceStore, RolloutStore, Starting};

const HOLD: Duration = Duration::from_secs(600);

fn update() -> PcrValues {
    let mut values = PcrValues::new();
    assert!(values.insert(pcr(4), digest(9)));
    values
}

/// A canary and two hosts of its group, and the rollout that they are in.
struct Fleet {
    store: SqlStore,
    canary: HostId,
    hosts: [HostId; 2],
    id: RolloutId,
    _folder: tempfile::TempDir,
}

impl Fleet {
    async fn new(engine: Engine<'_>) -> Self {
        let Fixture { store, _folder, .. } = Fixture::new(engine).await;
        let mut ids = Vec::new();
        for (id, group) in [(1, "edge-canary"), (2, "edge"), (3, "edge")] {
            let (_, id) = with_host(&store, id).await;
            let group = group.parse().unwrap();
            store.set_group(id, Some(&group)).await.unwrap();
            ids.push(id);
        }
        let [canary, one, other] = ids[..] else {
            panic!("three hosts");
        };
        let hosts = [one, other];
        let started = store
            .start_rollout(&plan(canary, &hosts), NOW)
            .await
            .unwrap();
        let Starting::Started(id) = started else {
            panic!("{started:?}");
        };
        Self {
            store,
            canary,
            hosts,
            id,
            _folder,
        }
    }

    async fn leave(&self, id: HostId) -> Option<Leave> {
        let offer = host(&self.store, id).await.rollout?;
        assert_eq!(offer.values.0, update());
        assert_eq!(offer.rollout, self.id);
        Some(offer.leave)
    }

    async fn rollout(&self) -> Rollout {
        self.store.rollout(self.id).await.unwrap().unwrap()
    }

    /// A host's evidence is accepted, a while after the start.
    async fn accepted(
        &self,
        read: &Host,
        showing: Showing,
        later: Duration,
    ) -> Result<(), StoreError> {
        let mut accepted = acceptance(read, 9, PcrValues::new());
        accepted.observed.at = NOW + later;
        accepted.svid.expires_at = NOW + later + HOLD;
        accepted.rollout = Some((self.id, showing));
        if showing == Showing::Taken {
            accepted.update = Update::Seen(update());
        }
        self.store.accept(&accepted).await
    }

    async fn shown(&self, id: HostId, showing: Showing, later: Duration) {
        let read = host(&self.store, id).await;
        self.accepted(&read, showing, later).await.unwrap();
    }

    /// The canary has run the update for as long as it has to.
    async fn opened(&self) {
        self.shown(self.canary, Showing::Taken, MINUTE).await;
        self.shown(self.canary, Showing::Kept, MINUTE + HOLD).await;
        let at = NOW + MINUTE + HOLD;
        let turn = self.store.settle_rollout(self.id, at).await.unwrap();
        let turn = turn.unwrap();
        assert_eq!(turn.from, Stage::Canary);
        assert_eq!(turn.rollout.stage, Stage::General { since: at });
        // Whoever looks next finds it so.
        let again = self.store.settle_rollout(self.id, at).await.unwrap();
        assert!(again.is_none());
    }

    async fn refused(&self, id: HostId, later: Duration) -> Option<Stage> {
        let refused = self
            .store
            .refused_in_rollout(self.id, id, "pcr-reference: pcr 4", NOW + later)
            .await;
        refused.unwrap().map(|turn| turn.rollout.stage)
    }
}

fn plan(canary: HostId, hosts: &[HostId]) -> Plan {
    let member = |host, part| Planned {
        host,
        part,
        values: update(),
        heard_until: NOW + HOLD,
        counted: Counted::Yes,
    };
    let general = hosts.iter().map(|host| member(*host, Part::General));
    Plan {
        group: "edge".parse().unwrap(),
        canary: "edge-canary".parse().unwrap(),
        rules: Rules {
            needed: NonZeroU32::MIN,
            hold: HOLD,
            canary_limit: NonZeroU32::MIN,
            general_limit: NonZeroU32::MIN.saturating_add(1),
        },
        members: general.chain([member(canary, Part::Canary)]).collect(),
    }
}

pub(super) async fn a_rollout_gives_the_update_in_turn_and_ends_when_all_have_it(
    engine: Engine<'_>,
) {
    let fleet = Fleet::new(engine).await;
    let Fleet {
        store,
        canary,
        hosts,
        id,
        ..
    } = &fleet;
    assert_eq!(fleet.leave(*canary).await, Some(Leave::Given));
    assert_eq!(fleet.leave(hosts[0]).await, Some(Leave::NotYet));
    assert_eq!(store.rollouts_under_way().await.unwrap(), [*id]);
    // A host is in one at a time.
    let second = store.start_rollout(&plan(*canary, hosts), NOW).await;
    assert_eq!(second.unwrap(), Starting::UnderWay(*id));

    // Leave that a host does not have is not taken.
    let early = host(store, hosts[0]).await;
    let taken = fleet.accepted(&early, Showing::Taken, MINUTE).await;
    assert!(matches!(taken, Err(StoreError::Conflict)));
    fleet.opened().await;
    for host in hosts {
        assert_eq!(fleet.leave(*host).await, Some(Leave::Given));
        fleet.shown(*host, Showing::Taken, MINUTE + HOLD).await;
        assert_eq!(
            store
                .references(*host)
                .await
                .unwrap()
                .unwrap()
                .current
                .unwrap()
                .boot
                .values,
            update()
        );
    }
    let at = NOW + MINUTE + HOLD;
    let turn = store.settle_rollout(*id, at).await.unwrap().unwrap();
    assert_eq!(turn.rollout.stage, Stage::Done { at });
    assert_eq!(fleet.rollout().await, turn.rollout);
    assert_eq!(fleet.leave(*canary).await, None);
    assert!(store.rollouts_under_way().await.unwrap().is_empty());
    assert_eq!(
        store.cancel_rollout(*id, at).await.unwrap(),
        Found::Unchanged
    );
    // The next has the next number.
    let next = store
        .start_rollout(&plan(*canary, hosts), at)
        .await
        .unwrap();
    let two = RolloutId(NonZeroU32::new(2).unwrap());
    assert_eq!(next, Starting::Started(two));
    let all: Vec<_> = store.rollouts().await.unwrap();
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [two, *id]);
}

pub(super) async fn a_braked_rollout_gives_the_update_to_nobody_new_until_it_is_resumed(
    engine: Engine<'_>,
) {
    let fleet = Fleet::new(engine).await;
    let Fleet {
        store,
        canary,
        hosts,
        id,
        ..
    } = &fleet;
    // A host that may not show it yet fails nothing.
    assert_eq!(fleet.refused(hosts[0], MINUTE).await, None);
    assert_eq!(
        fleet
            .rollout()
            .await
            .members
            .iter()
            .filter(|one| one.refused.is_some())
            .count(),
        0
    );
    fleet.opened().await;
    let later = MINUTE + HOLD;
    fleet.shown(hosts[0], Showing::Taken, later).await;
    let given = host(store, hosts[1]).await;
    assert_eq!(given.rollout.as_ref().unwrap().leave, Leave::Given);
    let at = NOW + later;
    let general = Some(at);
    assert_eq!(
        fleet.refused(*canary, later).await,
        Some(Stage::Braked { at, general })
    );
    let newest = store.verdicts(*canary, 1).await.unwrap();
    assert!(
        matches!(&newest[0].judged, Judged::Brake { rollout, detail } if rollout == id && detail.contains("pcr 4"))
    );

    // What was judged before the brake comes too late; who has it goes on.
    let late = fleet.accepted(&given, Showing::Taken, later).await;
    assert!(matches!(late, Err(StoreError::Conflict)));
    assert_eq!(fleet.leave(hosts[1]).await, Some(Leave::Braked));
    fleet.shown(hosts[0], Showing::Kept, later).await;
    assert!(store.settle_rollout(*id, at).await.unwrap().is_none());

    assert_eq!(store.resume_rollout(*id, at).await.unwrap(), Found::Changed);
    assert_eq!(
        store.resume_rollout(*id, at).await.unwrap(),
        Found::Unchanged
    );
    assert!(store.settle_rollout(*id, at).await.unwrap().is_none());
    assert_eq!(fleet.leave(hosts[1]).await, Some(Leave::Given));
    let unknown = RolloutId(NonZeroU32::new(7).unwrap());
    assert_eq!(
        store.resume_rollout(unknown, at).await.unwrap(),
        Found::Unknown
    );
    assert_eq!(
        store.cancel_rollout(unknown, at).await.unwrap(),
        Found::Unknown
    );

    // It ends by order: who has not shown it has no leave any more.
    assert_eq!(store.cancel_rollout(*id, at).await.unwrap(), Found::Changed);
    assert_eq!(fleet.rollout().await.stage, Stage::Cancelled { at });
    assert_eq!(fleet.leave(hosts[1]).await, None);
    assert_eq!(host(store, hosts[0]).await.reference.0, update());
}

pub(super) async fn what_was_wrong_with_a_host_before_does_not_brake(engine: Engine<'_>) {
    let Fixture { store, _folder, .. } = Fixture::new(engine).await;
    let (_, canary) = with_host(&store, 1).await;
    let group = "edge-canary".parse().unwrap();
    store.set_group(canary, Some(&group)).await.unwrap();
    let mut plan = plan(canary, &[]);
    plan.members[0].counted = Counted::Pardoned;
    let started = store.start_rollout(&plan, NOW).await.unwrap();
    let Starting::Started(id) = started else {
        panic!("{started:?}");
    };
    let refused = || store.refused_in_rollout(id, canary, "pcr-reference", NOW + MINUTE);
    assert!(refused().await.unwrap().is_none());
    // Once it has run the update what becomes of it counts.
    let read = host(&store, canary).await;
    let mut shown = acceptance(&read, 9, PcrValues::new());
    shown.rollout = Some((id, Showing::Taken));
    shown.update = Update::Seen(update());
    store.accept(&shown).await.unwrap();
    let turn = refused().await.unwrap().unwrap();
    assert!(matches!(turn.rollout.stage, Stage::Braked { .. }));
}

pub(super) async fn a_host_that_left_its_group_is_of_no_rollout(engine: Engine<'_>) {
    let fleet = Fleet::new(engine).await;
    let Fleet {
        store,
        canary,
        hosts,
        ..
    } = &fleet;
    store.set_group(*canary, None).await.unwrap();
    assert_eq!(fleet.leave(*canary).await, None);
    store.ban(hosts[0], "for a while", NOW).await.unwrap();
    let rollout = fleet.rollout().await;
    let gone = rollout
        .members
        .iter()
        .filter(|member| rollout.condition(member, NOW) == Condition::Gone);
    let gone: Vec<_> = gone.map(|member| member.host).collect();
    assert_eq!(gone, [*canary, hosts[0]]);
}

pub(super) async fn an_older_registry_learns_of_rollouts_and_keeps_its_hosts(engine: Engine<'_>) {
    let Fixture {
        store,
        home,
        _folder,
    } = Fixture::new(engine).await;
    let (_, id) = with_host(&store, 1).await;
    let before = host(&store, id).await;
    // As the registry was before there were rollouts.
    for statement in [
        "DROP TABLE rollout_value",
        "DROP TABLE rollout_host",
        "DROP TABLE rollout",
        "DELETE FROM _sqlx_migrations WHERE version = 9",
    ] {
        sqlx::query(statement).execute(&store.pool).await.unwrap();
    }
    store.close().await;
    let store = SqlStore::open(&home).await.unwrap();
    assert_eq!(host(&store, id).await, before);
    let started = store.start_rollout(&plan(id, &[]), NOW).await.unwrap();
    assert!(matches!(started, Starting::Started(_)));
}

/// Two replicas that decide at the same moment: one of them has decided.
pub(super) async fn one_replica_decides(engine: Engine<'_>) {
    let fleet = Fleet::new(engine).await;
    fleet.shown(fleet.canary, Showing::Taken, MINUTE).await;
    fleet
        .shown(fleet.canary, Showing::Kept, MINUTE + HOLD)
        .await;
    let at = NOW + MINUTE + HOLD;
    let settle = || fleet.store.settle_rollout(fleet.id, at);
    let (one, other, third) = tokio::join!(settle(), settle(), settle());
    let turns = [one, other, third].map(|turn| turn.unwrap());
    assert_eq!(turns.iter().filter(|turn| turn.is_some()).count(), 1);
}
