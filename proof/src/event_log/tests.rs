//! Logs of real firmware, and what else may come in their place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod boot;
mod builder;

use proptest::prelude::*;

use super::*;
use crate::tpm::{Digest, HashAlg, PcrIndex};
use builder::{Builder, SECURE_BOOT, variable};

const BANKS: [HashAlg; 2] = [HashAlg::Sha256, HashAlg::Sha384];

fn value(replayed: &Replayed, bank: HashAlg, pcr: u8) -> String {
    let value = replayed.values.value(bank, PcrIndex::new(pcr).unwrap());
    data_encoding::HEXLOWER.encode(value.unwrap().as_bytes())
}

/// What the firmware of a virtual machine wrote, against the PCRs that its kernel read right after.
#[test]
fn real_logs_give_the_pcrs_that_were_read_and_the_state_of_secure_boot() {
    for (log, pcrs, secure_boot) in [
        (
            include_bytes!("../../testdata/event_log/ovmf-secure-boot.bin").as_slice(),
            include_str!("../../testdata/event_log/ovmf-secure-boot.pcrs"),
            SecureBoot::Enabled,
        ),
        (
            include_bytes!("../../testdata/event_log/ovmf.bin"),
            include_str!("../../testdata/event_log/ovmf.pcrs"),
            SecureBoot::Disabled,
        ),
    ] {
        let replayed = replay(log).unwrap();
        assert_eq!(replayed.secure_boot, secure_boot);
        assert!(replayed.events > 20, "{}", replayed.events);
        let mut compared = 0;
        for line in pcrs.lines() {
            let mut words = line.split(' ');
            let bank = match words.next().unwrap() {
                "sha256" => HashAlg::Sha256,
                _ => HashAlg::Sha384,
            };
            let pcr = words.next().unwrap().parse().unwrap();
            // The kernel goes on with PCR 10.
            if pcr != 10 {
                let read = words.next().unwrap().to_lowercase();
                assert_eq!(value(&replayed, bank, pcr), read, "pcr {pcr}");
                compared += 1;
            }
        }
        assert!(compared >= 30, "{compared}");
    }
}

#[test]
fn a_changed_log_gives_other_values_or_none() {
    let log = include_bytes!("../../testdata/event_log/ovmf-secure-boot.bin");
    let whole = replay(log).unwrap();
    let starts: Vec<usize> = {
        let mut starts = Vec::new();
        let events = EventLog::parse(log).unwrap().events();
        let mut at = events.clone();
        for event in events {
            starts.push(log.len() - at.rest());
            event.unwrap();
            at.next();
        }
        starts
    };
    // One event left out, two exchanged, one repeated.
    let record = |number: usize| {
        let end = starts.get(number + 1).copied().unwrap_or(log.len());
        &log[starts[number]..end]
    };
    let head = &log[..starts[0]];
    let all = 0..starts.len();
    let assemble = |order: Vec<usize>| {
        let mut bytes = head.to_vec();
        order
            .iter()
            .for_each(|number| bytes.extend(record(*number)));
        replay(&bytes).unwrap().values
    };
    assert_eq!(assemble(all.clone().collect()), whole.values);
    let events: Vec<_> = EventLog::parse(log)
        .unwrap()
        .events()
        .map(Result::unwrap)
        .collect();
    for number in all.clone() {
        if events[number].pcr.is_none() {
            continue;
        }
        let without = all.clone().filter(|other| *other != number).collect();
        assert_ne!(assemble(without), whole.values, "without {number}");
        let mut twice: Vec<_> = all.clone().collect();
        twice.insert(number, number);
        assert_ne!(assemble(twice), whole.values, "{number} twice");
    }
    let same_pcr = all
        .clone()
        .skip(1)
        .find(|number| {
            let (one, other) = (&events[number - 1], &events[*number]);
            one.pcr == other.pcr && one.digest(HashAlg::Sha256) != other.digest(HashAlg::Sha256)
        })
        .unwrap();
    let mut exchanged: Vec<_> = all.collect();
    exchanged.swap(same_pcr - 1, same_pcr);
    assert_ne!(assemble(exchanged), whole.values);
    // Cut anywhere, it is whole records of fewer events, or no log.
    for end in 0..log.len() {
        match replay(&log[..end]) {
            Err(_) => {}
            Ok(cut) => assert!(starts.contains(&end) && cut.events <= whole.events, "{end}"),
        }
    }
}

