//! How fast records become durable and part of the tree, beside what SQLite alone does with the same bytes in the same run.
//!
//! `cargo bench -p holdfast-record-audit` prints a table. The goal: at least 60 % of raw SQLite, at least 20,000 a second.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark, run by people"
)]

#[path = "../tests/main/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_record_audit::ocsf::Draft;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use support::{SoftTpm, event, open};
use tokio::task::JoinSet;

const RECORDS: u64 = 100_000;
const BATCH: u64 = 256;
/// As many as a busy host has sessions, and enough to fill a batch.
const CALLERS: u64 = 512;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let sync = fdatasync(folder.path());
    let bytes = Draft::render("example.org/audit/test-host", &event(0))
        .unwrap()
        .at(0)
        .len();
    let rendering = rendering();
    let raw = raw_sqlite(folder.path(), bytes).await;
    let log = log(&folder.path().join("log")).await;
    let alone = one_caller(&folder.path().join("alone")).await;
    println!("record size                     {bytes} bytes");
    println!(
        "fdatasync, median               {:.3} ms",
        sync.as_secs_f64() * 1e3
    );
    println!("rendering, one core              {rendering:.0}/s");
    println!("raw SQLite, {BATCH} rows a commit   {raw:.0}/s");
    println!(
        "audit log, {CALLERS} callers         {log:.0}/s, {:.0} % of raw",
        100.0 * log / raw
    );
    println!("audit log, one caller           {alone:.0}/s");
}

/// What a caller does by itself, on one core: the event as canonical JSON.
fn rendering() -> f64 {
    let started = Instant::now();
    let count = 20_000;
    for number in 0..count {
        std::hint::black_box(Draft::render("example.org/audit/test-host", &event(number)).unwrap());
    }
    count as f64 / started.elapsed().as_secs_f64()
}

/// The same table, bytes and batch, and nothing else: prepared once, no hashing, no tree.
async fn raw_sqlite(folder: &Path, bytes: usize) -> f64 {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("raw.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "4000");
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE record (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, json BLOB NOT NULL) STRICT")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut sql = String::from("INSERT INTO record (idx, leaf, json) VALUES (?, ?, ?)");
    for _ in 1..BATCH {
        write!(sql, ", (?, ?, ?)").unwrap();
    }
    let sql: &'static str = sql.leak();
    let started = Instant::now();
    let mut index = 0_i64;
    while index < RECORDS as i64 {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let mut statement = sqlx::query(sql);
        for _ in 0..BATCH {
            statement = statement
                .bind(index)
                .bind(vec![7_u8; 32])
                .bind(vec![b'x'; bytes]);
            index += 1;
        }
        statement.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }
    index as f64 / started.elapsed().as_secs_f64()
}

async fn log(folder: &Path) -> f64 {
    let running = open(folder, &SoftTpm::new()).await;
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let log = running.log.clone();
        callers.spawn(async move {
            for number in 0..RECORDS / CALLERS {
                log.record(&event(caller * RECORDS + number)).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    let rate = running.log.head().size as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let report = running.log.verify().await.unwrap();
    assert!(report.findings.is_empty());
    println!(
        "verification                    {:.0}/s",
        report.head.size as f64 / started.elapsed().as_secs_f64()
    );
    running.stop().await;
    rate
}

async fn one_caller(folder: &Path) -> f64 {
    let running = open(folder, &SoftTpm::new()).await;
    let started = Instant::now();
    let mut count = 0_u64;
    while started.elapsed() < Duration::from_secs(2) {
        running.log.record(&event(count)).await.unwrap();
        count += 1;
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    running.stop().await;
    rate
}

fn fdatasync(folder: &Path) -> Duration {
    let file = std::fs::File::create(folder.join("sync")).unwrap();
    let mut times: Vec<_> = (0..200_u64)
        .map(|number| {
            file.write_all_at(&[number as u8; 4096], number * 4096)
                .unwrap();
            let started = Instant::now();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}
