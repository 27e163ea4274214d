//! What someone with write access to the database can do to a log, and how each of it is named.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_record_audit::store::Reader;
use holdfast_record_audit::{AuditError, DuePolicy, verify_folder};
use tempfile::TempDir;

use crate::support;
use crate::support::{FIRST, SoftTpm, open, record, second_connection, try_open};

/// A closed log of 30 records with checkpoints over 10, 20 and 30.
async fn log_of_30() -> (TempDir, Arc<SoftTpm>) {
    let folder = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let running = open(folder.path(), &tpm).await;
    for _ in 0..3 {
        record(&running.log, 10).await;
        running.log.checkpoint_now().await.unwrap();
    }
    running.stop().await;
    assert_eq!(findings(folder.path(), &tpm).await, Vec::<String>::new());
    (folder, tpm)
}

async fn findings(folder: &Path, tpm: &SoftTpm) -> Vec<String> {
    verify_folder(folder, &tpm.log_anchor(), Some(tpm.counter()))
        .await
        .unwrap()
        .report()
        .findings
}

async fn tampered(statement: &'static str) -> Vec<String> {
    let (folder, tpm) = log_of_30().await;
    let mut other = second_connection(folder.path()).await;
    support::sql(&mut other, statement).await;
    drop(other);
    findings(folder.path(), &tpm).await
}

#[tokio::test]
async fn a_changed_byte_is_named() {
    assert_eq!(
        tampered(
            "UPDATE record SET json = CAST(replace(CAST(json AS TEXT), 'reason 7', 'reason 8') AS BLOB) WHERE idx = 17"
        )
        .await,
        ["record 17 was changed after it was written"]
    );
    assert_eq!(
        tampered("UPDATE record SET leaf = zeroblob(32) WHERE idx = 17").await,
        ["record 17 was changed after it was written"]
    );
    assert_eq!(
        tampered("UPDATE record SET leaf = x'00' WHERE idx = 17").await,
        ["record 17 was changed after it was written"]
    );
}

#[tokio::test]
async fn a_record_that_was_changed_with_its_hash_is_caught_by_the_signed_root() {
    let (folder, tpm) = log_of_30().await;
    let forged = br#"{"forged":true}"#;
    let mut other = second_connection(folder.path()).await;
    sqlx::query("UPDATE record SET json = ?, leaf = ? WHERE idx = 17")
        .bind(forged.as_slice())
        .bind(leaf_hash(forged).as_bytes().as_slice())
        .execute(&mut other)
        .await
        .unwrap();
    drop(other);
    assert_eq!(
        findings(folder.path(), &tpm).await,
        [
            "records 10 to 19 are not those that the TPM-signed checkpoint was made over: at least one was changed \
          together with its hash"
        ]
    );
}

#[tokio::test]
async fn missing_records_are_named() {
    assert_eq!(
        tampered("DELETE FROM record WHERE idx = 17").await,
        ["record 17 is missing"]
    );
    assert_eq!(
        tampered("DELETE FROM record WHERE idx BETWEEN 0 AND 4").await,
        ["records 0 to 4 are missing"]
    );
    // Moved up to close the gap: what stands at 17 was hashed as 18.
    let moved = tampered(
        "DELETE FROM record WHERE idx = 17; UPDATE record SET idx = idx - 1 WHERE idx > 17",
    )
    .await;
    assert!(
        moved[0].starts_with("records 10 to 19 are not those"),
        "{moved:?}"
    );
    assert!(
        moved[1].starts_with("the log ends at 29 but the TPM-signed checkpoint covers 30"),
        "{moved:?}"
    );
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_named() {
    assert_eq!(
        tampered("DELETE FROM record WHERE idx >= 12").await,
        ["the log ends at 12 but the TPM-signed checkpoint covers 30: its tail was cut off"]
    );
}

#[tokio::test]
async fn a_tail_that_was_cut_off_with_its_tree_and_checkpoints_is_caught_by_the_counter() {
    let (folder, tpm) = log_of_30().await;
    let mut reader = Reader::open(folder.path()).await.unwrap();
    let mut tree = Frontier::empty();
    for row in reader.records(0, 12).await.unwrap() {
        tree.append(row.leaf.unwrap());
    }
    reader.close().await.unwrap();
    let peaks: Vec<u8> = tree
        .peaks()
        .iter()
        .flat_map(|peak| *peak.as_bytes())
        .collect();
    let mut other = second_connection(folder.path()).await;
    support::sql(
        &mut other,
        "DELETE FROM record WHERE idx >= 12; DELETE FROM checkpoint WHERE size > 12",
    )
    .await;
    sqlx::query("UPDATE log SET size = 12, peaks = ?")
        .bind(peaks)
        .execute(&mut other)
        .await
        .unwrap();
    drop(other);
    assert_eq!(
        findings(folder.path(), &tpm).await,
        [put_back(FIRST + 3, FIRST)]
    );
    // From the files alone it is a shorter log without a flaw: only the counter, or a mirror, knows better.
    let offline = verify_folder(folder.path(), &tpm.log_anchor(), None)
        .await
        .unwrap();
    assert!(offline.findings.is_empty());
    // The broker does not go on from there either.
    assert!(matches!(
        try_open(folder.path(), &tpm, DuePolicy::default()).await,
        Err(AuditError::Contradiction(_))
    ));
}

#[tokio::test]
async fn an_old_database_that_was_put_back_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let tpm = SoftTpm::new();
    let running = open(folder.path(), &tpm).await;
    record(&running.log, 10).await;
    running.stop().await;
    fs::copy(
        support::database(folder.path()),
        support::database(old.path()),
    )
    .unwrap();
    let running = open(folder.path(), &tpm).await;
    record(&running.log, 10).await;
    running.log.checkpoint_now().await.unwrap();
    running.stop().await;
    fs::copy(
        support::database(old.path()),
        support::database(folder.path()),
    )
    .unwrap();
    assert_eq!(
        findings(folder.path(), &tpm).await,
        [put_back(FIRST + 2, FIRST)]
    );
    assert!(matches!(
        try_open(folder.path(), &tpm, DuePolicy::default()).await,
        Err(AuditError::Contradiction(_))
    ));
}

