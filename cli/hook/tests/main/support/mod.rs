//! The shim as a program, and a broker that it speaks with.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use holdfast_protocol::frame;
use holdfast_protocol::session::SessionRequest;

/// Runs the shim with `input` while `broker` serves one connection.
pub fn run(
    arguments: &[&str],
    input: &[u8],
    broker: impl FnOnce(UnixStream) + Send + 'static,
) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        broker(stream);
    });
    let output = shim(&path, arguments, input);
    server.join().unwrap();
    output
}

/// Runs the shim against whatever is at `socket`.
pub fn shim(socket: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast-hook"))
        .args(arguments)
        .env_clear()
        .env("HOLDFAST_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A shim that refuses early closes its end; that is its right.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// What the shim asked.
pub fn read_request(stream: &mut UnixStream) -> SessionRequest {
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; frame::body_length(prefix).unwrap()];
    stream.read_exact(&mut body).unwrap();
    frame::decode(&body).unwrap()
}

/// Reads the question and answers with these bytes.
pub fn answer(mut stream: UnixStream, bytes: &[u8]) {
    read_request(&mut stream);
    stream.write_all(bytes).unwrap();
}
