//! TPML_PCR_SELECTION: which PCRs a quote covers, which banks a TPM says that it keeps.
#![no_main]

use std::collections::BTreeSet;

use holdfast_proof::tpm::{ActiveBanks, PcrIndex, PcrSelection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let banks = ActiveBanks::parse(data);
    let Ok(selection) = PcrSelection::parse(data) else {
        return;
    };
    // Bitmaps have several lengths and empty banks say nothing, so it is the selection that survives, not its spelling.
    let encoded = selection.encode();
    assert_eq!(PcrSelection::parse(&encoded).as_ref(), Ok(&selection));
    let indices: usize = selection.banks().map(|(_, indices)| indices.len()).sum();
    assert_eq!(selection.iter().count(), indices);
    let rebuilt = selection
        .banks()
        .fold(PcrSelection::none(), |rebuilt, (alg, indices)| {
            rebuilt.with(alg, indices.iter().copied())
        });
    assert_eq!(rebuilt, selection);
    // What selects nothing of unknown banks says as much of the banks that a TPM keeps.
    let banks = banks.expect("a selection names banks");
    assert_eq!(banks.as_bytes(), data);
    assert_eq!(banks.unknown().count(), 0);
    let all: BTreeSet<PcrIndex> = (0..PcrIndex::COUNT).filter_map(PcrIndex::new).collect();
    let kept: BTreeSet<_> = banks.selection(&all).iter().collect();
    assert_eq!(kept, selection.iter().collect());
});
