//! Logs as systemd writes them, and logs that nobody should.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod builder;
mod hostile;
mod replayed;

use super::*;
use crate::tpm::{HashAlg, PcrIndex};
use builder::Log;

fn pcr(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}

/// A record as systemd writes it, with the digest of its own `pcrlock.d/750-os-separator.pcrlock`.
const SEPARATOR: &str = "\u{1e}{\"pcr\":7,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"ff5b9d73dad709633ae76adf444012b57e913a12ed7403c3931145862f35f841\"}],\"content_type\":\"systemd\",\"content\":{\"string\":\"os-separator\",\"bootId\":\"6f1c2d0b9a8e4c7d8b5a4f3e2d1c0b9a\",\"timestamp\":1200000,\"eventType\":\"os-separator\"}}\n";

#[test]
fn a_record_of_systemd_is_read_and_extends_its_pcr() {
    let records = parse(SEPARATOR.as_bytes()).unwrap();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(
        (record.pcr(), record.kind),
        (Some(pcr(7)), Kind::OsSeparator)
    );
    assert!(record.is_bound(HashAlg::Sha256) && record.measures(HashAlg::Sha256, OS_SEPARATOR));
    assert_eq!(record.digest(HashAlg::Sha384), None);
    let start = HashAlg::Sha256.digest(b"what the firmware left");
    let measured = record.digest(HashAlg::Sha256).unwrap();
    let both = [start.as_bytes(), measured.as_bytes()].concat();
    let register = Register {
        pcr: pcr(7),
        start,
        quoted: HashAlg::Sha256.digest(&both),
        duty: Duty::Must,
    };
    assert_eq!(replay(&records, vec![register]).unwrap().records, 1);
}

#[test]
fn what_is_measured_elsewhere_extends_no_pcr() {
    let log = Log::new()
        .raw("{\"nv_index\":30474752,\"digests\":[],\"content_type\":\"systemd\",\"content\":{\"nvIndexName\":\"hardware\",\"string\":\"product-id:1\",\"eventType\":\"product-id\"}}")
        .raw("{\"rtmr\":2,\"mapped_pcr\":11,\"digests\":[]}");
    let records = parse(&log.bytes).unwrap();
    assert!(records.iter().all(|record| record.pcr().is_none()));
    assert_eq!(records[0].about(), "1");
}

#[test]
fn what_is_not_known_is_passed_over() {
    let digest = data_encoding::HEXLOWER.encode(&[7; 32]);
    let log = Log::new().raw(&format!(
        "{{\"pcr\":15,\"new\":[{{}}],\"digests\":[{{\"hashAlg\":\"sm3_256\",\"digest\":\"?\"}},{{\"hashAlg\":\"sha3_256\",\"digest\":\"00\"}},{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\",\"x\":1}}],\"content_type\":\"other\",\"content\":\"free\"}}"
    ));
    let records = parse(&log.bytes).unwrap();
    assert_eq!(records[0].kind, Kind::Other);
    assert_eq!(records[0].about(), "");
    assert_eq!(
        records[0].digest(HashAlg::Sha256).unwrap().as_bytes(),
        [7; 32]
    );
    // A kind that is not known, with text that is.
    let log = Log::new().measured(15, "later", "a thing");
    let records = parse(&log.bytes).unwrap();
    assert_eq!(
        (records[0].kind, records[0].about()),
        (Kind::Other, "a thing")
    );
    assert!(records[0].is_bound(HashAlg::Sha256));
}
