//! The launcher's program, built if it is older than its source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

pub fn launcher() -> PathBuf {
    // …/debug/deps/main-… is this test; the program lies two levels up.
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("holdfast-launcher");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../launcher/src");
    let built = fs::metadata(&program).and_then(|facts| facts.modified());
    if built.is_ok_and(|built| built > newest(&source)) {
        return program;
    }
    let target = test.ancestors().nth(3).unwrap();
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "-p",
        "holdfast-launcher",
        "--target-dir",
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.unwrap().success(), "the launcher does not build");
    program
}

fn newest(folder: &Path) -> SystemTime {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                newest(&path)
            } else {
                fs::metadata(path).unwrap().modified().unwrap()
            }
        })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
