//! Certificate signing requests, as the attestor takes them from a host.
#![no_main]

// The module by itself: all of the attestor would take minutes to build.
#[rustfmt::skip]
#[path = "../../attestor/src/csr.rs"]
#[allow(dead_code, reason = "the attestor uses all of it")]
mod csr;

use csr::Csr;
use holdfast_proof::tpm::PublicKey;
use libfuzzer_sys::fuzz_target;

/// The one request that its key ever signed.
const SIGNED: &[u8] = include_bytes!("../corpus/csr/p256");

fuzz_target!(|data: &[u8]| {
    let csr = Csr::parse(data);
    assert_eq!(csr.is_ok(), data == SIGNED);
    if let Ok(csr) = csr {
        assert_eq!(PublicKey::from_spki_der(&csr.spki_der()), Some(csr.key()));
    }
});
