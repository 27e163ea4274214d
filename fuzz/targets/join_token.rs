//! One-time tokens as text.
#![no_main]

use holdfast_protocol::token::JoinToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.reveal().as_str(), text);
    }
});
