//! A trust domain's JWK set, as the broker takes it from an authority and serves it on.
#![no_main]

use holdfast_issue_credentials::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|jwks: &str| {
    let authorities = [vec![0x30, 0x00]];
    let Ok(bundle) = Bundle::read(&authorities, jwks) else {
        return;
    };
    // What is served must be a bundle again, and the same one.
    let served = bundle.jwks().expect("a known bundle is served");
    let served = std::str::from_utf8(&served).expect("JSON is text");
    assert_eq!(
        Bundle::read(&authorities, served).as_ref().ok(),
        Some(&bundle)
    );
});