#[tokio::test]
async fn a_deleted_database_does_not_give_a_fresh_start() {
    let (folder, tpm) = log_of_30().await;
    fs::remove_file(support::database(folder.path())).unwrap();
    assert!(matches!(
        try_open(folder.path(), &tpm, DuePolicy::default()).await,
        Err(AuditError::Contradiction(_))
    ));
}

#[tokio::test]
async fn checkpoints_that_were_tampered_with_are_named() {
    let changed = tampered("UPDATE checkpoint SET note = replace(note, char(10) || '20' || char(10), char(10) || '19' || char(10)) WHERE seq = 2").await;
    assert!(
        changed[0].starts_with("checkpoint 2 is not signed by this log's key"),
        "{changed:?}"
    );
    assert_eq!(
        tampered("UPDATE checkpoint SET size = 19 WHERE seq = 2").await[0],
        "the row of checkpoint 2 was changed: it contradicts the signed note in it"
    );
    let dropped = tampered("DELETE FROM checkpoint WHERE seq = 2").await;
    assert_eq!(
        dropped,
        ["the TPM's evidence of checkpoint 3 has a flaw: the counter is at 9 instead of 8"]
    );
    let malformed = tampered("UPDATE checkpoint SET note = 'nonsense' WHERE seq = 3").await;
    assert!(
        malformed[0].starts_with("checkpoint 3 is malformed"),
        "{malformed:?}"
    );
}

#[tokio::test]
async fn a_tampered_tree_and_added_records_are_named() {
    let (folder, tpm) = log_of_30().await;
    let running = open(folder.path(), &tpm).await;
    record(&running.log, 2).await;
    running.crash().await;
    let mut other = second_connection(folder.path()).await;
    support::sql(&mut other, "UPDATE log SET peaks = zeroblob(length(peaks))").await;
    assert_eq!(
        findings(folder.path(), &tpm).await,
        ["the stored tree is not that of the records after 30: a record or the tree was changed"]
    );
    support::sql(&mut other, "DELETE FROM record WHERE idx = 31").await;
    assert_eq!(
        findings(folder.path(), &tpm).await,
        ["the log ends at 31 but its stored tree covers 32: its tail was cut off"]
    );
    support::sql(&mut other, "INSERT INTO record SELECT 31, leaf, json FROM record WHERE idx = 1; INSERT INTO record SELECT 32, leaf, json FROM record WHERE idx = 2").await;
    assert_eq!(
        findings(folder.path(), &tpm).await,
        ["records from 32 on were added behind the end of the log"]
    );
    support::sql(&mut other, "DELETE FROM log").await;
    assert_eq!(
        findings(folder.path(), &tpm).await,
        ["the database is damaged: its tree cannot be read"]
    );
}

#[tokio::test]
async fn another_tpm_does_not_pass_for_this_one() {
    let (folder, tpm) = log_of_30().await;
    let other = SoftTpm::new();
    let report = findings(folder.path(), &other).await;
    assert_eq!(report.len(), 3, "{report:?}");
    assert!(
        report
            .iter()
            .all(|finding| finding.contains("is not signed by this log's key"))
    );
    // The same key with a counter that is behind: the TPM was cleared or replaced.
    let behind = verify_folder(folder.path(), &tpm.log_anchor(), Some(FIRST))
        .await
        .unwrap();
    assert!(
        behind.findings[0].to_string().contains("behind the 10"),
        "{:?}",
        behind.findings
    );
}

#[tokio::test]
async fn a_changed_tail_is_not_opened() {
    let (folder, tpm) = log_of_30().await;
    let mut other = second_connection(folder.path()).await;
    support::sql(
        &mut other,
        "UPDATE record SET json = x'7b7d' WHERE idx = 29",
    )
    .await;
    drop(other);
    let refused = try_open(folder.path(), &tpm, DuePolicy::default()).await;
    assert!(matches!(refused, Err(AuditError::Store(_))));
}

fn put_back(counter: u64, evidence: u64) -> String {
    format!(
        "an older database was put back, or evidence was removed: the TPM's counter stands at {counter}, and the log's \
         last evidence is for {evidence}"
    )
}
