//! What a log gives: of which PCRs, after which record.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::super::*;
use super::{Log, pcr};
use crate::tpm::{Digest, HashAlg};

/// What a TPM has after these extensions, beginning at a value.
fn extended(start: [u8; 32], pcr: u8, extensions: &[(u8, [u8; 32])]) -> [u8; 32] {
    let of_pcr = extensions.iter().filter(|(index, _)| *index == pcr);
    of_pcr.fold(start, |value, (_, digest)| {
        Sha256::digest([value, *digest].concat()).into()
    })
}

fn digest(bytes: [u8; 32]) -> Digest {
    Digest::new(HashAlg::Sha256, &bytes).unwrap()
}

fn register(index: u8, start: [u8; 32], quoted: [u8; 32], duty: Duty) -> Register {
    Register {
        pcr: pcr(index),
        start: digest(start),
        quoted: digest(quoted),
        duty,
    }
}

/// Registers that were quoted after so many records.
fn quoted(log: &Log, pcrs: &[u8], after: usize) -> Vec<Register> {
    let measured = &log.extensions[..after];
    pcrs.iter()
        .map(|index| {
            let start = [*index; 32];
            register(*index, start, extended(start, *index, measured), Duty::Must)
        })
        .collect()
}

#[test]
fn a_log_gives_what_was_quoted_and_what_came_since_counts_for_nothing() {
    let log = Log::booted();
    let records = parse(&log.bytes).unwrap();
    for after in 0..=records.len() {
        let registers = quoted(&log, &[9, 11, 15], after);
        let replayed = replay(&records, registers.clone()).unwrap();
        assert_eq!(replayed.records, after);
        assert_eq!(replayed.given, registers);
    }
    // Of one PCR alone: what others measured meanwhile is in it.
    let replayed = replay(&records, quoted(&log, &[9], 9)).unwrap();
    assert_eq!(replayed.records, 9);
}

#[test]
fn values_that_no_one_prefix_gives_are_refused_by_name() {
    let log = Log::booted();
    let records = parse(&log.bytes).unwrap();
    // PCR 11 after all, PCR 15 before its last.
    let mut registers = quoted(&log, &[11], 9);
    registers.extend(quoted(&log, &[15], 4));
    assert_eq!(replay(&records, registers), Err(NoPrefix::Apart));
    let mut registers = quoted(&log, &[9, 11], 9);
    registers[1].quoted = digest([1; 32]);
    let error = replay(&records, registers).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no prefix of the records gives the quoted pcr 11 of Sha256"
    );
}

#[test]
fn what_need_not_be_given_refuses_nothing_and_is_told_apart() {
    let log = Log::booted();
    let records = parse(&log.bytes).unwrap();
    let mut registers = quoted(&log, &[15], 9);
    registers.push(register(11, [0; 32], [1; 32], Duty::May));
    registers.push(register(
        9,
        [0; 32],
        extended([0; 32], 9, &log.extensions),
        Duty::May,
    ));
    let replayed = replay(&records, registers.clone()).unwrap();
    assert_eq!(replayed.missed, [registers[1].clone()]);
    assert_eq!(replayed.given, [registers[0].clone(), registers[2].clone()]);
}

#[test]
fn a_record_without_a_bank_does_not_extend_it() {
    let log = Log::new()
        .raw("{\"pcr\":11,\"digests\":[]}")
        .measured(11, "phase", "ready");
    let records = parse(&log.bytes).unwrap();
    let replayed = replay(&records, quoted(&log, &[11], 1)).unwrap();
    assert_eq!(replayed.records, 2);
}

fn logs() -> impl Strategy<Value = Log> {
    let record = (prop::sample::select(vec![9_u8, 11, 15]), "[a-z]{1,6}");
    prop::collection::vec(record, 1..20).prop_map(|records| {
        let add = |log: Log, (pcr, text): (u8, String)| log.measured(pcr, "phase", &text);
        records.into_iter().fold(Log::new(), add)
    })
}

proptest! {
    /// One record that is removed, repeated, or put in another's place is missed, unless that leaves what each PCR measured.
    #[test]
    fn any_change_of_what_a_pcr_measured_is_missed(
        log in logs(),
        at in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        what in 0_u8..3,
    ) {
        let records = parse(&log.bytes).unwrap();
        let registers = quoted(&log, &[9, 11, 15], records.len());
        prop_assert!(replay(&records, registers.clone()).is_ok());
        let (at, to) = (at.index(records.len()), to.index(records.len()));
        let mut changed = records.clone();
        match what {
            0 => { changed.remove(at); }
            1 => { let record = changed[at].clone(); changed.insert(to, record); }
            _ => changed.swap(at, to),
        }
        // The model: some prefix measures into every PCR what was measured.
        let measured = |records: &[Record]| [9, 11, 15].map(|index| {
            let of_pcr = records.iter().filter(|record| record.pcr() == Some(pcr(index)));
            of_pcr.map(|record| record.digest(HashAlg::Sha256).unwrap().clone()).collect::<Vec<_>>()
        });
        let same = (0..=changed.len()).any(|end| measured(&changed[..end]) == measured(&records));
        prop_assert_eq!(replay(&changed, registers).is_ok(), same);
    }
}
