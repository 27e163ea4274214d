//! Promise 5: a session reaches over the network what it was given, by whatever program, and nothing else.

mod named;
mod published;
mod servers;

use std::path::PathBuf;
use std::process::Command;

use holdfast_hardware_tests::world::{Ran, World};

use self::servers::{Postgres, Web};

fn project(world: &World) -> PathBuf {
    world.scratch.folder("project")
}

/// A session that is started with `flags` and runs `script`.
fn session(world: &World, flags: &[&str], script: &str) -> Command {
    let project = project(world);
    let mut command = world.broker.holdfast_command();
    command.current_dir(&project).arg("run").args(flags);
    command.args(["--", "sh", "-c", script]);
    command
}

/// Runs `script` in a session that is started with `flags`.
fn run_with(world: &World, flags: &[&str], script: &str) -> Ran {
    Ran::of(&mut session(world, flags, script))
}

#[test]
fn a_port_of_the_hosts_loopback_is_reached_where_it_was_given_and_only_there() {
    let Some(world) = World::sealed() else { return };
    let (given, other) = (Web::start(&world, "given"), Web::start(&world, "other"));
    let script = format!(
        "curl -s -m 5 http://127.0.0.1:{0}/name; curl -s -m 5 http://localhost:{0}/name; \
         curl -s -m 5 --noproxy '' http://localhost:{0}/name; \
         curl -s -m 5 http://127.0.0.1:{1}/name || echo refused $?; \
         curl -s -m 5 --noproxy '' http://localhost:{1}/name",
        given.port(),
        other.port()
    );
    let reach = format!("localhost:{}", given.port());
    let ran = run_with(&world, &["--reach", &reach], &script);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..4],
        ["given", "given", "given", "refused 7"],
        "{ran:#?}"
    );
    // What was not given is refused with the flag that gives it.
    let flag = format!("holdfast run --reach localhost:{}", other.port());
    assert!(lines[4].contains(&flag), "{ran:#?}");
    assert!(other.log().is_empty(), "{}", other.log());

    let record = world.broker.holdfast(&["audit", "tail"]).success();
    let widened = format!("--reach {reach}");
    assert!(record.contains(&widened), "{record}");
    // So is the refusal, in the record's own words.
    let exported = world.broker.holdfast(&["audit", "export"]).success();
    assert!(exported.contains(&flag), "{exported}");

    // The next session was not given it.
    let script = format!(
        "curl -s -m 5 http://127.0.0.1:{}/name || echo refused $?",
        given.port()
    );
    let ran = run_with(&world, &[], &script);
    assert_eq!(ran.stdout, "refused 7\n", "{ran:#?}");
}

#[test]
fn a_database_on_the_hosts_loopback_is_reached_by_its_own_client() {
    let Some(world) = World::sealed() else { return };
    let postgres = Postgres::start();
    let reach = format!("localhost:{}", postgres.port());
    let script = format!(
        "psql -h 127.0.0.1 -p {} -U holdfast -AtX -c 'select 6 * 7' postgres",
        postgres.port()
    );
    let ran = run_with(&world, &["--reach", &reach], &script);
    assert_eq!(ran.stdout, "42\n", "{ran:#?}");
    let ran = run_with(&world, &[], &script);
    assert_ne!(ran.code, 0, "{ran:#?}");
}

#[test]
fn the_network_is_shown_before_it_is_had() {
    let Some(world) = World::sealed() else { return };
    let flags = ["--show", "--reach", "localhost:5432", "--host", "crates.io"];
    let ran = run_with(&world, &flags, "true");
    for line in [
        "localhost:5432 of this machine, at 127.0.0.1:5432 inside",
        "crates.io, without asking you",
    ] {
        assert!(ran.stdout.contains(line), "{ran:#?}");
    }
    let ran = run_with(&world, &["--reach", "localhost"], "true");
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("HOST:PORT"), "{ran:#?}");
}
