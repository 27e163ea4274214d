#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn ek_policy_is_the_known_one() {
    // TCG EK Credential Profile 2.x §B.6.2, PolicyA for SHA-256.
    let policy = PolicyDigest::new().policy_secret(&Name::endorsement(), b"");
    assert_eq!(
        policy.digest().to_string(),
        "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
    );
}
