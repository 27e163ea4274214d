//! The real git-lfs, inside and afterwards.

use std::fs;
use std::process::Command;

use data_encoding::HEXLOWER;
use holdfast_hardware_tests::harness::skipped;
use holdfast_proof::hash::sha256;

use super::Stage;

/// A project, where there is a git-lfs.
fn set() -> Option<Stage> {
    if Command::new("git-lfs").arg("version").output().is_err() {
        skipped("no git-lfs: run packaging/test.sh, or install it");
        return None;
    }
    Stage::set()
}

/// What an agent does to keep a large file.
const TRACKS: &str = "git lfs track '*.bin'; head -c 300000 /dev/urandom > kelp.bin
    git add .gitattributes kelp.bin; git commit -qm Large; git lfs ls-files -n >&2
    sha256sum < kelp.bin | cut -c -64; git lfs fsck >&2";

fn digest(stage: &Stage) -> String {
    HEXLOWER.encode(sha256(&fs::read(stage.project.join("kelp.bin")).unwrap()).as_bytes())
}

#[test]
fn a_large_file_that_a_session_tracked_is_checked_out_afterwards() {
    let Some(stage) = set() else { return };
    stage.git(&["lfs", "install", "--local"]);
    let hooks = || {
        let hooks = fs::read_dir(stage.project.join(".git/hooks")).unwrap();
        let read = hooks.flatten().map(|hook| fs::read(hook.path()).unwrap());
        read.collect::<Vec<_>>()
    };
    let before = hooks();
    let ran = stage.session(TRACKS);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("kelp.bin"), "{ran:#?}");
    let oid = ran.stdout.lines().last().unwrap().to_owned();

    // What is committed is the pointer, and the content comes by git-lfs.
    let pointer = stage.git(&["cat-file", "-p", "HEAD:kelp.bin"]);
    assert!(pointer.contains(&format!("oid sha256:{oid}")), "{pointer}");
    fs::remove_file(stage.project.join("kelp.bin")).unwrap();
    stage.git(&["checkout", "--", "kelp.bin"]);
    assert_eq!(digest(&stage), oid);
    assert_eq!(stage.git(&["status", "--porcelain"]), "");
    stage.git(&["lfs", "fsck"]);
    assert_eq!(hooks(), before);
    assert!(stage.kept().is_empty(), "{ran:#?}");

    // The next session checks out what the human's repository keeps, and changes it.
    let ran = stage.session(
        "rm kelp.bin; git checkout -q -- kelp.bin; sha256sum < kelp.bin | cut -c -64
         echo more >> kelp.bin; git commit -qam More; sha256sum < kelp.bin | cut -c -64",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let [was, is] = ran.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{ran:#?}");
    };
    assert_eq!(was, oid, "{ran:#?}");
    fs::remove_file(stage.project.join("kelp.bin")).unwrap();
    stage.git(&["checkout", "--", "kelp.bin"]);
    assert_eq!(digest(&stage), is);
}

#[test]
fn git_lfs_that_an_agent_installs_is_its_sessions_alone() {
    let Some(stage) = set() else { return };
    let ran = stage.session(&format!("git lfs install --local; {TRACKS}"));
    assert_eq!(ran.code, 0, "{ran:#?}");
    let oid = ran.stdout.lines().last().unwrap().to_owned();
    // Neither its hooks nor its filters are the human's.
    for hook in ["pre-push", "post-checkout", "post-commit", "post-merge"] {
        assert!(
            !stage.project.join(".git/hooks").join(hook).exists(),
            "{hook}"
        );
    }
    assert!(!stage.git(&["config", "--list"]).contains("filter.lfs"));
    // So git has the pointer until they say that they want it: nothing is lost.
    fs::remove_file(stage.project.join("kelp.bin")).unwrap();
    stage.git(&["checkout", "--", "kelp.bin"]);
    assert!(
        stage
            .git(&["cat-file", "-p", "HEAD:kelp.bin"])
            .contains(&oid)
    );
    assert_ne!(digest(&stage), oid);
    stage.git(&["lfs", "install", "--local"]);
    stage.git(&["lfs", "checkout"]);
    assert_eq!(digest(&stage), oid);
}
