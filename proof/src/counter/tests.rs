#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::tpm::{HashAlg, NvIndex};

/// Three checkpoints that swtpm certified at counter values 1, 2, 3 (see testdata/tpm/README.md).
const RECORDED: [(&[u8], &[u8], &[u8]); 3] = [
    (
        include_bytes!("../../testdata/tpm/cp1.body"),
        include_bytes!("../../testdata/tpm/cp1.attest"),
        include_bytes!("../../testdata/tpm/cp1.sig"),
    ),
    (
        include_bytes!("../../testdata/tpm/cp2.body"),
        include_bytes!("../../testdata/tpm/cp2.attest"),
        include_bytes!("../../testdata/tpm/cp2.sig"),
    ),
    (
        include_bytes!("../../testdata/tpm/cp3.body"),
        include_bytes!("../../testdata/tpm/cp3.attest"),
        include_bytes!("../../testdata/tpm/cp3.sig"),
    ),
];

fn ak(name: &str) -> Public {
    let bytes: &[u8] = match name {
        "ecc" => include_bytes!("../../testdata/tpm/ak_ecc.pub.tpm2b"),
        "rsa" => include_bytes!("../../testdata/tpm/ak_rsa.pub.tpm2b"),
        _ => include_bytes!("../../testdata/tpm/node.pub.tpm2b"),
    };
    Public::parse_sized(bytes).unwrap()
}

fn counter() -> NvPublic {
    NvPublic {
        index: NvIndex::new(0x0180_0001).unwrap(),
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::of(NvIndexType::Counter)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::AUTH_WRITE)
            .with(NvAttributes::NO_DA)
            .with(NvAttributes::WRITTEN),
        auth_policy: None,
        data_size: 8,
    }
}

fn anchor() -> CounterAnchor {
    let origin = Origin::new("audit.example/log").unwrap();
    CounterAnchor::new(origin, &ak("ecc"), &counter(), 1).unwrap()
}

fn checkpoints(order: &[usize]) -> Vec<CountedCheckpoint<'static>> {
    let take = |number: &usize| {
        let (body, attest, signature) = RECORDED[*number];
        CountedCheckpoint {
            body,
            attest,
            signature,
        }
    };
    order.iter().map(take).collect()
}

