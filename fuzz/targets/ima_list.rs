//! A measurement list: what a host claims that its kernel measured. The same in one piece and in two, and bounded.
#![no_main]

use holdfast_proof::ima::{AllowList, Known, List, Policy, Prefix, Replay};
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrValues};
use libfuzzer_sys::fuzz_target;

const BANKS: [HashAlg; 3] = [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384];

fn list(data: &[u8], first: u64) -> List<'_> {
    List::new(data, HashAlg::Sha1, first)
}

fuzz_target!(|data: &[u8]| {
    let mut end = 0;
    let mut starts = Vec::new();
    for (index, entry) in list(data, 0).enumerate() {
        let Ok(entry) = entry else { break };
        assert_eq!((entry.index(), entry.offset()), (index as u64, end));
        starts.push(end);
        end += entry.size();
        let _ = entry.measured();
    }
    assert!(end <= data.len());

    let mut unreachable = PcrValues::new();
    for bank in BANKS {
        let value =
            Digest::new(bank, &vec![0x5a; bank.digest_len()]).expect("as long as the bank's");
        assert!(unreachable.insert(PcrIndex::new(10).expect("a pcr"), value));
    }
    let none = AllowList::default();
    let whole = Replay::start(BANKS).replay(list(data, 0), &unreachable, &none);
    let half = starts.get(starts.len() / 2).copied().unwrap_or(0);
    let (before, behind) = data.split_at(half);
    if let Ok(Prefix::NotReached { replay: whole }) = whole {
        let Ok(Prefix::NotReached { replay: state }) =
            Replay::start(BANKS).replay(list(before, 0), &unreachable, &none)
        else {
            panic!("a part of what replays does not");
        };
        let again = state.replay(list(behind, state.entries()), &unreachable, &none);
        assert_eq!(again, Ok(Prefix::NotReached { replay: whole }));
    }
    if let Ok(findings) = Policy::default().judge(list(data, 0), starts.len(), &Known::default(), &unreachable) {
        assert_eq!(findings.judged, starts.len() as u64);
        assert!(findings.first.len() <= 16);
    }
});
