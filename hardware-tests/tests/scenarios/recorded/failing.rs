//! The disk fails: what cannot be recorded is not done.

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::harness::{skipped, wait_until};
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
    let Some(disk) = SmallDisk::under(&folder(&world.broker)) else {
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

/// A file system of one megabyte, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts one under what is in `folder`; `None` without the right to mount.
    fn under(folder: &Path) -> Option<Self> {
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside).unwrap();
        std::fs::create_dir(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(folder)
            .output()
            .unwrap();
        if !mounted.status.success() {
            return None;
        }
        let disk = Self(folder.to_owned());
        for file in std::fs::read_dir(&aside).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        Some(disk)
    }

    fn fill(&self) {
        let zeros = vec![0; 2 << 20];
        assert!(std::fs::write(self.filler(), zeros).is_err());
    }

    fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that fails leaves a broker with open files here for a moment.
        let _done = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
