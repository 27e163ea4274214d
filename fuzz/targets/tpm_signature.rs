//! TPMT_SIGNATURE: parsed, encoded, and tried on a message that nobody signed.
#![no_main]

use holdfast_proof::tpm::{Public, Signature};
use libfuzzer_sys::fuzz_target;

const KEYS: [&[u8]; 2] = [
    include_bytes!("../../proof/testdata/tpm/ak_ecc.pub.tpm2b"),
    include_bytes!("../../proof/testdata/tpm/ak_rsa.pub.tpm2b"),
];

fuzz_target!(|data: &[u8]| {
    let Ok(signature) = Signature::parse(data) else {
        return;
    };
    assert_eq!(signature.encode(), data);
    for key in KEYS {
        let key = Public::parse_sized(key)
            .ok()
            .and_then(|public| public.key());
        let key = key.expect("the recorded keys are keys");
        assert!(key.verify(b"nobody signed this", &signature).is_err());
    }
});