fn flaws(anchor: &CounterAnchor, checkpoints: &[CountedCheckpoint<'_>]) -> Vec<(usize, Flaw)> {
    let findings = anchor.verify(checkpoints).unwrap_err();
    findings
        .as_slice()
        .iter()
        .map(|finding| (finding.position, finding.flaw))
        .collect()
}

#[test]
fn contiguous_checkpoints_freeze_history() {
    let frozen = anchor().verify(&checkpoints(&[0, 1, 2])).unwrap();
    let heads: Vec<_> = frozen
        .heads
        .iter()
        .map(|head| (head.value, head.size))
        .collect();
    assert_eq!(heads, [(1, 10), (2, 20), (3, 30)]);
    assert_eq!(frozen.next_value, 4);
    assert_eq!(frozen.heads[0].root, sha256(b"root1"));
}

#[test]
fn no_checkpoints_freeze_nothing() {
    let frozen = anchor().verify(&[]).unwrap();
    assert_eq!((frozen.heads.len(), frozen.next_value), (0, 1));
}

#[test]
fn a_missing_repeated_or_reordered_checkpoint_is_seen() {
    let gap = Flaw::Value {
        expected: 2,
        found: 3,
    };
    assert_eq!(flaws(&anchor(), &checkpoints(&[0, 2])), [(1, gap)]);
    let missing_first = Flaw::Value {
        expected: 1,
        found: 2,
    };
    assert_eq!(
        flaws(&anchor(), &checkpoints(&[1, 2])),
        [(0, missing_first)]
    );
    let repeated = Flaw::Value {
        expected: 2,
        found: 1,
    };
    assert_eq!(flaws(&anchor(), &checkpoints(&[0, 0])), [(1, repeated)]);
    assert_eq!(
        flaws(&anchor(), &checkpoints(&[1, 0])),
        [
            (0, missing_first),
            (
                1,
                Flaw::Value {
                    expected: 3,
                    found: 1
                }
            ),
            (1, Flaw::Shrunk { from: 20, to: 10 }),
        ]
    );
}

#[test]
fn evidence_of_another_body_or_log_is_refused() {
    let mut swapped = checkpoints(&[0, 1, 2]);
    swapped[1].body = RECORDED[2].0;
    assert_eq!(flaws(&anchor(), &swapped), [(1, Flaw::OtherBody)]);
    let elsewhere = Origin::new("audit.example/other").unwrap();
    let anchor = CounterAnchor::new(elsewhere, &ak("ecc"), &counter(), 1).unwrap();
    assert_eq!(flaws(&anchor, &checkpoints(&[0])), [(0, Flaw::Origin)]);
}

#[test]
fn evidence_of_another_key_or_index_is_refused() {
    let origin = || Origin::new("audit.example/log").unwrap();
    let other_ak = CounterAnchor::new(origin(), &ak("rsa"), &counter(), 1).unwrap();
    assert_eq!(
        flaws(&other_ak, &checkpoints(&[0])),
        [(
            0,
            Flaw::NotByTheAk(crate::tpm::SignatureRefused::Unsupported)
        )]
    );
    let mut elsewhere = counter();
    elsewhere.index = NvIndex::new(0x0180_0002).unwrap();
    let other_index = CounterAnchor::new(origin(), &ak("ecc"), &elsewhere, 1).unwrap();
    assert_eq!(
        flaws(&other_index, &checkpoints(&[0])),
        [(0, Flaw::OtherIndex)]
    );
}

#[test]
fn a_quote_in_place_of_the_counter_is_refused() {
    let mut quote = checkpoints(&[0]);
    quote[0].attest = include_bytes!("../../testdata/tpm/quote_ecc.attest");
    quote[0].signature = include_bytes!("../../testdata/tpm/quote_ecc.sig");
    assert_eq!(flaws(&anchor(), &quote), [(0, Flaw::NotACounter)]);
}

#[test]
fn every_changed_byte_is_a_flaw() {
    let (body, attest, signature) = RECORDED[0];
    let anchor = anchor();
    let refused = |body: &[u8], attest: &[u8], signature: &[u8]| {
        let checkpoint = CountedCheckpoint {
            body,
            attest,
            signature,
        };
        anchor.verify(&[checkpoint]).is_err()
    };
    assert!(!refused(body, attest, signature));
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for at in 0..body.len() {
        assert!(refused(&flipped(body, at), attest, signature), "body {at}");
    }
    for at in 0..attest.len() {
        assert!(
            refused(body, &flipped(attest, at), signature),
            "attest {at}"
        );
    }
    for at in 0..signature.len() {
        assert!(
            refused(body, attest, &flipped(signature, at)),
            "signature {at}"
        );
    }
}

#[test]
fn contradictions_between_heads_are_flaws() {
    let frozen = anchor().verify(&checkpoints(&[0])).unwrap();
    let last = frozen.heads[0].clone();
    assert_eq!(contradiction(&last, &last), None);
    let mut forked = last.clone();
    forked.root = sha256(b"another history");
    assert_eq!(
        contradiction(&last, &forked),
        Some(Flaw::Forked { size: 10 })
    );
    let mut later = last.clone();
    later.clock.reset_count += 1;
    later.clock.clock_ms = 0;
    assert_eq!(contradiction(&last, &later), None);
    assert_eq!(contradiction(&later, &last), Some(Flaw::ClockWentBack));
    let mut earlier = last.clone();
    earlier.clock.clock_ms -= 1;
    assert_eq!(contradiction(&last, &earlier), Some(Flaw::ClockWentBack));
}

#[test]
fn only_an_attestation_key_and_a_written_counter_anchor() {
    let origin = || Origin::new("audit.example/log").unwrap();
    assert_eq!(
        CounterAnchor::new(origin(), &ak("node"), &counter(), 1),
        Err(InvalidAnchor::NotAnAttestationKey)
    );
    let mut ordinary = counter();
    ordinary.attributes = NvAttributes::of(NvIndexType::Ordinary).with(NvAttributes::WRITTEN);
    let mut unwritten = counter();
    unwritten.attributes = NvAttributes::of(NvIndexType::Counter).with(NvAttributes::AUTH_READ);
    for counter in [ordinary, unwritten] {
        assert_eq!(
            CounterAnchor::new(origin(), &ak("ecc"), &counter, 1),
            Err(InvalidAnchor::NotACounter)
        );
    }
}

#[test]
fn stored_evidence_round_trips() {
    let (_, attest, signature) = RECORDED[0];
    let evidence = CounterEvidence::new(attest, signature).unwrap();
    let bytes = evidence.encode();
    assert_eq!(CounterEvidence::parse(&bytes), Ok(evidence));
    assert!(CounterEvidence::parse(&bytes[1..]).is_err());
    assert!(CounterEvidence::parse(&[bytes, vec![0]].concat()).is_err());
}
