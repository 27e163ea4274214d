//! What a stored or exported record holds: events, with the calls and receipts in them.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_protocol::audit::AuditEvent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    survives_json::<AuditEvent>(data);
});
