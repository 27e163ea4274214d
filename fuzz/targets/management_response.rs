//! Answers of the broker, as the command line and the window read them.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_protocol::management::Response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<Response>(data);
});
