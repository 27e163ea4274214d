//! SubjectPublicKeyInfo, DER: one key, one spelling.
#![no_main]

use holdfast_proof::tpm::PublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(key) = PublicKey::from_spki_der(data) else {
        return;
    };
    let der = key.to_spki_der();
    assert!(!der.is_empty());
    assert_eq!(PublicKey::from_spki_der(&der), Some(key));
});
