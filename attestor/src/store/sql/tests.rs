//! What may happen once happens once; what was written comes back the same.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod eks;
mod engines;
mod waiting;

mod orders;
mod reference;
mod rollout;

use std::time::Duration;

use holdfast_proof::evidence::Nonce;
use holdfast_proof::ima::Replay;
use holdfast_proof::tpm::{HashAlg, PcrValues};
use holdfast_protocol::evidence::Appraisal;
use holdfast_protocol::id::{HostId, SpiffeId};
use holdfast_protocol::{Sha256Digest, Timestamp};

use self::eks::{
    a_list_that_fails_midway_lists_nothing, a_token_remembers_its_ek,
    keys_are_listed_and_take_the_name_that_comes_last,
};
use self::reference::{
    a_host_is_in_one_group_and_what_was_judged_before_is_stale,
    a_proposal_is_approved_as_it_was_seen_and_rolled_back, a_rejected_boot_is_not_proposed_again,
    an_update_becomes_the_reference_with_the_acceptance_that_saw_it,
    one_proposal_is_kept_of_each_host,
};
use self::rollout::{
    a_braked_rollout_gives_the_update_to_nobody_new_until_it_is_resumed,
    a_host_that_left_its_group_is_of_no_rollout,
    a_rollout_gives_the_update_in_turn_and_ends_when_all_have_it,
    an_older_registry_learns_of_rollouts_and_keeps_its_hosts, one_replica_decides,
    what_was_wrong_with_a_host_before_does_not_brake,
};
use self::waiting::{
    a_host_waits_once_under_its_last_name, a_revoked_host_does_not_wait,
    only_so_many_hosts_wait_and_for_a_time,
};
use super::{Home, MAX_NONCES, SqlStore};
use crate::enroll_host::PendingEnrollment;
use crate::registry::{
    EkTrust, Host, ImaState, IssuedSvid, Judged, NonceStanding, Observed, Outcome, Standing,
    SvidKind, TokenHash, TokenRecord, Verdict,
};
use crate::software_tpm::{SoftwareTpm, digest, enrolled, pcr};
use crate::store::{Acceptance, Enrolling, EnrollmentId, Found, Store, StoreError};
use crate::test_engines::{Engine, promises};
use crate::verify_host::Update;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    store: SqlStore,
    home: Home,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(engine: Engine<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = engine.home(folder.path()).await;
        Self {
            store: SqlStore::open(&home).await.unwrap(),
            home,
            _folder: folder,
        }
    }
}

promises!(
    a_measurement_lists_state_is_kept_with_what_was_judged,
    a_nonce_is_good_once_for_its_host_and_time,
    a_host_holds_only_so_many_nonces,
    an_enrollment_is_taken_once_and_in_time,
    a_token_enrolls_one_host,
    an_ek_keeps_its_host_id,
    a_revoked_host_stays_revoked,
    acceptance_is_whole_and_made_from_the_newest_reading,
    a_reference_is_forgotten_on_request,
    the_verdict_log_is_bounded_and_newest_first,
    svids_are_remembered_for_a_while_after_their_end,
    a_value_that_we_did_not_write_is_corrupt_and_no_default,
    keys_are_listed_and_take_the_name_that_comes_last,
    a_list_that_fails_midway_lists_nothing,
    a_token_remembers_its_ek,
    a_host_waits_once_under_its_last_name,
    only_so_many_hosts_wait_and_for_a_time,
    a_revoked_host_does_not_wait,
    a_proposal_is_approved_as_it_was_seen_and_rolled_back,
    a_rejected_boot_is_not_proposed_again,
    an_update_becomes_the_reference_with_the_acceptance_that_saw_it,
    one_proposal_is_kept_of_each_host,
    a_host_is_in_one_group_and_what_was_judged_before_is_stale,
    a_rollout_gives_the_update_in_turn_and_ends_when_all_have_it,
    a_braked_rollout_gives_the_update_to_nobody_new_until_it_is_resumed,
    a_host_that_left_its_group_is_of_no_rollout,
    one_replica_decides,
    what_was_wrong_with_a_host_before_does_not_brake,
    an_older_registry_learns_of_rollouts_and_keeps_its_hosts,
);

