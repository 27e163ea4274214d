//! A receipt that someone presents, judged by a key that never signed one.
#![no_main]

use holdfast_fuzz::survives_json;
use holdfast_proof::receipt::verify;
use holdfast_proof::tpm::{Public, PublicKey};
use holdfast_protocol::frame::decode;
use holdfast_protocol::receipt::Receipt;
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = include_bytes!("../../proof/testdata/tpm/node.pub.tpm2b");

fuzz_target!(|data: &[u8]| {
    survives_json::<Receipt>(data);
    let Ok(receipt) = decode::<Receipt>(data) else {
        return;
    };
    let key = Public::parse_sized(KEY).ok().and_then(|key| key.key());
    let Some(PublicKey::Ecc(key)) = key else {
        panic!("a recorded key");
    };
    assert!(verify(&receipt, &receipt.consent, &key).is_err());
});
