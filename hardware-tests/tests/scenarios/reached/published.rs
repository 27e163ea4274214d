//! A session's own server, shown on the host.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use holdfast_hardware_tests::harness::{free_port, wait_until};
use holdfast_hardware_tests::world::World;

use super::{project, run_with, session};

const PATIENCE: Duration = Duration::from_secs(15);

/// What the server at the port of the host's loopback says, if there is one that speaks.
fn fetched(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said.split("\r\n\r\n").nth(1)?.to_owned())
}

#[test]
fn a_published_port_serves_while_its_session_runs_and_no_longer() {
    let Some(world) = World::sealed() else { return };
    fs::write(project(&world).join("page"), "from inside\n").unwrap();
    let port = free_port().port();
    let publish = format!("{port}:8000");
    let mut session = session(
        &world,
        &["--publish", &publish],
        "exec /usr/bin/python3 -m http.server --bind 127.0.0.1 8000",
    )
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    wait_until(PATIENCE, "the page", || {
        fetched(port).as_deref() == Some("from inside\n")
    });
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(record.contains(&format!("--publish {publish}")), "{record}");

    let listed = world.broker.holdfast(&["sessions", "--json"]).success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["session"].as_str().unwrap();
    world.broker.holdfast(&["sessions", "pause", id]).success();
    assert_eq!(fetched(port), None);
    world.broker.holdfast(&["sessions", "resume", id]).success();
    wait_until(PATIENCE, "the page again", || fetched(port).is_some());

    world.broker.holdfast(&["sessions", "end", id]).success();
    session.wait().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_port_that_is_not_to_be_had_is_refused_before_anything_runs() {
    let Some(world) = World::sealed() else { return };
    let taken = TcpListener::bind(free_port()).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = run_with(&world, &["--publish", &port], "echo ran");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    let words = format!("port {port} of this machine cannot be listened on");
    assert!(ran.stderr.contains(&words), "{ran:#?}");
    assert!(ran.stderr.contains("--publish HOSTPORT:PORT"), "{ran:#?}");

    for refused in ["80", "3128", "8080:53"] {
        let ran = run_with(&world, &["--publish", refused], "echo ran");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:#?}");
    }
}