#[test]
fn a_variable_counts_only_as_it_was_measured() {
    let on = variable(SECURE_BOOT, "SecureBoot", &[1]);
    let off = variable(SECURE_BOOT, "SecureBoot", &[0]);
    let said = |log: &Builder| replay(&log.bytes()).unwrap().secure_boot;
    let log = || Builder::new(&BANKS);
    assert_eq!(said(&log()), SecureBoot::Unknown);
    assert_eq!(
        said(&log().measure(7, 0x8000_0001, &on)),
        SecureBoot::Enabled
    );
    assert_eq!(
        said(&log().measure(7, 0x8000_0001, &off)),
        SecureBoot::Disabled
    );
    // Data that are not what was measured; in one bank is enough.
    assert_eq!(
        said(&log().forge(7, 0x8000_0001, &off, &on)),
        SecureBoot::Unknown
    );
    assert_eq!(
        said(&log().forge_in(HashAlg::Sha384, 7, 0x8000_0001, &off, &on)),
        SecureBoot::Unknown
    );
    // Another PCR, another kind, another owner, another name, more or fewer data than it says.
    assert_eq!(
        said(&log().measure(1, 0x8000_0001, &on)),
        SecureBoot::Unknown
    );
    assert_eq!(
        said(&log().measure(7, 0x8000_00e0, &on)),
        SecureBoot::Unknown
    );
    for other in [
        variable([0; 16], "SecureBoot", &[1]),
        variable(SECURE_BOOT, "SecureBootX", &[1]),
        [on.as_slice(), &[0]].concat(),
        on[..on.len() - 1].to_vec(),
        vec![],
    ] {
        assert_eq!(
            said(&log().measure(7, 0x8000_0001, &other)),
            SecureBoot::Unknown
        );
    }
    let both = log()
        .measure(7, 0x8000_0001, &on)
        .measure(7, 0x8000_0001, &off);
    assert_eq!(said(&both), SecureBoot::Contradictory);
    // Absent or of another length is not on.
    let empty = variable(SECURE_BOOT, "SecureBoot", &[]);
    assert_eq!(
        said(&log().measure(7, 0x8000_0001, &empty)),
        SecureBoot::Disabled
    );
}

#[test]
fn where_the_tpm_was_started_is_in_pcr_0() {
    let mut locality = b"StartupLocality\0".to_vec();
    locality.push(3);
    let started = Builder::new(&BANKS).measure(0, 3, &locality);
    let replayed = replay(&started.bytes()).unwrap();
    assert_eq!(value(&replayed, HashAlg::Sha256, 0), format!("{:0>64}", 3));
    assert_eq!(replayed.events, 0);
    assert_eq!(value(&replayed, HashAlg::Sha256, 17), "f".repeat(64));
    assert_eq!(value(&replayed, HashAlg::Sha256, 23), "0".repeat(64));
}

