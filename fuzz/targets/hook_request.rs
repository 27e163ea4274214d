//! What the hook shim and the broker say to each other.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_protocol::hook::{HookRequest, HookResponse};
use holdfast_protocol::sub::{SubRequest, SubResponse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<HookRequest>(data);
    survives_json::<HookResponse>(data);
    survives_json::<SubRequest>(data);
    survives_json::<SubResponse>(data);
});