async fn with_host(store: &SqlStore, id: u8) -> (SoftwareTpm, HostId) {
    let tpm = SoftwareTpm::new();
    let id = HostId::from_random([id; 16]);
    let enrolling = store
        .enroll(&enrolled(&tpm, NOW), id, None, NOW)
        .await
        .unwrap();
    assert_eq!(enrolling, Enrolling::New(id));
    (tpm, id)
}

async fn host(store: &SqlStore, id: HostId) -> Host {
    store.host(id).await.unwrap().unwrap()
}

fn token(secret: u8) -> TokenRecord {
    TokenRecord {
        hash: TokenHash(Sha256Digest::new([secret; 32])),
        host_name: Some("workstation".parse().unwrap()),
        ek: None,
        created_at: NOW,
        expires_at: NOW + MINUTE,
    }
}

fn pending(tpm: &SoftwareTpm) -> PendingEnrollment {
    PendingEnrollment {
        ek: tpm.ek_public.clone(),
        ak: tpm.ak_public.clone(),
        name: "workstation".parse().unwrap(),
        grade: holdfast_protocol::grade::Grade::Hardware,
        trust: EkTrust::Certificate,
        token: Some(token(1).hash),
        secret: Sha256Digest::new([4; 32]),
        nonce: Nonce::new([5; 32]),
        expires_at: NOW + MINUTE,
    }
}

fn svid(host: HostId) -> IssuedSvid {
    IssuedSvid {
        host,
        spiffe_id: SpiffeId::host(&"example.org".parse().unwrap(), host),
        kind: SvidKind::X509 {
            serial: "01".to_owned(),
        },
        issued_at: NOW,
        expires_at: NOW + MINUTE,
    }
}

fn verdict(host: HostId, outcome: Outcome) -> Verdict {
    Verdict {
        at: NOW,
        host: Some(host),
        outcome,
        judged: Judged::Attestation {
            appraisal: Appraisal::default(),
        },
    }
}

fn acceptance(host: &Host, audit_counter: u64, learned: PcrValues) -> Acceptance {
    Acceptance {
        host: host.id,
        revision: host.revision,
        observed: Observed {
            audit_counter,
            at: NOW + MINUTE,
            ..host.last
        },
        learned,
        events: None,
        update: Update::Unseen,
        rollout: None,
        ima: None,
        verdict: verdict(host.id, Outcome::Accepted),
        svid: svid(host.id),
    }
}

async fn a_nonce_is_good_once_for_its_host_and_time(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, one) = with_host(store, 1).await;
    let (_, other) = with_host(store, 2).await;
    let nonce = Nonce::new([1; 32]);
    store
        .issue_nonce(&nonce, one, NOW, NOW + MINUTE)
        .await
        .unwrap();

    let of_other = store.consume_nonce(&nonce, other, NOW).await.unwrap();
    assert_eq!(of_other, NonceStanding::Unknown);
    let late = store
        .consume_nonce(&nonce, one, NOW + MINUTE)
        .await
        .unwrap();
    assert_eq!(late, NonceStanding::Unknown);
    let never = store
        .consume_nonce(&Nonce::new([2; 32]), one, NOW)
        .await
        .unwrap();
    assert_eq!(never, NonceStanding::Unknown);

    // Of many at once, one has it.
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        attempts.spawn(async move { store.consume_nonce(&nonce, one, NOW).await.unwrap() });
    }
    let standings = attempts.join_all().await;
    let fresh = standings
        .iter()
        .filter(|standing| **standing == NonceStanding::Fresh);
    assert_eq!(fresh.count(), 1);
}

