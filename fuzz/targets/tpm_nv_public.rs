//! TPMS_NV_PUBLIC: the counter that a host claims to have.
#![no_main]

use holdfast_proof::tpm::{Buffer, NvPublic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(public) = NvPublic::parse(data) else {
        return;
    };
    assert_eq!(public.encode(), data);
    let sized = Buffer::<128>::new(data).expect("no index has a longer public area");
    assert_eq!(
        NvPublic::parse_sized(&sized.to_sized()).as_ref(),
        Ok(&public)
    );
});
