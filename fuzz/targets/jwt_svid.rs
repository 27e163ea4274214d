//! JWT-SVIDs that somebody presents, judged by a bundle whose keys signed one token only.
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
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/jwt.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod jwt;

use std::sync::LazyLock;

use bundle::Bundle;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;
use jwt::validate;
use libfuzzer_sys::fuzz_target;

/// Valid until 2100.
const SIGNED: &str = include_str!("../corpus/jwt_svid/signed");
/// 2027-01-15.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let jwks = include_str!("../corpus/jwk_set/jwt");
    Bundle::read(&[vec![0x30]], jwks).expect("a recorded bundle")
});
static TRUST_DOMAIN: LazyLock<TrustDomain> =
    LazyLock::new(|| "example.org".parse().expect("a trust domain"));

fuzz_target!(|token: &str| {
    let audience = "https://api.example";
    let validated = validate(token, audience, &TRUST_DOMAIN, &BUNDLE, NOW);
    assert_eq!(validated.is_ok(), token == SIGNED);
    if let Ok(validated) = validated {
        assert_eq!(validated.spiffe_id.trust_domain(), &*TRUST_DOMAIN);
    }
});
