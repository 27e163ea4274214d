//! A trust domain's JWK set, as the broker takes it from an authority and serves it on.
#![no_main]

// The modules by themselves, because the job keeps them to itself.
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/bundle.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod bundle;
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/jwk.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod jwk;

use bundle::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|jwks: &str| {
    let authorities = [vec![0x30, 0x00]];
    let Ok(bundle) = Bundle::read(&authorities, jwks) else {
        return;
    };
    // What is served must be a bundle again, and the same one.
    let served = bundle.jwks().expect("a known bundle is served");
    let served = std::str::from_utf8(&served).expect("JSON is text");
    let again = Bundle::read(&authorities, served);
    assert_eq!(again.expect("what is served is a bundle"), bundle);
});
