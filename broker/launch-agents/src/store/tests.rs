#![allow(clippy::unwrap_used, reason = "tests")]
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::package::Selection;

fn program(folder: &Path, content: &str) -> File {
    let path = folder.join("program");
    std::fs::write(&path, content).unwrap();
    File::open(path).unwrap()
}

fn read(stored: Stored) -> String {
    let mut content = String::new();
    File::from(stored.program)
        .read_to_string(&mut content)
        .unwrap();
    content
}

/// How many programs a store has.
fn programs(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap();
    names
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file())
        .count()
}

#[test]
fn what_was_measured_is_what_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    let original = program(scratch.path(), "one");
    let first = store.admit(&original).unwrap();
    let digest = first.digest;
    // Rewritten in place, as an attacker would between hash and exec.
    std::fs::write(scratch.path().join("program"), "two").unwrap();
    assert_eq!(read(first), "one");
    let second = store.admit(&original).unwrap();
    assert_ne!(second.digest, digest);
    assert_eq!(read(second), "two");
    let mode = std::fs::metadata(scratch.path().join(format!("store/{digest}")));
    assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o555);
}

#[test]
fn a_known_program_is_not_copied_again() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = Store::open(&folder).unwrap();
    let original = program(scratch.path(), "one");
    let digest = store.admit(&original).unwrap().digest;
    assert_eq!(store.admit(&original).unwrap().digest, digest);
    assert_eq!(programs(&folder), 1);
    // A lost copy is made again, not believed.
    std::fs::remove_file(folder.join(digest.to_string())).unwrap();
    assert_eq!(read(store.admit(&original).unwrap()), "one");
}

/// A package of one script, opened.
fn package(folder: &Path, content: &str) -> OwnedFd {
    let root = folder.join("package");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("main.js"), content).unwrap();
    File::open(root).unwrap().into()
}

fn script(stored: &StoredPackage) -> String {
    let path = format!("/proc/self/fd/{}/main.js", stored.root.as_raw_fd());
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_package_that_is_rewritten_after_it_was_measured_stays_what_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    let original = package(scratch.path(), "one");
    let first = store.admit_package(&original, &Selection::All).unwrap();
    std::fs::write(scratch.path().join("package/main.js"), "two").unwrap();
    assert_eq!(script(&first), "one");
    let second = store.admit_package(&original, &Selection::All).unwrap();
    assert_ne!(second.digest, first.digest);
    assert_eq!((&*script(&first), &*script(&second)), ("one", "two"));
}

#[test]
fn a_known_package_is_not_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = Store::open(&folder).unwrap();
    let original = package(scratch.path(), "one");
    let digest = store
        .admit_package(&original, &Selection::All)
        .unwrap()
        .digest;
    let copy = folder.join(format!("packages/{digest}/root/main.js"));
    let inode = || std::fs::metadata(&copy).unwrap().ino();
    let before = inode();
    let again = store.admit_package(&original, &Selection::All).unwrap();
    assert_eq!((again.digest, inode()), (digest, before));
}

#[test]
fn a_copy_that_was_tampered_with_is_never_used() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let original = package(scratch.path(), "one");
    let native = program(scratch.path(), "native");
    let store = Store::open(&folder).unwrap();
    let digest = store
        .admit_package(&original, &Selection::All)
        .unwrap()
        .digest;
    let program_digest = store.admit(&native).unwrap().digest;
    let copies = [
        folder.join(format!("packages/{digest}/root/main.js")),
        folder.join(program_digest.to_string()),
    ];
    for (restarted, store) in [(false, store), (true, Store::open(&folder).unwrap())] {
        for copy in &copies {
            let bad = copy.with_file_name("bad");
            std::fs::write(&bad, "bad").unwrap();
            let mode = std::fs::metadata(copy).unwrap().permissions();
            std::fs::set_permissions(&bad, mode).unwrap();
            std::fs::rename(&bad, copy).unwrap();
        }
        let stored = store.admit_package(&original, &Selection::All).unwrap();
        assert_eq!(stored.digest, digest, "restarted: {restarted}");
        assert_eq!(script(&stored), "one", "restarted: {restarted}");
        assert_eq!(read(store.admit(&native).unwrap()), "native");
    }
}

