//! TPM2B_NAME's content, and the other small structures that stand alone on a wire.
#![no_main]

use holdfast_proof::tpm::{Name, TimeInfo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = Name::parse(data) {
        assert_eq!(name.as_bytes(), data);
        assert_eq!(name.to_sized().len(), data.len() + 2);
    }
    if let Ok(time) = TimeInfo::parse(data) {
        assert_eq!(time.encode(), data);
    }
});
