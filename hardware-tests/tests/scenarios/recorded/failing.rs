//! The disk fails: what cannot be recorded is not done.

use std::process::Command;

use holdfast_hardware_tests::harness::{SmallDisk, skipped, wait_until};
use holdfast_hardware_tests::world::World;

use super::database::{Copy, folder};
use super::log::{exported, head, world};

/// How long a broker may take to end.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Asks for an attestation that cannot be recorded: it is refused for that reason, and the broker ends.
fn refused(world: &mut World, named: &str) {
    let renewed = world.broker.holdfast(&["status", "--renew"]);
    assert_ne!(renewed.code, 0, "{renewed:#?}");
    assert!(renewed.stdout.is_empty(), "no identity: {renewed:#?}");
    assert!(renewed.stderr.contains(named), "{renewed:#?}");
    let (code, log) = world.broker.ended();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("the audit log failed"), "{log}");
    assert!(log.contains(named), "{log}");
}

#[test]
fn nothing_is_done_once_the_database_is_deleted() {
    let mut world = world("");
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    let kept = Copy::of(&world, "kept");
    std::fs::remove_file(folder(&world.broker).join("audit.db")).unwrap();
    refused(&mut world, "audit.db` cannot be found any more");

    // A new log does not pass for the one that is gone.
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("an older log was put back"), "{words}");
    kept.put_back(&world.broker);
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn nothing_is_done_while_the_database_is_another_file() {
    let mut world = world("");
    let kept = Copy::of(&world, "kept");
    let database = folder(&world.broker).join("audit.db");
    let aside = database.with_extension("aside");
    std::fs::rename(&database, &aside).unwrap();
    std::fs::copy(&aside, &database).unwrap();
    refused(&mut world, "audit.db` was replaced by another file");
    kept.put_back(&world.broker);
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let mut world = world("");
    world.broker.stop();
    // A disk of one MiB has no room to spare for the log's own.
    let packed = Command::new("sqlite3")
        .arg(folder(&world.broker).join("audit.db"))
        .arg("VACUUM")
        .status();
    assert!(packed.unwrap().success());
    let Some(disk) = SmallDisk::under(&folder(&world.broker), 1) else {
        skipped("a disk that is full needs root, to mount a small one");
        return;
    };
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["status", "--renew"]).success();
    let before = exported(&world.broker);
    disk.fill();
    // What is left of the last page may still take a record or two.
    wait_until(PATIENCE, "the disk to be full", || {
        world.broker.holdfast(&["status", "--renew"]).code != 0
    });
    let (code, log) = world.broker.ended();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("the audit log failed"), "{log}");
    assert!(log.contains("full"), "{log}");

    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("full"), "{words}");

    disk.clear();
    world.broker.resume(&world.scratch);
    let after = exported(&world.broker);
    assert_eq!(after[..before.len()], before);
    world.broker.holdfast(&["audit", "verify"]).success();
    world.broker.holdfast(&["status", "--renew"]).success();
    assert!(head(&world.broker).size > before.len() as u64);
    world.broker.stop();
}

#[test]
fn a_disk_that_others_fill_leaves_the_log_its_own_room() {
    let mut world = world("");
    world.broker.stop();
    let Some(disk) = SmallDisk::under(&folder(&world.broker), 320) else {
        skipped("a disk that is full needs root, to mount a small one");
        return;
    };
    world.broker.resume(&world.scratch);
    disk.fill();
    // More than a page or two: all that a few sessions' ends take, and a checkpoint.
    for _ in 0..100 {
        world.broker.holdfast(&["status", "--renew"]).success();
    }
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.broker.holdfast(&["audit", "verify"]).success();
    disk.clear();
    world.broker.stop();
}
