#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

/// Set in the child that has a session bus of its own.
const INSIDE: &str = "HOLDFAST_TEST_KEYRING";

/// A bus that starts no service by itself, whatever this machine has installed.
const BARE_BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

/// Runs this test program's test `name` on a private bus, after `before`.
fn on_a_bus_of_its_own(name: &str, before: &str) {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("bus.conf");
    std::fs::write(&config, BARE_BUS).unwrap();
    let child = Command::new("dbus-run-session")
        .arg("--config-file")
        .arg(config)
        .args(["--", "sh", "-c"])
        .arg(format!(
            "{before} exec \"$0\" --exact keyring::tests::{name} --nocapture"
        ))
        .arg(std::env::current_exe().unwrap())
        .env("HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("DISPLAY")
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("dbus-run-session is installed (dbus-daemon)");
    let said = String::from_utf8_lossy(&child.stdout);
    let complained = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}{complained}");
    // A name that has changed would run no test, and succeed.
    assert!(said.contains("1 passed"), "{said}");
}

/// gnome-keyring with an empty password, for a keyring that is made new.
const GNOME_KEYRING: &str =
    "printf '\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1;";

#[test]
fn a_share_is_made_once_and_found_again() {
    if std::env::var_os(INSIDE).is_none() {
        return on_a_bus_of_its_own("a_share_is_made_once_and_found_again", GNOME_KEYRING);
    }
    // It goes to the background before it serves.
    let begun = Instant::now();
    while matches!(share(), Err(KeyringError::None)) && begun.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(20));
    }
    let empty = share();
    assert!(matches!(empty, Err(KeyringError::NoShare)), "{empty:?}");
    let made = make_share().unwrap();
    assert_eq!(
        BASE64.decode(made.expose().as_bytes()).unwrap().len(),
        SHARE
    );
    assert_eq!(*share().unwrap().expose(), *made.expose());
    assert_eq!(*make_share().unwrap().expose(), *made.expose());
}

#[test]
fn a_bus_without_a_keyring_is_told_apart() {
    if std::env::var_os(INSIDE).is_none() {
        return on_a_bus_of_its_own("a_bus_without_a_keyring_is_told_apart", "");
    }
    assert!(matches!(share(), Err(KeyringError::None)), "{:?}", share());
}

#[test]
fn two_draws_differ() {
    assert_ne!(*random().unwrap().expose(), *random().unwrap().expose());
}