async fn a_host_holds_only_so_many_nonces(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, id) = with_host(store, 1).await;
    let last = u8::try_from(MAX_NONCES).unwrap() + 3;
    for number in 0..=last {
        let expires = NOW + MINUTE + Duration::from_millis(number.into());
        store
            .issue_nonce(&Nonce::new([number; 32]), id, NOW, expires)
            .await
            .unwrap();
    }
    let oldest = store
        .consume_nonce(&Nonce::new([0; 32]), id, NOW)
        .await
        .unwrap();
    assert_eq!(oldest, NonceStanding::Unknown);
    let newest = store
        .consume_nonce(&Nonce::new([last; 32]), id, NOW)
        .await
        .unwrap();
    assert_eq!(newest, NonceStanding::Fresh);
}

async fn an_enrollment_is_taken_once_and_in_time(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let tpm = SoftwareTpm::new();
    let (id, late) = (EnrollmentId([1; 16]), EnrollmentId([2; 16]));
    store
        .begin_enrollment(id, &pending(&tpm), NOW)
        .await
        .unwrap();
    store
        .begin_enrollment(late, &pending(&tpm), NOW)
        .await
        .unwrap();
    let taken = store.take_enrollment(id, NOW).await.unwrap();
    assert_eq!(taken, Some(pending(&tpm)));
    assert_eq!(store.take_enrollment(id, NOW).await.unwrap(), None);
    assert_eq!(
        store.take_enrollment(late, NOW + MINUTE).await.unwrap(),
        None
    );
    // A late answer has used its challenge up.
    assert_eq!(store.take_enrollment(late, NOW).await.unwrap(), None);
}

async fn a_token_enrolls_one_host(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let record = token(1);
    store.add_token(&record).await.unwrap();
    let usable = store.usable_token(record.hash, NOW).await.unwrap();
    assert_eq!(usable, Some(record.clone()));
    assert_eq!(
        store.usable_token(record.hash, NOW + MINUTE).await.unwrap(),
        None
    );
    assert_eq!(store.usable_token(token(2).hash, NOW).await.unwrap(), None);

    let (one, two) = (SoftwareTpm::new(), SoftwareTpm::new());
    let (id, other) = (HostId::from_random([1; 16]), HostId::from_random([2; 16]));
    let enroll = |tpm: &SoftwareTpm, id| {
        let host = enrolled(tpm, NOW);
        let store = store.clone();
        async move {
            store
                .enroll(&host, id, Some(token(1).hash), NOW)
                .await
                .unwrap()
        }
    };
    assert_eq!(enroll(&one, id).await, Enrolling::New(id));
    assert_eq!(store.usable_token(record.hash, NOW).await.unwrap(), None);
    assert_eq!(enroll(&two, other).await, Enrolling::TokenGone);
    // The one that came too late was not enrolled either.
    assert_eq!(store.host(other).await.unwrap(), None);
}

async fn an_ek_keeps_its_host_id(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (mut tpm, id) = with_host(store, 1).await;
    let before = host(store, id).await;
    assert_eq!(before.enrolled, enrolled(&tpm, NOW));
    assert_eq!(before.last, before.enrolled.anchor);
    let learned = tpm.pcrs.clone();
    store
        .accept(&acceptance(&before, 9, learned.clone()))
        .await
        .unwrap();

    // The same EK, a new AK: as after a TPM was cleared by its owner.
    tpm.ak_public = SoftwareTpm::new().ak_public;
    tpm.clock.reset_count = 0;
    let again = HostId::from_random([9; 16]);
    let enrolling = store
        .enroll(&enrolled(&tpm, NOW), again, None, NOW)
        .await
        .unwrap();
    assert_eq!(enrolling, Enrolling::Renewed(id));
    let renewed = host(store, id).await;
    assert_eq!(renewed.enrolled.ak, tpm.ak_public);
    assert_eq!(renewed.last, renewed.enrolled.anchor);
    assert_eq!(
        renewed.reference.0, learned,
        "without a token the reference stays"
    );

    store.add_token(&token(1)).await.unwrap();
    let enrolling = store
        .enroll(&enrolled(&tpm, NOW), again, Some(token(1).hash), NOW)
        .await
        .unwrap();
    assert_eq!(enrolling, Enrolling::Renewed(id));
    assert!(host(store, id).await.reference.0.is_empty());
    assert_eq!(store.hosts().await.unwrap().len(), 1);
}

