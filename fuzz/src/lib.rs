//! What the fuzz targets share. It must never catch a panic: a panic is the finding.

use std::panic;

use holdfast_protocol::frame::{PREFIX, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads `data` as the body of a frame that holds a `T`. What is accepted must survive being sent on: written, read and
/// written again, it is the same.
///
/// # Panics
/// If it does not.
pub fn survives_json<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(message) = decode::<T>(data) else {
        return;
    };
    let sent = encode(&message).expect("what fits a small input fits a frame");
    let body = sent.get(PREFIX..).unwrap_or_default();
    let received = decode::<T>(body).expect("what was sent can be read");
    let again = encode(&received).expect("what was read can be sent");
    assert_eq!(sent, again);
}

/// Lets panics of the shell parser unwind, which libFuzzer's own hook would turn into an abort: the broker expects them
/// and has to contain them. One that is not contained ends the target all the same.
pub fn shell_parser_may_panic() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        let in_parser = |place: &panic::Location<'_>| place.file().contains("/brush-parser-");
        if !what.location().is_some_and(in_parser) {
            abort(what);
        }
    }));
}
