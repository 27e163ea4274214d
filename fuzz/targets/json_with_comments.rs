//! Editors' settings: JSON with comments, made plain.
#![no_main]

// The module by itself, because the program keeps it to itself.
#[rustfmt::skip]
#[path = "../../cli/src/discover/jsonc.rs"]
mod jsonc;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let plain = jsonc::plain(text);
    // Places in the one are places in the other, and lines are lines.
    assert_eq!(plain.len(), text.len());
    assert_eq!(plain.matches('\n').count(), text.matches('\n').count());
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert_eq!(serde_json::from_str::<Value>(&plain).ok(), Some(value));
    }
});
