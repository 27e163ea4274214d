//! The text of checkpoints and of verifier keys.
#![no_main]

use holdfast_proof::note::{CheckpointBody, EcdsaVerifier, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(body) = CheckpointBody::parse(text) {
        assert_eq!(body.encode(), text);
    }
    if let Ok(verifier) = EcdsaVerifier::from_vkey(text) {
        assert_eq!(verifier.to_vkey(), text);
    }
    if let Ok(origin) = Origin::new(text) {
        assert_eq!(origin.as_str(), text);
    }
});
