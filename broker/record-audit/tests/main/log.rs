//! The running log: what it acknowledges, freezes, refuses, and takes up again.

use std::fs;
use std::time::Duration;

use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::id::CallId;
use holdfast_protocol::receipt::{Consent, ConsentFormat, ConsentProof, Receipt};
use holdfast_protocol::{Sha256Digest, Timestamp};
use holdfast_record_audit::{AuditError, DuePolicy, LastStop, StoreError, verify_folder};

use crate::support;
use crate::support::{FIRST, Fault, Running, SoftTpm, event, open, open_with, record, try_open};

#[tokio::test]
async fn records_get_contiguous_indices_and_keep_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let running = open(folder.path(), &SoftTpm::new()).await;
    for number in 0..3 {
        let recorded = running.log.record(&event(number)).await.unwrap();
        assert_eq!(recorded.index, number);
    }
    let records = running.log.records(0, 10).await.unwrap();
    assert_eq!(records.len(), 3);
    for (number, record) in (0..).zip(&records) {
        let json: serde_json::Value = serde_json::from_str(&record.json).unwrap();
        assert_eq!(json["metadata"]["sequence"], number);
        assert_eq!(json["status_detail"], format!("reason {number}"));
    }
    assert_eq!(running.log.tail(2).await.unwrap(), records[1..]);
    assert_eq!(running.log.head().size, 3);
    running.stop().await;
}

#[tokio::test]
async fn many_callers_at_once_share_commits_and_get_distinct_indices() {
    let folder = tempfile::tempdir().unwrap();
    let running = open(folder.path(), &SoftTpm::new()).await;
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..600 {
        let log = running.log.clone();
        callers.spawn(async move { log.record(&event(number)).await.unwrap().index });
    }
    let mut indices = callers.join_all().await;
    indices.sort_unstable();
    assert_eq!(indices, (0..600).collect::<Vec<_>>());
    assert!(running.log.verify().await.unwrap().findings.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_checkpoint_freezes_what_is_there_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let running = open(folder.path(), &tpm).await;
    record(&running.log, 3).await;
    let head = running.log.checkpoint_now().await.unwrap();
    assert_eq!((head.size, head.checkpointed), (3, 3));
    assert_eq!(head.counter, Some(FIRST));
    assert_eq!(tpm.counter(), FIRST + 1);
    // Nothing new: nothing to sign and nothing to count.
    running.log.checkpoint_now().await.unwrap();
    assert_eq!(tpm.counter(), FIRST + 1);
    assert!(running.log.verify().await.unwrap().findings.is_empty());
    running.stop().await;
    let report = verify_folder(folder.path(), &tpm.log_anchor(), Some(tpm.counter()))
        .await
        .unwrap()
        .report();
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!(report.head, head);
}

#[tokio::test]
async fn an_approval_is_frozen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let running = open(folder.path(), &tpm).await;
    record(&running.log, 1).await;
    let mut approval = event(1);
    approval.what = approved();
    running.log.record(&approval).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while running.log.head().checkpointed < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(running.log.head().counter, Some(FIRST));
    running.stop().await;
}

#[tokio::test]
async fn a_stop_in_order_covers_everything_and_a_crash_is_told_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let opened = try_open(folder.path(), &tpm, DuePolicy::default())
        .await
        .unwrap();
    assert_eq!((opened.last_stop, opened.records), (LastStop::New, 0));
    let running = Running::start(opened.log, opened.task);
    record(&running.log, 5).await;
    let log = running.log.clone();
    running.stop().await;
    assert_eq!(log.head().checkpointed, 5);
    assert!(matches!(
        log.record(&event(5)).await,
        Err(AuditError::Closed)
    ));

    let opened = try_open(folder.path(), &tpm, DuePolicy::default())
        .await
        .unwrap();
    assert_eq!((opened.last_stop, opened.records), (LastStop::Orderly, 5));
    let running = Running::start(opened.log, opened.task);
    record(&running.log, 2).await;
    running.crash().await;

    let opened = try_open(folder.path(), &tpm, DuePolicy::default())
        .await
        .unwrap();
    assert_eq!((opened.last_stop, opened.records), (LastStop::Unclean, 7));
}

