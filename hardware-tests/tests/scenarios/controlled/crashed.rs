//! The command line, the broker and the launcher are killed at many points of a launch: no session escapes, and nothing
//! that one held is left.

use std::process::Child;
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;

use super::{SOON, nothing_left, session};

/// How long a launch takes, command line and all, on a machine that has nothing else to do.
const LAUNCH: Duration = Duration::from_millis(60);

/// Points of a launch: few, or many where that is asked for.
fn points(few: u32, many: u32) -> impl Iterator<Item = Duration> {
    let count = match std::env::var_os("HOLDFAST_TEST_LONG") {
        Some(_) => many,
        None => few,
    };
    (0..count).map(move |point| LAUNCH * point / count)
}

/// Waits until a command has ended, as it must, and not well.
fn fails(mut session: Child, after: Duration) {
    wait_until(SOON, "the command ends", || {
        session.try_wait().unwrap().is_some()
    });
    let status = session.wait().unwrap();
    assert!(!status.success(), "after {after:?}");
}

fn is_ready(world: &World, project: &std::path::Path) {
    wait_until(SOON, "sessions are made again", || {
        world.broker.run(project, &["true"]).code == 0
    });
}

#[test]
fn a_command_line_that_is_killed_takes_its_session_with_it() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    for after in points(10, 200) {
        let mut running = session(&world, &project, "sleep 100").spawn().unwrap();
        std::thread::sleep(after);
        running.kill().unwrap();
        running.wait().unwrap();
    }
    nothing_left(&world);
    let alive = world.sessions().into_iter();
    let alive = alive.filter(|session| session["phase"] != "ended");
    assert_eq!(alive.count(), 0);
    is_ready(&world, &project);
}

#[test]
fn a_broker_that_is_killed_takes_every_session_with_it() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let project = world.scratch.folder("project");
    for after in points(3, 40) {
        let running = session(&world, &project, "sleep 100").spawn().unwrap();
        std::thread::sleep(after);
        world.broker.kill();
        fails(running, after);
        let launcher = world.launcher.as_ref().unwrap();
        wait_until(SOON, "the launcher has ended them", || {
            launcher.sessions().is_empty()
        });
        // The next one finds nothing of them, and begins anew.
        world.broker.resume(&world.scratch);
        nothing_left(&world);
        assert_eq!(world.sessions().len(), 0);
        world.attested();
        is_ready(&world, &project);
    }
}

#[test]
fn a_launcher_that_is_killed_takes_every_session_with_it() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let project = world.scratch.folder("project");
    for after in points(4, 60) {
        let running = session(&world, &project, "sleep 100").spawn().unwrap();
        std::thread::sleep(after);
        let launcher = world.launcher.as_mut().unwrap();
        launcher.kill();
        // It may have been killed before anything was asked of it: then there is no session at all.
        fails(running, after);
        wait_until(SOON, "no process is left", || launcher.processes() == 0);
        launcher.resume(&world.scratch);
        is_ready(&world, &project);
        nothing_left(&world);
    }
    // Both at once.
    let running = session(&world, &project, "sleep 100").spawn().unwrap();
    std::thread::sleep(LAUNCH);
    let launcher = world.launcher.as_mut().unwrap();
    launcher.kill();
    world.broker.kill();
    fails(running, LAUNCH);
    wait_until(SOON, "no process is left", || launcher.processes() == 0);
    launcher.resume(&world.scratch);
    world.broker.resume(&world.scratch);
    world.attested();
    is_ready(&world, &project);
    nothing_left(&world);
}
