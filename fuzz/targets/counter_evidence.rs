//! The bytes that carry one counted checkpoint's evidence.
#![no_main]

use holdfast_proof::counter::CounterEvidence;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(evidence) = CounterEvidence::parse(data) else {
        return;
    };
    assert_eq!(evidence.encode(), data);
    let rebuilt = CounterEvidence::new(evidence.attest(), evidence.signature());
    assert_eq!(rebuilt, Some(evidence));
});
