//! Kills a broker's worth of log with SIGKILL at random moments: nothing that was acknowledged may be lost, and the log that
//! is left verifies, its counter included.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_record_audit::{DuePolicy, LastStop};
use tokio::task::JoinSet;

use crate::support::{Running, SoftTpm, event, open_with, try_open};

const FOLDER: &str = "HOLDFAST_TEST_CRASH_FOLDER";
const KILLS: u32 = 20;
const CALLERS: u64 = 8;

/// Checkpoints as often as it goes, so that kills hit them too.
fn eager() -> DuePolicy {
    DuePolicy {
        tick: Duration::from_millis(5),
        records: 4,
        rest: Duration::ZERO,
        daily_increments: 1_000_000,
        ..DuePolicy::default()
    }
}

fn parts(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("log"), folder.join("tpm"))
}

/// Not a test by itself: the process that is killed. It appends until then and prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below, in a process of its own"]
async fn appender() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        panic!("{FOLDER} is not set");
    };
    let (log, tpm) = parts(Path::new(&folder));
    let running = open_with(&log, &SoftTpm::kept_in(&tpm), eager()).await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let log = running.log.clone();
        callers.spawn(async move {
            for number in 0_u64.. {
                let recorded = log.record(&event(caller << 32 | number)).await.unwrap();
                // One write per line, so that a kill cannot tear one apart.
                let line = format!("acked {} {}\n", recorded.index, caller << 32 | number);
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test]
async fn no_acknowledged_record_is_lost_to_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (log, tpm) = parts(folder.path());
    let mut acked = Vec::new();
    // A seed that differs each time, printed so that a failure can be understood.
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::appender", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let reading = std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("acked ").map(str::to_owned))
                .collect::<Vec<_>>()
        });
        // From before the log is open to well after its first checkpoints.
        let millis = 20
            + (seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .rotate_left(kill)
                % 380);
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        acked.extend(reading.join().unwrap());

        let tpm = SoftTpm::kept_in(&tpm);
        let opened = try_open(&log, &tpm, eager()).await.unwrap();
        assert_ne!(opened.last_stop, LastStop::Orderly);
        let running = Running::start(opened.log, opened.task);
        let report = running.log.verify().await.unwrap();
        assert_eq!(report.findings, Vec::<String>::new(), "after kill {kill}");
        running.crash().await;
    }

    let tpm = SoftTpm::kept_in(&tpm);
    let running = open_with(&log, &tpm, eager()).await;
    assert!(
        acked.len() > 100,
        "only {} records were acknowledged",
        acked.len()
    );
    for line in &acked {
        let (index, number) = line.split_once(' ').unwrap();
        let (index, number): (u64, u64) = (index.parse().unwrap(), number.parse().unwrap());
        let record = running.log.records(index, 1).await.unwrap().remove(0);
        let json: serde_json::Value = serde_json::from_str(&record.json).unwrap();
        assert_eq!(record.index, index);
        assert_eq!(
            json["status_detail"],
            format!("reason {number}"),
            "record {index}"
        );
    }
    println!(
        "{} acknowledged records, counter at {}",
        acked.len(),
        tpm.counter()
    );
    running.stop().await;
}