#[test]
fn what_is_no_crypto_agile_log_is_refused_by_what_is_wrong() {
    let good = Builder::new(&BANKS).measure(4, 4, b"x").bytes();
    assert!(replay(&good).is_ok());
    let mut said = String::new();
    for (name, bytes) in [
        ("nothing", vec![]),
        ("sha-1 alone", Builder::new(&[HashAlg::Sha1]).bytes()),
        ("a first event that is an event", {
            let mut bytes = good.clone();
            bytes[4] = 8;
            bytes
        }),
        ("another signature", {
            let mut bytes = good.clone();
            bytes[32] ^= 1;
            bytes
        }),
        ("a bank of another size", {
            let mut bytes = good.clone();
            bytes[32 + 16 + 8 + 4 + 2] = 33;
            bytes
        }),
        (
            "a bank twice",
            Builder::new(&[HashAlg::Sha256, HashAlg::Sha256]).bytes(),
        ),
        ("no bank", Builder::new(&[]).bytes()),
        (
            "a pcr that is none",
            Builder::new(&BANKS).measure(24, 4, b"").bytes(),
        ),
        (
            "a digest less",
            Builder::new(&BANKS)
                .lacking(HashAlg::Sha384, 4, 4, b"")
                .bytes(),
        ),
        ("bytes behind it", [good.as_slice(), &[0]].concat()),
    ] {
        let refused = replay(&bytes).unwrap_err();
        said += &format!("{name}: {refused}\n");
    }
    insta::assert_snapshot!(said);
}

/// Records of no length, and one that claims gigabytes: what is kept is a few PCRs, whatever the log's size.
#[test]
fn a_hostile_log_of_64_mib_costs_no_memory_of_its_own() {
    let record = Builder::new(&BANKS).measure(1, 4, b"").records();
    let mut bytes = Builder::new(&BANKS).bytes();
    let count = (64 << 20) / record.len();
    for _ in 0..count {
        bytes.extend(&record);
    }
    assert_eq!(replay(&bytes).unwrap().events, count as u64);
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        replay(&bytes),
        Err(MalformedLog::Field { field: "event", .. })
    ));
    // An event borrows from the log; nothing else grows with it.
    assert!(size_of::<Event<'_>>() <= 512);
}

proptest! {
    /// The model: each PCR is the chain of the digests that went into it.
    #[test]
    fn a_replay_is_the_chain_of_digests(events in prop::collection::vec((0_u8..24, any::<Vec<u8>>()), 0..24)) {
        let mut log = Builder::new(&BANKS);
        let mut model = Builder::start();
        for (pcr, data) in &events {
            log = log.measure((*pcr).into(), 8, data);
            for bank in BANKS {
                let value = model.get_mut(&(bank, *pcr)).unwrap();
                let next = [value.as_bytes(), bank.digest(data).as_bytes()].concat();
                *value = Digest::of(bank, &next);
            }
        }
        let replayed = replay(&log.bytes()).unwrap();
        prop_assert_eq!(replayed.events, events.len() as u64);
        for ((bank, pcr), value) in model {
            prop_assert_eq!(replayed.values.value(bank, PcrIndex::new(pcr).unwrap()), Some(&value));
        }
    }

    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>, cut in 0_usize..200) {
        let _ = replay(&bytes);
        let mut log = Builder::new(&BANKS).measure(7, 0x8000_0001, &bytes).bytes();
        log.truncate(cut);
        let _ = replay(&log);
    }
}

#[test]
fn sha1_is_replayed_beside_a_stronger_bank_and_says_nothing_of_secure_boot() {
    let on = variable(SECURE_BOOT, "SecureBoot", &[1]);
    let both = [HashAlg::Sha1, HashAlg::Sha256];
    let log = Builder::new(&both).measure(7, 0x8000_0001, &on);
    let replayed = replay(&log.bytes()).unwrap();
    for bank in both {
        let start = vec![0; bank.digest_len()];
        let measured = bank.digest(&on);
        let expected = bank.digest(&[start.as_slice(), measured.as_bytes()].concat());
        let seven = PcrIndex::new(7).unwrap();
        assert_eq!(replayed.values.value(bank, seven), Some(&expected));
    }
    assert_eq!(replayed.secure_boot, SecureBoot::Enabled);
    // What only the SHA-1 digest contradicts is what the other says.
    let log = Builder::new(&both).forge_in(HashAlg::Sha1, 7, 0x8000_0001, b"other", &on);
    assert_eq!(
        replay(&log.bytes()).unwrap().secure_boot,
        SecureBoot::Enabled
    );
}
