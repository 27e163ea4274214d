//! Python's `spiffe`, unmodified: what a session's programs would use, and no code of ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use holdfast_hardware_tests::harness::skipped;
use holdfast_proof::hash::sha256;

/// The package and all that it needs, each by its digest.
const PINNED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/python/spiffe.txt"
);

/// Installs it into `folder`, out of a copy beside the project's other build products; whether it is there.
pub fn install_spiffe(folder: &Path) -> bool {
    let pinned = sha256(&fs::read(PINNED).unwrap());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spiffe-{pinned}"));
    if !cache.join("spiffe").exists() {
        let fresh = cache.with_extension(std::process::id().to_string());
        let installed = Command::new("/usr/bin/python3")
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--require-hashes", "--only-binary", ":all:"])
            .args(["--requirement", PINNED, "--target"])
            .arg(&fresh)
            .status()
            .unwrap();
        if !installed.success() {
            skipped("pip cannot install Python's spiffe");
            return false;
        }
        // Another test may have been faster: its copy serves as well.
        if fs::rename(&fresh, &cache).is_err() {
            fs::remove_dir_all(&fresh).unwrap();
        }
    }
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&cache)
        .arg(folder)
        .status();
    copied.unwrap().success()
}
