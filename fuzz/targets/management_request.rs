//! Requests on the management socket.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_protocol::management::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<Request>(data);
});
