//! A tool call as its digest and its record spell it.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_protocol::call::ToolCall;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<ToolCall>(data);
});
