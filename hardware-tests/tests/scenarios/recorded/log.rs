//! A broker's log from outside: what it shows, and what lies on its disk.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use holdfast_hardware_tests::world::{Broker, Ran, World};
use holdfast_protocol::frame;
use holdfast_protocol::management::{AuditHead, Request, Response};
use serde_json::Value;

/// An enrolled host whose broker has this configuration besides (TOML tables of their own).
pub fn world(broker_tables: &str) -> World {
    let mut world = World::enrolled();
    if !broker_tables.is_empty() {
        world.broker.stop();
        let config = world.broker.config();
        let text = std::fs::read_to_string(config).unwrap();
        std::fs::write(config, text + broker_tables).unwrap();
        world.broker.resume(&world.scratch);
    }
    world
}

/// All records, as `holdfast audit export` writes them.
pub fn exported(broker: &Broker) -> Vec<String> {
    exported_from(broker, 0)
}

/// As [`exported`], without the first `from`.
pub fn exported_from(broker: &Broker, from: usize) -> Vec<String> {
    let from = from.to_string();
    let lines = broker
        .holdfast(&["audit", "export", "--from", &from])
        .success();
    lines.lines().map(str::to_owned).collect()
}

/// The log's head, as `holdfast status` tells it.
pub fn head(broker: &Broker) -> AuditHead {
    // Not attested is no failure here.
    let Ran { stdout, stderr, .. } = broker.holdfast(&["status", "--json"]);
    let status: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    serde_json::from_value(status["audit"].clone()).unwrap()
}

/// Makes a record: with an attestor a renewal, without one the failure of it.
pub fn one_more(broker: &Broker) {
    broker.holdfast(&["status", "--renew"]);
}

/// One question over the management socket, as `holdfast` asks it, without a process for each.
pub fn ask(socket: &Path, request: &Request) -> std::io::Result<Response> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&frame::encode(request).unwrap())?;
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; frame::body_length(prefix).unwrap()];
    stream.read_exact(&mut body)?;
    Ok(frame::decode(&body).unwrap())
}
