//! What git writes to its credential helper.
#![no_main]

// The module by itself, because the job keeps it to itself.
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/bridge/credential/attributes.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod attributes;

use attributes::Attributes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(read) = Attributes::read(text) else {
        return;
    };
    let places = [
        ("protocol", read.protocol),
        ("host", read.host),
        ("path", read.path),
    ];
    for (key, value) in places {
        // Each is there once, as a line of its own, before the first empty one.
        let lines = text.split('\n').take_while(|line| !line.is_empty());
        let written: Vec<_> = lines
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| *name == key)
            .collect();
        assert_eq!(
            written,
            value
                .map(|value| (key, value))
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert!(!value.is_some_and(|value| value.contains(char::is_control)));
    }
});
