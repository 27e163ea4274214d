//! TPMT_PUBLIC: a key that a host claims to have.
#![no_main]

use holdfast_proof::tpm::{Public, PublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(public) = Public::parse(data) else {
        return;
    };
    assert_eq!(public.as_bytes(), data);
    assert_eq!(
        Public::parse_sized(&public.to_sized()).as_ref(),
        Ok(&public)
    );
    // A TPM may leave out the leading zeros of a coordinate; everything else has one spelling.
    let again = Public::from_parts(public.parts()).expect("what was parsed can be encoded");
    assert_eq!(again.parts(), public.parts());
    assert!(again.as_bytes().len() >= data.len());
    if again.as_bytes().len() == data.len() {
        assert_eq!(again.name(), public.name());
    }
    if let Some(key) = public.key() {
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()), Some(key));
    }
});