async fn a_revoked_host_stays_revoked(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (tpm, id) = with_host(store, 1).await;
    let before = host(store, id).await;
    assert_eq!(store.revoke(id, "lost", NOW).await.unwrap(), Found::Changed);
    assert_eq!(
        store.revoke(id, "again", NOW).await.unwrap(),
        Found::Unchanged
    );
    let unknown = HostId::from_random([7; 16]);
    assert_eq!(
        store.revoke(unknown, "", NOW).await.unwrap(),
        Found::Unknown
    );
    let standing = host(store, id).await.standing;
    let why = "lost".to_owned();
    assert_eq!(standing, Standing::Revoked { at: NOW, why });

    let enrolling = store
        .enroll(&enrolled(&tpm, NOW), unknown, None, NOW)
        .await
        .unwrap();
    assert_eq!(enrolling, Enrolling::Revoked(id));
    // Evidence that was being judged meanwhile.
    let accepted = store
        .accept(&acceptance(&before, 9, PcrValues::new()))
        .await;
    assert!(matches!(accepted, Err(StoreError::Conflict)));
}

async fn acceptance_is_whole_and_made_from_the_newest_reading(engine: Engine<'_>) {
    let Fixture { store, home, .. } = &Fixture::new(engine).await;
    let (tpm, id) = with_host(store, 1).await;
    let before = host(store, id).await;
    store
        .accept(&acceptance(&before, 9, tpm.pcrs.clone()))
        .await
        .unwrap();
    let after = host(store, id).await;
    assert_eq!(after.last.audit_counter, 9);
    assert_eq!(after.reference.0, tpm.pcrs);
    assert_eq!(after.enrolled, before.enrolled);
    assert_eq!(
        store.verdicts(id, 9).await.unwrap(),
        [verdict(id, Outcome::Accepted)]
    );

    let stale = store
        .accept(&acceptance(&before, 8, PcrValues::new()))
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict)));
    // One that fails halfway leaves nothing: this value has a reference already.
    let mut again = PcrValues::new();
    assert!(again.insert(pcr(7), digest(1)));
    assert!(store.accept(&acceptance(&after, 10, again)).await.is_err());
    assert_eq!(host(store, id).await, after);

    // It is on disk.
    store.close().await;
    let reopened = SqlStore::open(home).await.unwrap();
    assert_eq!(host(&reopened, id).await, after);
}

async fn a_reference_is_forgotten_on_request(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (tpm, id) = with_host(store, 1).await;
    assert_eq!(store.forget_reference(id).await.unwrap(), Found::Unchanged);
    let before = host(store, id).await;
    store
        .accept(&acceptance(&before, 9, tpm.pcrs.clone()))
        .await
        .unwrap();
    assert_eq!(store.forget_reference(id).await.unwrap(), Found::Changed);
    assert!(host(store, id).await.reference.0.is_empty());
}

async fn the_verdict_log_is_bounded_and_newest_first(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, id) = with_host(store, 1).await;
    let (_, other) = with_host(store, 2).await;
    store
        .record_verdict(&verdict(other, Outcome::Accepted))
        .await
        .unwrap();
    let mut tx = store.write().await.unwrap();
    for _ in 0..1005 {
        super::log::verdict(&mut tx, &verdict(id, Outcome::Refused))
            .await
            .unwrap();
    }
    super::log::verdict(&mut tx, &verdict(id, Outcome::Accepted))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let newest = store.verdicts(id, 2000).await.unwrap();
    assert_eq!(newest.len(), 1000);
    assert_eq!(newest.first(), Some(&verdict(id, Outcome::Accepted)));
    assert_eq!(store.verdicts(other, 9).await.unwrap().len(), 1);
}

