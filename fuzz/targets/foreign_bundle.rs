//! Another trust domain's bundle, as its endpoint serves it.
#![no_main]

// The module by itself, because the attestor takes minutes to build.
#[rustfmt::skip]
#[path = "../../attestor/src/federation/document.rs"]
#[allow(dead_code, reason = "the attestor uses all of it")]
mod document;

use document::{Document, MAX_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(read) = Document::parse(data) else {
        return;
    };
    assert!(data.len() <= MAX_BYTES);
    // What is kept of it is the same bundle, and what hosts get has no key of another use.
    let kept = read.to_json().to_string();
    assert_eq!(Document::parse(kept.as_bytes()).expect("what is kept is a bundle"), read);
    let jwks = Document::parse(read.jwks().as_bytes()).expect("a jwk set is a bundle");
    assert_eq!(jwks.jwt_keys(), read.jwt_keys());
    assert!(jwks.x509_authorities().is_empty());
});
