//! Scratch folders, waiting, and programs that do not outlive their test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{
    Daemon, Ready, Scratch, bin, eventually, free_port, wait_until,
};

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn panic_text(action: impl FnOnce()) -> String {
    let cause = catch_unwind(AssertUnwindSafe(action)).unwrap_err();
    cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap()
}

/// Neither running nor waiting to be reaped by anybody but init.
fn gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn scratch_is_private_and_removed() {
    let scratch = Scratch::new();
    let path = scratch.path().to_owned();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    scratch.write("file", "content");
    assert!(scratch.socket("broker.sock").starts_with(&path));
    assert!(panic_text(|| drop(scratch.socket(&"x".repeat(108)))).contains("TMPDIR"));
    drop(scratch);
    assert!(!path.exists());
}

#[test]
fn dropped_daemon_takes_its_children_along() {
    let scratch = Scratch::new();
    let daemon = Daemon::spawn(&scratch, "parent", shell("sleep 600 & echo child $!; wait"));
    daemon.wait_ready(Ready::Line("child"), SOON);
    let child: u32 = daemon
        .stdout()
        .trim()
        .strip_prefix("child ")
        .unwrap()
        .parse()
        .unwrap();
    let parent = daemon.pid();
    assert!(!gone(parent) && !gone(child));
    drop(daemon);
    wait_until(SOON, "parent and child to be gone", || {
        gone(parent) && gone(child)
    });
}

#[test]
fn daemon_that_dies_early_is_told_from_one_that_is_slow() {
    let scratch = Scratch::new();
    let dead = Daemon::spawn(&scratch, "dead", shell("echo no config >&2; exit 64"));
    let text = panic_text(|| dead.wait_ready(Ready::Line("ready"), SOON));
    assert!(
        text.contains("ended before it was ready") && text.contains("no config"),
        "{text}"
    );
    assert_eq!(dead.wait(SOON).code(), Some(64));

    let slow = Daemon::spawn(&scratch, "slow", shell("exec sleep 600"));
    let text = panic_text(|| slow.wait_ready(Ready::Line("ready"), Duration::from_millis(50)));
    assert!(text.contains("is not ready"), "{text}");
}

#[test]
fn ready_is_a_socket_that_accepts_not_a_file() {
    let scratch = Scratch::new();
    let path = scratch.socket("d.sock");
    let daemon = Daemon::spawn(&scratch, "sleeper", shell("exec sleep 600"));
    fs::write(&path, "").unwrap();
    assert!(
        panic_text(|| daemon.wait_ready(Ready::Socket(&path), Duration::from_millis(50)))
            .contains("not ready")
    );
    fs::remove_file(&path).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    daemon.wait_ready(Ready::Socket(&path), SOON);

    let address = free_port();
    assert!(
        panic_text(|| daemon.wait_ready(Ready::Tcp(address), Duration::ZERO)).contains("not ready")
    );
    let _listener = std::net::TcpListener::bind(address).unwrap();
    daemon.wait_ready(Ready::Tcp(address), SOON);
}

#[test]
fn crash_is_a_crash_and_termination_is_asked_for() {
    let scratch = Scratch::new();
    let polite = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let daemon = Daemon::spawn(&scratch, "polite", shell(polite));
    daemon.wait_ready(Ready::Line("up"), SOON);
    assert_eq!(daemon.try_exit(), None);
    assert_eq!(daemon.terminate(SOON).code(), Some(3));
    assert_eq!(daemon.stdout(), "up\nbye\n");

    let daemon = Daemon::spawn(&scratch, "crashed", shell(polite));
    daemon.wait_ready(Ready::Line("up"), SOON);
    daemon.sigkill();
    assert_eq!(daemon.wait(SOON).signal(), Some(9));
    assert_eq!(daemon.stdout(), "up\n");
}

#[test]
fn missing_binary_is_named_with_the_way_to_make_it() {
    assert!(
        panic_text(|| drop(bin("holdfast-no-such-program")))
            .contains("cargo build --workspace --bins")
    );
    // The test executable's own neighbor stands in for a binary of the workspace.
    let folder = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    let stand_in = format!("stand-in-{}", std::process::id());
    fs::write(folder.join(&stand_in), "").unwrap();
    let found = catch_unwind(|| bin(&stand_in));
    fs::remove_file(folder.join(&stand_in)).unwrap();
    assert_eq!(found.unwrap(), folder.join(Path::new(&stand_in)));
}

#[test]
fn waiting_ends_and_says_for_what() {
    let mut looks = 0;
    wait_until(SOON, "three looks", || {
        looks += 1;
        looks == 3
    });
    assert!(panic_text(|| wait_until(Duration::ZERO, "the moon", || false)).contains("the moon"));
}

#[tokio::test]
async fn waiting_on_tokio_lets_others_run() {
    let (done, mut seen) = tokio::sync::watch::channel(0);
    let mut others = tokio::task::JoinSet::new();
    others.spawn(async move { done.send(1) });
    eventually(SOON, "the other task", async || {
        *seen.borrow_and_update() == 1
    })
    .await;
    others.join_next().await.unwrap().unwrap().unwrap();
}
