//! Which parts of a package are wanted. The input: parts, each on a line.
#![no_main]

// The module by itself: its crate takes the launcher along.
#[rustfmt::skip]
#[path = "../../broker/launch-agents/src/package/selection.rs"]
#[allow(dead_code, reason = "the crate uses all of it")]
mod selection;

/// As the crate has it.
const MAX_DEPTH: usize = 48;

use libfuzzer_sys::fuzz_target;
use selection::Selection;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parts: Vec<&str> = text.split('\n').collect();
    let Ok(selection) = Selection::of(parts.iter().copied()) else {
        return;
    };
    for part in &parts {
        assert!(!part.starts_with('/') && !part.split('/').any(|name| name == ".."));
        assert!(selection.has(part) && selection.has(&format!("{part}/below")));
    }
    // Order changes nothing.
    let reversed = Selection::of(parts.iter().rev().copied()).expect("each was good");
    assert_eq!(reversed, selection);
    // A part of a name is not the name.
    assert!(!selection.has("not-a-part-of-anything-0"));
});