#[tokio::test]
async fn a_tpm_that_fails_holds_up_no_record_and_is_asked_again() {
    for fault in [
        Fault::Sign,
        Fault::Certify,
        Fault::IncrementUndone,
        Fault::IncrementDone,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let tpm = SoftTpm::new();
        let due = DuePolicy {
            retry: Duration::from_millis(20),
            ..DuePolicy::default()
        };
        let running = open_with(folder.path(), &tpm, due).await;
        record(&running.log, 2).await;
        tpm.fail(&[fault, Fault::Value]);
        let first = running.log.checkpoint_now().await;
        record(&running.log, 2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let head = running.log.checkpoint_now().await.unwrap();
        assert_eq!(
            (head.size, head.checkpointed),
            (4, 4),
            "{fault:?} {first:?}"
        );
        assert_eq!(head.counter, Some(FIRST + 1), "{fault:?}");
        assert_eq!(tpm.counter(), FIRST + 2, "{fault:?}");
        let report = running.log.verify().await.unwrap();
        assert_eq!(report.findings, Vec::<String>::new(), "{fault:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_counter_that_someone_else_advances_breaks_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let mut running = open(folder.path(), &tpm).await;
    record(&running.log, 2).await;
    tpm.burn();
    assert!(matches!(
        running.log.checkpoint_now().await,
        Err(AuditError::Broken { .. })
    ));
    assert!(matches!(
        running.failure().await,
        AuditError::Contradiction(_)
    ));
    assert!(matches!(
        running.log.record(&event(2)).await,
        Err(AuditError::Broken { .. })
    ));
    assert!(matches!(
        try_open(folder.path(), &tpm, DuePolicy::default()).await,
        Err(AuditError::Contradiction(_))
    ));
}

#[tokio::test]
async fn deleted_and_replaced_files_refuse_every_append() {
    for file in ["audit.db", "audit.db-wal", "audit.db-shm"] {
        for replaced in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut running = open(folder.path(), &SoftTpm::new()).await;
            record(&running.log, 2).await;
            let path = folder.path().join(file);
            if replaced {
                let copy = folder.path().join("copy");
                fs::write(&copy, b"another file").unwrap();
                fs::rename(&copy, &path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            for _ in 0..2 {
                let refused = running.log.record(&event(2)).await;
                assert!(
                    matches!(&refused, Err(AuditError::Broken { why }) if why.contains(file)),
                    "{file} {refused:?}"
                );
            }
            assert!(matches!(
                running.failure().await,
                AuditError::Store(StoreError::Moved(_))
            ));
        }
    }
}

#[tokio::test]
async fn a_database_error_refuses_every_append_until_the_log_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let mut running = open(folder.path(), &tpm).await;
    record(&running.log, 2).await;
    let mut other = support::second_connection(folder.path()).await;
    support::sql(
        &mut other,
        "CREATE TRIGGER full BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    )
    .await;
    let refused = running.log.record(&event(2)).await;
    assert!(
        matches!(&refused, Err(AuditError::Broken { why }) if why.contains("disk full")),
        "{refused:?}"
    );
    support::sql(&mut other, "DROP TRIGGER full").await;
    assert!(running.log.record(&event(2)).await.is_err());
    running.failure().await;

    let running = open(folder.path(), &tpm).await;
    assert_eq!(running.log.record(&event(2)).await.unwrap().index, 2);
    assert!(running.log.verify().await.unwrap().findings.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn two_brokers_cannot_share_a_log_nor_two_origins_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let running = open(folder.path(), &tpm).await;
    assert!(matches!(
        try_open(folder.path(), &tpm, DuePolicy::default()).await,
        Err(AuditError::Store(StoreError::InUse { .. }))
    ));
    running.stop().await;
    let mut config = support::config(folder.path(), &tpm, DuePolicy::default());
    config.origin = holdfast_proof::note::Origin::new("example.org/audit/other").unwrap();
    assert!(matches!(
        holdfast_record_audit::AuditLog::open(config, tpm).await,
        Err(AuditError::Store(StoreError::OtherOrigin { .. }))
    ));
}

#[tokio::test]
async fn an_event_that_cannot_be_a_record_is_refused_and_the_log_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let running = open(folder.path(), &SoftTpm::new()).await;
    let mut huge = event(0);
    huge.what = What::HostEnrolled {
        attestor: "x".repeat(70_000),
        host: holdfast_protocol::id::HostId::from_random([1; 16]),
    };
    assert!(matches!(
        running.log.record(&huge).await,
        Err(AuditError::Event(_))
    ));
    assert_eq!(running.log.record(&event(0)).await.unwrap().index, 0);
    running.stop().await;
}

fn approved() -> What {
    let digest = Sha256Digest::new([9; 32]);
    What::CallApproved {
        receipt: Receipt {
            consent: Consent {
                format: ConsentFormat::V1,
                call: CallId::from_random([3; 16]),
                call_digest: digest,
                policy_digest: digest,
                human: HumanUid(1000),
                nonce: digest,
                asked: Timestamp::from_secs(1),
            },
            proof: ConsentProof::TpmPin {
                public_key: "00".into(),
                signature: "00".into(),
            },
            given: Timestamp::from_secs(2),
        },
    }
}
