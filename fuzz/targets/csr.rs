//! Certificate signing requests, as the attestor takes them from a host.
#![no_main]

use holdfast_attestor::csr::Csr;
use holdfast_proof::tpm::PublicKey;
use libfuzzer_sys::fuzz_target;

/// The one request that its key ever signed.
const SIGNED: &[u8] = include_bytes!("../corpus/csr/p256");

fuzz_target!(|data: &[u8]| {
    let Ok(csr) = Csr::parse(data) else {
        return;
    };
    assert_eq!(data, SIGNED);
    assert_eq!(PublicKey::from_spki_der(&csr.spki_der()), Some(csr.key()));
});
