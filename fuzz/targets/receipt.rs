//! A receipt that someone presents.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_protocol::receipt::Receipt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<Receipt>(data);
});
