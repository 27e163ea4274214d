//! X.509-SVIDs.
#![no_main]

use holdfast_proof::svid::Svid;
use holdfast_proof::tpm::PublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(svid) = Svid::parse(data) else {
        return;
    };
    assert_eq!(
        svid.spiffe_id.to_string().parse().as_ref(),
        Ok(&svid.spiffe_id)
    );
    assert!(!svid.public_key.is_empty());
    if let Some(key) = PublicKey::from_spki_der(&svid.public_key) {
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()), Some(key));
    }
});
