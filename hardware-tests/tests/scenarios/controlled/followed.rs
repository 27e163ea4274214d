//! A human's locked screen and logout, told by a stand-in for logind on a real bus.

use std::process::Child;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Logind, wait_until};
use holdfast_hardware_tests::world::{Account, Terms, World};

use super::{SOON, nothing_left, started};

fn phase(world: &World) -> String {
    let listed = world.sessions();
    listed[0]["phase"].as_str().unwrap().to_owned()
}

fn becomes(world: &World, wanted: &str) {
    wait_until(SOON, wanted, || phase(world) == wanted);
}

fn doctor(world: &World) -> String {
    world.broker.holdfast(&["doctor"]).stdout
}

#[test]
fn a_locked_screen_pauses_and_a_logout_ends_what_a_human_left_running() {
    // A bus lets in accounts that the host has, and a test's has none.
    let terms = Terms {
        broker: Account::Own,
        ..Terms::default()
    };
    let Some(mut world) = World::sealed_as(terms) else {
        return;
    };
    // The tests' human, root.
    let Some(logind) = Logind::start(&world.scratch, 0) else {
        return;
    };
    world
        .broker
        .lends("DBUS_SYSTEM_BUS_ADDRESS", logind.address());
    world.declare("[presence]\non-lock = \"pause\"\non-logout = \"end\"");
    wait_until(SOON, "logind is followed", || {
        doctor(&world).contains("systemd-logind tells of locked screens")
    });
    let project = world.scratch.folder("project");
    let mut session: Child = started(&world, &project, "echo up; sleep 100");

    logind.lock();
    becomes(&world, "frozen");
    logind.unlock();
    becomes(&world, "running");
    logind.ask_to_lock();
    becomes(&world, "frozen");
    logind.unlock();
    becomes(&world, "running");

    // What the human paused themselves is theirs to let go on.
    let id = world.sessions()[0]["session"].as_str().unwrap().to_owned();
    world.broker.holdfast(&["sessions", "pause", &id]).success();
    logind.lock();
    logind.unlock();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(phase(&world), "frozen");
    world
        .broker
        .holdfast(&["sessions", "resume", &id])
        .success();

    // Nobody but logind says who is here.
    logind.forge_logout();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(phase(&world), "running");

    logind.log_out();
    assert_eq!(session.wait().unwrap().code(), Some(137));
    nothing_left(&world);
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "100"])
        .success();
    for event in [
        "is frozen: its human's screen was locked",
        "is let go on: its human's screen was unlocked",
        "is ended: its human logged out",
        "killed: its human logged out",
    ] {
        assert!(record.contains(event), "{event} is missing:\n{record}");
    }

    // Without logind nothing is assumed, and it is said.
    drop(logind);
    wait_until(SOON, "logind is missed", || {
        doctor(&world).contains("goes unnoticed")
    });
    let ran = world.broker.run(&project, &["true"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
}
