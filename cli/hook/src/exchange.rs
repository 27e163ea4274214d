//! One question, one answer, over the session socket.
//!
//! It must never wait without an end: the broker holds the human's answer back inside this exchange, so the wait is long,
//! but shorter than the agent's own, after which the agent would go on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use holdfast_protocol::frame::{self, PREFIX};
use holdfast_protocol::session::SessionRequest;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// Where a sealed session finds its socket.
const SOCKET: &str = "/run/holdfast/session.sock";

/// Names another socket.
const SOCKET_VARIABLE: &str = "HOLDFAST_SOCKET";

/// Longer than the broker waits for a human (9 min), shorter than Claude Code waits for a hook (10 min).
const PATIENCE: Duration = Duration::from_secs(9 * 60 + 30);

/// A request is written at once or not at all.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Asks the broker.
pub fn ask<A: DeserializeOwned>(request: &SessionRequest) -> Result<A, Refusal> {
    let path =
        std::env::var_os(SOCKET_VARIABLE).map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
    let request = frame::encode(request).map_err(Refusal::Frame)?;
    let mut stream =
        UnixStream::connect(&path).map_err(|source| Refusal::Connect { path, source })?;
    stream
        .set_write_timeout(Some(WRITE_PATIENCE))
        .map_err(Refusal::Socket)?;
    stream.write_all(&request).map_err(Refusal::Socket)?;
    let deadline = Instant::now() + PATIENCE;
    let mut prefix = [0; PREFIX];
    read(&mut stream, &mut prefix, deadline)?;
    let mut body = vec![0; frame::body_length(prefix).map_err(Refusal::Frame)?];
    read(&mut stream, &mut body, deadline)?;
    frame::decode(&body).map_err(Refusal::Frame)
}

/// Fills `buffer` before the deadline, however slowly it comes.
fn read(stream: &mut UnixStream, buffer: &mut [u8], deadline: Instant) -> Result<(), Refusal> {
    let mut rest = buffer;
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::Silence);
        }
        stream
            .set_read_timeout(Some(left))
            .map_err(Refusal::Socket)?;
        match stream.read(rest) {
            Ok(0) => return Err(Refusal::HungUp),
            Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(Refusal::Silence);
            }
            Err(error) => return Err(Refusal::Socket(error)),
        }
    }
    Ok(())
}
