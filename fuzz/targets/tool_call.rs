//! A tool call as its digest and its record spell it: whoever reads the record must find the digest that was signed.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_proof::hash::canonical_digest;
use holdfast_protocol::call::ToolCall;
use holdfast_protocol::frame::{PREFIX, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<ToolCall>(data);
    let Ok(call) = decode::<ToolCall>(data) else {
        return;
    };
    let Ok(digest) = canonical_digest(&call) else {
        return;
    };
    let sent = encode(&call).expect("what fits a small input fits a frame");
    let body = sent.get(PREFIX..).unwrap_or_default();
    let received = decode::<ToolCall>(body).expect("what was sent can be read");
    let again = canonical_digest(&received).expect("it has a canonical form");
    assert_eq!(digest, again);
});
