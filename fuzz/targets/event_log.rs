//! An event log: what a host claims that its firmware measured. The same each time, and no more events than bytes.
#![no_main]

use holdfast_proof::event_log::{EventLog, replay};
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
    if let Ok(replayed) = replayed {
        assert!(replayed.events <= events as u64);
        // Every bank that is replayed comes whole.
        assert_eq!(replayed.values.iter().count() % 24, 0);
    }
});
