//! systemd's log: what a host claims that its systemd measured. No more records than bytes, each read again alone as it was
//! read among others; what is replayed gives what a chain of its digests gives, and what is kept of it is printable.
#![no_main]

use holdfast_proof::event_log::{BootEvents, MAX_EVENTS};
use holdfast_proof::systemd_log::{Duty, MAX_RECORDS, Records, Register, parse, replay};
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bank = HashAlg::Sha256;
    let sound: Vec<_> = Records::new(data).map_while(Result::ok).collect();
    assert!(sound.len() <= data.len());
    for (record, bytes) in &sound {
        assert_eq!(parse(bytes).expect("it was read"), [record.clone()]);
    }
    let Ok(records) = parse(data) else { return };
    assert!(records.len() <= MAX_RECORDS);
    assert!(records.iter().eq(sound.iter().map(|(record, _)| record)));

    let all = (0..PcrIndex::COUNT).filter_map(PcrIndex::new).collect();
    let kept = BootEvents::without_firmware(bank).then(&records, &all);
    let mut registers = Vec::new();
    for pcr in all {
        assert!(kept.of_pcr(pcr).count() <= MAX_EVENTS);
        for event in kept.of_pcr(pcr) {
            assert!(
                event
                    .about
                    .bytes()
                    .all(|byte| (b' '..=b'~').contains(&byte))
            );
        }
        // Dynamic ones begin with other values.
        let Some(quoted) = kept.value(pcr).filter(|_| pcr.get() < 17) else {
            continue;
        };
        registers.push(Register {
            pcr,
            start: Digest::new(bank, &[0; 32]).expect("as long as it is"),
            quoted,
            duty: Duty::Must,
        });
    }
    let replayed = replay(&records, registers.clone()).expect("these are its values");
    assert_eq!(replayed.given, registers);
    // Whatever a value is, nothing but its digest gives it.
    if let Some(mut register) = registers.pop() {
        register.quoted = bank.digest(b"never measured");
        assert!(replay(&records, vec![register]).is_err());
    }
});
