//! The Workload API as the Python `spiffe` package meets it, unmodified, over gRPC's C core.
//!
//! The package is installed once into a virtual environment below the target folder. Where that
//! cannot be done, the tests say so loudly and show nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command as Run, Stdio};
use std::time::Duration;

use holdfast_proof::hash::sha256;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::{Door, Served, SoftwareAuthority, TRUST_DOMAIN, skipped};

/// The package and all that it needs, each by its digest.
const SPIFFE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../packaging/python/spiffe.txt"
);
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/main/third_party/workload_client.py"
);

/// The environment's Python; `None`, after saying so, where it cannot be made.
fn python() -> Option<PathBuf> {
    let pinned = sha256(&fs::read(SPIFFE).unwrap());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spiffe-python-{pinned}"));
    // Tests that begin together make it once.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if complete.exists() {
        return Some(python);
    }
    let _ = fs::remove_dir_all(&folder);
    let folder_text = folder.to_str().unwrap();
    let install = [
        &["-m", "pip", "install", "--quiet"],
        &["--require-hashes", "--only-binary", ":all:"][..],
        &["--requirement", SPIFFE],
    ]
    .concat();
    let steps: [(&Path, &[&str]); 2] = [
        (Path::new("python3"), &["-m", "venv", folder_text]),
        (&python, &install),
    ];
    for (program, arguments) in steps {
        match Run::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => {}
            failed => {
                skipped(&format!(
                    "no independent Python client: {program:?} {arguments:?}: {failed:?}"
                ));
                return None;
            }
        }
    }
    File::create(complete).unwrap();
    Some(python)
}

fn client(python: &Path, mode: &str, served: &Served) -> Command {
    let mut command = Command::new(python);
    command
        .args([SCRIPT, mode, &served.endpoint(), &served.spiffe_id()])
        .env_remove("SPIFFE_ENDPOINT_SOCKET")
        .env("GRPC_ENABLE_FORK_SUPPORT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs the client to its end; gives the checks that held.
async fn checks(mode: &str, served: &Served) -> Option<Vec<String>> {
    let output = client(&python()?, mode, served)
        .stderr(Stdio::piped())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let output = output.expect("the client ends in time").unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{mode}: {stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    Some(stdout.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fetches_and_validates_everything() {
    let served = Served::start();
    let Some(held) = checks("conformance", &served).await else {
        return;
    };
    let expected = [
        "x509-svid",
        "x509-bundles",
        "jwt-svid",
        "jwt-bundles",
        "validate",
        "header",
    ];
    assert_eq!(held, expected);
    assert_eq!(served.memory.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_of_rotation_and_revocation() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    authority.set_ttl(Duration::from_secs(4));
    let served = Served::with(authority, 1, Door::Open);
    let Some(python) = python() else { return };
    let mut child = client(&python, "follow", &served).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = async || {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        line.expect("the client goes on in time").unwrap()
    };
    assert_eq!(line().await.as_deref(), Some("rotation"));
    served.session.revoke();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"revoked\n").await.unwrap();
    assert_eq!(line().await.as_deref(), Some("denied"));
    assert_eq!(line().await.as_deref(), Some("revocation"));
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_not_admitted_is_told_so() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    let served = Served::with(authority, 1, Door::Shut);
    if let Some(held) = checks("denied", &served).await {
        assert_eq!(held, ["denied"]);
    }
}