async fn svids_are_remembered_for_a_while_after_their_end(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, id) = with_host(store, 1).await;
    store.record_svids(&[svid(id)]).await.unwrap();
    let later = IssuedSvid {
        issued_at: NOW + 91 * 24 * 60 * MINUTE,
        expires_at: NOW + 91 * 24 * 61 * MINUTE,
        ..svid(id)
    };
    store.record_svids(&[later]).await.unwrap();
    assert_eq!(store.issued_svids().await, 1);
}

impl SqlStore {
    /// How many SVIDs it remembers.
    pub(crate) async fn issued_svids(&self) -> usize {
        let count = sqlx::query_scalar("SELECT count(*) FROM svid");
        let count: i64 = count.fetch_one(&self.pool).await.unwrap();
        usize::try_from(count).unwrap()
    }
}

async fn a_value_that_we_did_not_write_is_corrupt_and_no_default(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, id) = with_host(store, 1).await;
    for spoil in [
        "UPDATE host SET last = '{}'",
        "UPDATE host SET grade = 'golden'",
        "UPDATE host SET ak = substr(ak, 1, 1)",
        "UPDATE host SET name = 'a b'",
    ] {
        let copy = sqlx::query_as::<_, (String, String, Vec<u8>, String)>(
            "SELECT last, grade, ak, name FROM host",
        )
        .fetch_one(&store.pool)
        .await
        .unwrap();
        sqlx::query(spoil).execute(&store.pool).await.unwrap();
        assert!(
            matches!(store.host(id).await, Err(StoreError::Corrupt { .. })),
            "{spoil}"
        );
        sqlx::query("UPDATE host SET last = $1, grade = $2, ak = $3, name = $4")
            .bind(copy.0)
            .bind(copy.1)
            .bind(copy.2)
            .bind(copy.3)
            .execute(&store.pool)
            .await
            .unwrap();
        assert!(store.host(id).await.is_ok());
    }
}

async fn a_measurement_lists_state_is_kept_with_what_was_judged(engine: Engine<'_>) {
    let Fixture { store, .. } = &Fixture::new(engine).await;
    let (_, id) = with_host(store, 1).await;
    let state = |boot| ImaState {
        boot,
        proven: Replay::start([HashAlg::Sha256]),
        ahead: Some(Replay::start([HashAlg::Sha256])),
        unjustified: 3,
    };
    let read = host(store, id).await;
    assert_eq!(read.ima, None);
    let refusal = verdict(id, Outcome::Refused);
    store
        .refuse_ahead(id, read.revision, &state(1), &refusal)
        .await
        .unwrap();
    // An answer made from the reading before is too late, whichever it is.
    for late in [
        store
            .refuse_ahead(id, read.revision, &state(2), &refusal)
            .await,
        store.accept(&acceptance(&read, 1, PcrValues::new())).await,
    ] {
        assert!(matches!(late, Err(StoreError::Conflict)));
    }
    let read = host(store, id).await;
    assert_eq!(read.ima, Some(state(1)));
    store
        .accept(&Acceptance {
            ima: Some(state(2)),
            ..acceptance(&read, 1, PcrValues::new())
        })
        .await
        .unwrap();
    // An acceptance without a list leaves the state.
    let read = host(store, id).await;
    store
        .accept(&acceptance(&read, 1, PcrValues::new()))
        .await
        .unwrap();
    assert_eq!(host(store, id).await.ima, Some(state(2)));
    assert_eq!(store.verdicts(id, 9).await.unwrap().len(), 3);
}
