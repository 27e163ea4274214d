//! TPML_PCR_SELECTION: which PCRs a quote covers.
#![no_main]

use holdfast_proof::tpm::PcrSelection;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(selection) = PcrSelection::parse(data) else {
        return;
    };
    // Bitmaps have several lengths and empty banks say nothing, so it is the selection that survives, not its spelling.
    let encoded = selection.encode();
    assert_eq!(PcrSelection::parse(&encoded).as_ref(), Ok(&selection));
    let banks: usize = selection.banks().map(|(_, indices)| indices.len()).sum();
    assert_eq!(selection.iter().count(), banks);
    let rebuilt = selection
        .banks()
        .fold(PcrSelection::none(), |rebuilt, (alg, indices)| {
            rebuilt.with(alg, indices.iter().copied())
        });
    assert_eq!(rebuilt, selection);
});
