//! A frame of a local socket: the length of any prefix, the JSON of any body.
#![no_main]

use holdfast_protocol::frame::{MAX_FRAME, PREFIX, body_length, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((prefix, body)) = data.split_first_chunk::<PREFIX>() else {
        return;
    };
    if let Ok(length) = body_length(*prefix) {
        assert!((1..=MAX_FRAME).contains(&length));
        assert_eq!(prefix[0], 0);
    }
    let Ok(value) = decode::<serde_json::Value>(body) else {
        return;
    };
    let frame = encode(&value).expect("what fits a small input fits a frame");
    let (prefix, body) = frame.split_first_chunk::<PREFIX>().expect("a prefix");
    assert_eq!(body_length(*prefix).expect("a length"), body.len());
    assert_eq!(
        decode::<serde_json::Value>(body).expect("our own JSON"),
        value
    );
});
