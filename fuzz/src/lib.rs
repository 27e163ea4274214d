//! What the fuzz targets share. It must never catch a panic: a panic is the finding.

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