#[test]
fn what_was_not_used_for_longest_goes_first_and_what_is_in_use_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = Store::open(&folder).unwrap().with_bound(250);
    let hundred = |byte: &str| byte.repeat(100);
    let used = store
        .admit_package(&package(scratch.path(), &hundred("a")), &Selection::All)
        .unwrap();
    let mut digests = Vec::new();
    for byte in ["b", "c", "d"] {
        let original = program(scratch.path(), &hundred(byte));
        digests.push(store.admit(&original).unwrap().digest);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // 400 bytes of 250: the package is the oldest, and held.
    assert_eq!(script(&used), hundred("a"));
    assert!(store.find_package(used.digest).unwrap().is_some());
    assert!(store.find(digests[0]).unwrap().is_none());
    assert!(store.find(digests[1]).unwrap().is_none());
    assert!(store.find(digests[2]).unwrap().is_some());
    let digest = used.digest;
    drop(used);
    store
        .admit(&program(scratch.path(), &hundred("e")))
        .unwrap();
    store
        .admit(&program(scratch.path(), &hundred("f")))
        .unwrap();
    assert!(store.find_package(digest).unwrap().is_none());
}

#[test]
fn what_a_killed_broker_had_begun_is_swept() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    drop(Store::open(&folder).unwrap());
    let begun = folder.join("packages").join(format!("{UNFINISHED}1/root"));
    std::fs::create_dir_all(&begun).unwrap();
    std::fs::write(begun.join("half"), "").unwrap();
    Store::open(&folder).unwrap();
    assert_eq!(
        std::fs::read_dir(folder.join("packages")).unwrap().count(),
        0
    );
}

/// Hostile programs: each is refused, none is waited for.
#[test]
fn what_is_no_program_is_not_taken() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = Store::open(&folder).unwrap();
    let pipe = scratch.path().join("pipe");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(CWD, &pipe, kind, Mode::from(0o755), 0).unwrap();
    let waits_for_nobody = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let sparse = File::create(scratch.path().join("sparse")).unwrap();
    sparse.set_len(3 << 30).unwrap();
    for hostile in [
        open(&pipe, waits_for_nobody, Mode::empty()).unwrap().into(),
        File::open(scratch.path()).unwrap(),
        File::open("/dev/zero").unwrap(),
        File::open("/proc/self/environ").unwrap(),
        File::open(scratch.path().join("sparse")).unwrap(),
    ] {
        assert!(matches!(store.admit(&hostile), Err(StoreError::Measure(_))));
    }
    assert_eq!(programs(&folder), 0);
}

#[test]
fn a_copy_has_no_right_that_the_original_had() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("store");
    let store = Store::open(&folder).unwrap();
    let original = scratch.path().join("setuid");
    std::fs::write(&original, "powerful").unwrap();
    let mode = std::fs::Permissions::from_mode(0o6755);
    std::fs::set_permissions(&original, mode).unwrap();
    // Under another name, as who may link to it would have it.
    let link = scratch.path().join("link");
    std::fs::hard_link(&original, &link).unwrap();
    let link = File::open(link).unwrap();
    assert!(matches!(
        measure::refuse_privileged(&link),
        Err(MeasureError::Privileged)
    ));
    let digest = store.admit(&link).unwrap().digest;
    let copy = std::fs::metadata(folder.join(digest.to_string())).unwrap();
    assert_eq!(copy.permissions().mode() & 0o7777, 0o555);
    assert_ne!(copy.ino(), std::fs::metadata(&original).unwrap().ino());
}

#[test]
fn a_package_of_a_million_entries_is_refused_early() {
    // In memory where that can be: it is many names to make.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let scratch = scratch.unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    // Names of one file: as many entries as links, and quick to make.
    let root = scratch.path().join("many");
    std::fs::create_dir(&root).unwrap();
    let one = root.join("one");
    std::fs::write(&one, "").unwrap();
    for index in 0..crate::package::MAX_ENTRIES {
        let name = root.join(format!("{index}"));
        // A file system has its own bound on the names of a file.
        if std::fs::hard_link(&one, &name).is_err() {
            std::fs::write(&name, "").unwrap();
        }
    }
    let root = File::open(root).unwrap().into();
    assert!(matches!(
        store.admit_package(&root, &Selection::All),
        Err(StoreError::Package(PackageError::Large(_)))
    ));
    assert_eq!(std::fs::read_dir(&store.packages).unwrap().count(), 0);
}
