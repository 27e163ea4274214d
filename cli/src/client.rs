//! One question to the broker over its management socket.
//!
//! Blocking on purpose: a command asks once and ends.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use holdfast_protocol::frame::{self, FrameError};
use holdfast_protocol::management::{Request, Response};

use crate::outcome::Problem;

/// The longest that the broker may take: an enrollment on a slow TPM, or a long log's verification.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Asks the broker; its refusals become problems.
pub fn ask(socket: &Path, request: &Request) -> Result<Response, Problem> {
    let mut stream = UnixStream::connect(socket).map_err(|error| no_broker(socket, &error))?;
    let response = exchange(&mut stream, request).map_err(|error| interrupted(&error))?;
    if let Response::Failed(failure) = response {
        return Err(failure.into());
    }
    Ok(response)
}

/// The broker answered something else than was asked; it is of another version.
pub fn unexpected() -> Problem {
    Problem::failed(
        "the broker's answer does not belong to the question",
        "use a `holdfast` of the same version as holdfastd",
    )
}

fn exchange(stream: &mut UnixStream, request: &Request) -> std::io::Result<Response> {
    let invalid = |error: FrameError| std::io::Error::new(ErrorKind::InvalidData, error);
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let sent = stream.write_all(&frame::encode(request).map_err(invalid)?);
    let mut prefix = [0; frame::PREFIX];
    // A broker that refuses the caller answers before it reads, and may have hung up by now: its
    // answer says more than the broken pipe.
    stream
        .read_exact(&mut prefix)
        .or_else(|error| sent.and(Err(error)))?;
    let mut body = vec![0; frame::body_length(prefix).map_err(invalid)?];
    stream.read_exact(&mut body)?;
    frame::decode(&body).map_err(invalid)
}

fn no_broker(socket: &Path, error: &std::io::Error) -> Problem {
    let advice = if error.kind() == ErrorKind::PermissionDenied {
        "your user may not reach the socket's folder"
    } else {
        "start holdfastd (`systemctl start holdfastd`), or name its socket with --socket"
    };
    Problem::failed(
        format!("no broker answers at `{}`: {error}", socket.display()),
        advice,
    )
}

fn interrupted(error: &std::io::Error) -> Problem {
    Problem::failed(
        format!("the broker did not answer: {error}"),
        "see its log (`journalctl -u holdfastd`), then try again",
    )
}
