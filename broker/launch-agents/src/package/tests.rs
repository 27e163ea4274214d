#![allow(clippy::unwrap_used, reason = "tests")]
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;

fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn of(path: &Path) -> Result<Sha256Digest, PackageError> {
    measure(&open(path), &Selection::All)
}

fn copied(path: &Path, selection: &Selection, into: &Path) -> Sha256Digest {
    fs::create_dir(into).unwrap();
    walk::walk(&open(path), selection, &mut Copy::into(open(into))).unwrap()
}

/// A package with a file, an executable, a link and folders.
fn package(folder: &Path) {
    fs::create_dir_all(folder.join("lib/deep")).unwrap();
    fs::write(folder.join("a.js"), "one").unwrap();
    fs::write(folder.join("lib/deep/b.js"), "two").unwrap();
    fs::set_permissions(folder.join("a.js"), Permissions::from_mode(0o755)).unwrap();
    symlink("../a.js", folder.join("lib/link")).unwrap();
}

#[test]
fn a_copy_is_what_its_digest_says() {
    let scratch = tempfile::tempdir().unwrap();
    let original = scratch.path().join("original");
    package(&original);
    let copy = scratch.path().join("copy");
    let digest = copied(&original, &Selection::All, &copy);
    assert_eq!(of(&copy.join("root")).unwrap(), digest);
    assert_eq!(of(&original).unwrap(), digest);
    let mode = |path: &str| {
        let facts = fs::symlink_metadata(copy.join("root").join(path)).unwrap();
        facts.permissions().mode() & 0o7777
    };
    assert_eq!((mode("a.js"), mode("lib/deep/b.js")), (0o555, 0o444));
}

#[test]
fn anything_that_decides_what_runs_is_in_the_digest() {
    let scratch = tempfile::tempdir().unwrap();
    let one = scratch.path().join("package");
    package(&one);
    let mut seen = vec![of(&one).unwrap()];
    let mut changed = |what: &str| {
        let digest = of(&one).unwrap();
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    fs::write(one.join("lib/deep/b.js"), "Two").unwrap();
    changed("a byte");
    fs::set_permissions(one.join("a.js"), Permissions::from_mode(0o644)).unwrap();
    changed("the right to execute");
    fs::rename(one.join("lib/deep"), one.join("lib/deeq")).unwrap();
    changed("a name");
    fs::remove_file(one.join("lib/link")).unwrap();
    changed("a link less");
    symlink("../../a.js", one.join("lib/link")).unwrap();
    changed("a link's target");
    fs::remove_file(one.join("lib/link")).unwrap();
    fs::write(one.join("lib/link"), "../../a.js").unwrap();
    changed("a file for a link");
    fs::create_dir(one.join("empty")).unwrap();
    changed("an empty folder");
}

#[test]
fn what_is_not_selected_is_not_there() {
    let scratch = tempfile::tempdir().unwrap();
    let original = scratch.path().join("original");
    package(&original);
    let selection = Selection::of(["lib/deep"]).unwrap();
    let copy = scratch.path().join("copy");
    let digest = copied(&original, &selection, &copy);
    assert_eq!(measure(&open(&original), &selection).unwrap(), digest);
    assert!(copy.join("root/lib/deep/b.js").exists());
    assert!(!copy.join("root/a.js").exists() && !copy.join("root/lib/link").exists());
    let absent = Selection::of(["lib/nothing"]).unwrap();
    assert!(matches!(
        measure(&open(&original), &absent),
        Err(PackageError::Read { path, .. }) if path == "lib/nothing"
    ));
}

#[test]
fn a_fingerprint_changes_with_every_write_and_reads_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let one = scratch.path().join("package");
    package(&one);
    let look = || fingerprint(&open(&one), &Selection::All).unwrap();
    let before = look();
    assert_eq!(look(), before);
    // The same bytes: written all the same.
    fs::write(one.join("lib/deep/b.js"), "two").unwrap();
    assert_ne!(look(), before);
}

#[test]
fn links_are_not_followed_out_nor_around() {
    let scratch = tempfile::tempdir().unwrap();
    let one = scratch.path().join("package");
    package(&one);
    symlink("/", one.join("everything")).unwrap();
    symlink(".", one.join("lib/again")).unwrap();
    let copy = scratch.path().join("copy");
    copied(&one, &Selection::All, &copy);
    let target = fs::read_link(copy.join("root/everything")).unwrap();
    assert_eq!(target, Path::new("/"));
    // Nor does a part lead through one.
    for through in ["everything/etc", "lib/again/deep"] {
        let selection = Selection::of([through]).unwrap();
        assert!(measure(&open(&one), &selection).is_err(), "{through}");
    }
}

#[test]
fn sockets_and_pipes_are_refused_without_waiting() {
    let scratch = tempfile::tempdir().unwrap();
    let socket = scratch.path().join("socket");
    fs::create_dir(&socket).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(socket.join("s")).unwrap();
    assert!(matches!(of(&socket), Err(PackageError::Kind { path }) if path == "s"));
    let pipe = scratch.path().join("pipe");
    fs::create_dir(&pipe).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        pipe.join("p"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o644),
        0,
    )
    .unwrap();
    assert!(matches!(of(&pipe), Err(PackageError::Kind { path }) if path == "p"));
}

#[test]
fn trees_that_are_too_large_are_refused_before_they_are_read() {
    let scratch = tempfile::tempdir().unwrap();
    let sparse = scratch.path().join("sparse");
    fs::create_dir(&sparse).unwrap();
    for name in ["a", "b"] {
        let file = File::create(sparse.join(name)).unwrap();
        file.set_len(2 << 30).unwrap();
    }
    let selection = Selection::of(["b"]).unwrap();
    // By the sizes alone.
    assert!(fingerprint(&open(&sparse), &selection).is_ok());
    assert!(matches!(
        fingerprint(&open(&sparse), &Selection::All),
        Err(PackageError::Large(_))
    ));
    let deep = scratch.path().join("deep");
    fs::create_dir_all(deep.join("x/".repeat(MAX_DEPTH + 1))).unwrap();
    assert!(matches!(of(&deep), Err(PackageError::Large(_))));
}
