//! Promise 1 on a host whose clock is wrong: it takes the time from its attestor, and from nobody else.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use holdfast_hardware_tests::harness::{WrongClock, wait_until};
use holdfast_hardware_tests::world::World;
use serde_json::Value;

use crate::support::install_spiffe;

/// From today to the seventies.
const SEVENTIES: &str = "-20000d";
const TEN_YEARS_AHEAD: &str = "+3660d";
const RIGHT: &str = "+0";

const PATIENCE: Duration = Duration::from_secs(60);

/// How far a time may be off that was told a moment ago, on a busy machine.
const CLOSE: u64 = 60;

/// Fetches an SVID in a session, with Python's `spiffe`.
const CLIENT: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    svid = client.fetch_x509_svid()
    print('begins', int(svid.cert_chain[0].not_valid_before_utc.timestamp()), 'ends', int(svid.cert_chain[0].not_valid_after_utc.timestamp()))
    jwt = client.fetch_jwt_svid(audience={'api.example'})
    client.validate_jwt_svid(jwt.token, 'api.example')
    print('valid')
";

fn status(world: &World) -> Value {
    let ran = world.broker.holdfast(&["status", "--json"]);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}

fn source(world: &World) -> String {
    status(world)["clock"]["source"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Seconds since 1970, by this test's own clock.
fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn seconds(status: &Value, pointer: &str) -> u64 {
    status.pointer(pointer).unwrap().as_u64().unwrap() / 1000
}

/// The host goes by the attestor's time, is attested, and its certificate is valid now, whatever its own clock says.
fn goes_by_the_attestor(world: &World) {
    let status = status(world);
    assert_eq!(status["clock"]["source"], "attestor", "{status:#}");
    assert!(seconds(&status, "/clock/now").abs_diff(now()) <= CLOSE);
    assert!(seconds(&status, "/clock/system").abs_diff(now()) > 300 * 24 * 3600);
    assert_eq!(status["node"]["state"], "attested");
    let (renew, end) = (
        seconds(&status, "/node/renew_at"),
        seconds(&status, "/node/not_after"),
    );
    assert!(now() < renew && renew < end, "{status:#}");
}

/// A session of this host gets an identity that is valid now.
fn a_session_gets_an_identity(world: &World, site: &Path) {
    let project = site.parent().unwrap();
    fs::write(project.join("client.py"), CLIENT).unwrap();
    let output = world
        .broker
        .run(project, &["/usr/bin/python3", "-S", "client.py"])
        .success();
    let words: Vec<&str> = output.split_whitespace().collect();
    let (begins, ends): (u64, u64) = (words[1].parse().unwrap(), words[3].parse().unwrap());
    assert!(begins <= now() && now() < ends, "{output}");
    assert_eq!(words[4], "valid");
}

#[test]
fn a_host_in_the_seventies_takes_the_time_from_its_attestor_and_works() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let Some(clock) = WrongClock::by(&world.scratch, "clock", SEVENTIES) else {
        return;
    };
    let site = world.scratch.folder("project").join("site");
    if !install_spiffe(&site) {
        return;
    }
    assert_eq!(source(&world), "system");
    world.broker.stop();
    world.broker.goes_by(&clock);

    // While nobody says what time it is, the host may do nothing.
    world.attestor.kill();
    world.broker.resume(&world.scratch);
    let lost = status(&world);
    assert_eq!(lost["clock"]["source"], "lost", "{lost:#}");
    assert_ne!(lost["node"]["state"], "attested");
    let ran = world.broker.holdfast(&["status"]);
    assert!(ran.stdout.contains("clock       LOST"), "{ran:?}");

    world.attestor.resume(&world.scratch);
    world.attested();
    goes_by_the_attestor(&world);
    a_session_gets_an_identity(&world, &site);
    let log = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(log.contains("behind the attestor's"), "{log}");
    world.broker.holdfast(&["audit", "verify"]).success();

    // Somebody sets it right.
    clock.set(RIGHT);
    assert_eq!(source(&world), "system");
    world.broker.holdfast(&["status", "--renew"]).success();
    assert_eq!(source(&world), "system");
}

#[test]
fn a_new_board_in_the_seventies_enrolls_by_its_token() {
    let mut world = World::start();
    let Some(clock) = WrongClock::by(&world.scratch, "clock", SEVENTIES) else {
        return;
    };
    world.broker.stop();
    world.broker.goes_by(&clock);
    world.broker.resume(&world.scratch);
    assert_eq!(source(&world), "lost");
    world.enroll().success();
    goes_by_the_attestor(&world);

    // And once more after a restart: the floor is the attestor's time by now.
    world.broker.kill();
    world.broker.resume(&world.scratch);
    world.attested();
    goes_by_the_attestor(&world);
}

#[test]
fn nobody_takes_a_host_back_behind_what_was_proved() {
    let mut world = World::enrolled();
    let Some(clock) = WrongClock::by(&world.scratch, "clock", SEVENTIES) else {
        return;
    };
    // The attestor's own keys, and certificates that ended a month ago: whoever stole one has no more than that.
    let earlier = WrongClock::by(&world.scratch, "earlier", "-30d").unwrap();
    world.broker.stop();
    world.attestor.kill();
    world.broker.goes_by(&clock);
    world.attestor.goes_by(&earlier);
    world.attestor.resume(&world.scratch);
    world.broker.resume(&world.scratch);
    let refused = world.broker.holdfast(&["status", "--renew"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    assert_eq!(source(&world), "lost");

    // Certificates that are still good, and a time before the last.
    world.attestor.kill();
    earlier.set("-15m");
    world.attestor.resume(&world.scratch);
    let refused = world.broker.holdfast(&["status", "--renew"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(
        refused.stderr.contains("before one that was proved"),
        "{refused:?}"
    );
    assert_eq!(source(&world), "lost");

    // Nor where the host's clock is right.
    clock.set(RIGHT);
    let refused = world.broker.holdfast(&["status", "--renew"]);
    assert!(
        refused.stderr.contains("before one that was proved"),
        "{refused:?}"
    );

    clock.set(SEVENTIES);
    world.attestor.kill();
    earlier.set(RIGHT);
    world.attestor.resume(&world.scratch);
    world.broker.holdfast(&["status", "--renew"]).success();
    goes_by_the_attestor(&world);
}

#[test]
fn a_host_ten_years_ahead_goes_by_its_attestor() {
    let mut world = World::enrolled();
    let Some(clock) = WrongClock::by(&world.scratch, "clock", TEN_YEARS_AHEAD) else {
        return;
    };
    world.broker.stop();
    world.broker.goes_by(&clock);
    world.broker.resume(&world.scratch);
    world.attested();
    goes_by_the_attestor(&world);
    let ran = world.broker.holdfast(&["status"]);
    assert!(ran.stdout.contains("10 years ahead"), "{ran:?}");

    // Its clock goes right, and ahead again while it runs: nothing lives longer for it, and the attestor is asked.
    clock.set(RIGHT);
    assert_eq!(source(&world), "system");
    world.broker.holdfast(&["status", "--renew"]).success();
    clock.set(TEN_YEARS_AHEAD);
    wait_until(PATIENCE, "the host to go by its attestor again", || {
        source(&world) == "attestor" && status(&world)["node"]["state"] == "attested"
    });
    goes_by_the_attestor(&world);
}

#[test]
fn a_new_host_ten_years_ahead_is_told_to_look_at_its_clock() {
    let mut world = World::start();
    let Some(clock) = WrongClock::by(&world.scratch, "clock", TEN_YEARS_AHEAD) else {
        return;
    };
    world.broker.stop();
    world.broker.goes_by(&clock);
    world.broker.resume(&world.scratch);
    let refused = world.enroll();
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("host's clock"), "{refused:?}");
    clock.set(RIGHT);
    world.enroll().success();
}
