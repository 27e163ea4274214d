//! What people write into startup files, netrc and git's stored credentials, as `holdfast agents discover` reads it.
#![no_main]

// The module by itself, because the program keeps it to itself.
#[rustfmt::skip]
#[path = "../../cli/src/discover/assignments.rs"]
mod assignments;

use assignments::{assignments, netrc, urls};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for found in assignments(text).chain(netrc(text)).chain(urls(text)) {
        // A name is told, so it is short and plain; a value is a part of the text, and not empty.
        assert!((1..=128).contains(&found.name.len()));
        assert!(found.name.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!found.value.is_empty() && text.contains(found.value));
    }
});
