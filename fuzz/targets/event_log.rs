//! An event log: what a host claims that its firmware measured. The same each time, and no more events than bytes; what is
//! kept of it gives the same values, and is read again as it was written.
#![no_main]

use holdfast_proof::event_log::{BootEvents, EventLog, MAX_EVENTS, replay};
use holdfast_proof::tpm::{HashAlg, PcrIndex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let replayed = replay(data);
    assert_eq!(replayed, replay(data));
    let Ok(log) = EventLog::parse(data) else {
        assert!(replayed.is_err());
        return;
    };
    let events = log.events().filter(|event| event.is_ok()).count();
    assert!(events <= data.len());
    let Ok(replayed) = replayed else { return };
    assert!(replayed.events <= events as u64);
    // Every bank that is replayed comes whole.
    assert_eq!(replayed.values.iter().count() % 24, 0);

    let all = (0..PcrIndex::COUNT).filter_map(PcrIndex::new).collect();
    let kept = BootEvents::of(data, HashAlg::Sha256, &all);
    let Some(kept) = kept.expect("what replays can be kept") else {
        return;
    };
    for pcr in all {
        assert!(kept.of_pcr(pcr).count() <= MAX_EVENTS);
        for event in kept.of_pcr(pcr) {
            assert!(event.about.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        if let Some(value) = kept.value(pcr) {
            assert_eq!(replayed.values.value(HashAlg::Sha256, pcr), Some(&value));
        }
    }
    let text = serde_json::to_string(&kept).expect("it can be written");
    let again: BootEvents = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(again, kept);
});
