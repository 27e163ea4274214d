#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::hash::sha256;
use crate::tpm::{HashAlg, PcrIndex, PcrValues, TimeField, pcr_digest};

/// The policyDigests of trial sessions on swtpm, one command each (see testdata/README.md).
const RECORDED: &str = include_str!("../../testdata/tpm/policies.txt");
const NV_NAME: &str = "000b839a06f047347efb8295277624dc6769d9ff37c9b6a1e13e8c19768ac99ea4f0";
const FIVE: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 5];
const CLOCK: u64 = 4_102_444_800_000;

#[track_caller]
fn assert_recorded(name: &str, policy: PolicyDigest) {
    let recorded = RECORDED
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap();
    assert_eq!(policy.digest().to_string(), recorded);
}

fn new() -> PolicyDigest {
    PolicyDigest::new()
}

fn nv_name() -> Name {
    Name::parse(&data_encoding::HEXLOWER.decode(NV_NAME.as_bytes()).unwrap()).unwrap()
}

fn signer() -> Name {
    Name::parse(include_bytes!("../../testdata/tpm/signer.name")).unwrap()
}

/// PCRs 0 and 7 of SHA-256, and then PCR 4 of SHA-384, as they were in swtpm.
fn pcrs() -> [(PcrSelection, Sha256Digest); 2] {
    let index = |index| PcrIndex::new(index).unwrap();
    let recorded = [
        (
            HashAlg::Sha256,
            0,
            "9ef814b42fa0be12d197c44d3e8e03441a4b1118237658368ba1351090e556ed",
        ),
        (
            HashAlg::Sha256,
            7,
            "45182f9fdeb95d19b20c19dd45ded638977e1b7a168b78af435457f12a6acbb6",
        ),
        (
            HashAlg::Sha384,
            4,
            "98ef9c7cbd65b88996ad4aa0ecd2a3f1b82c944a466f7c6300b2a0b53c6f72be91b0d636898fdf0310494384e73ae4e3",
        ),
    ];
    let make = |count| {
        let (mut selection, mut values) = (PcrSelection::none(), PcrValues::new());
        for (alg, number, hex) in &recorded[..count] {
            let value = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            selection = selection.with(*alg, [index(*number)]);
            assert!(values.insert(index(*number), Digest::new(*alg, &value).unwrap()));
        }
        let digest = pcr_digest(HashAlg::Sha256, &selection, &values).unwrap();
        (
            selection,
            Sha256Digest::try_from(digest.as_bytes()).unwrap(),
        )
    };
    [make(2), make(3)]
}

#[test]
fn ek_policy_is_the_known_one() {
    // TCG EK Credential Profile 2.x §B.6.2, PolicyA for SHA-256.
    assert_eq!(
        new()
            .policy_secret(&Name::endorsement(), b"")
            .digest()
            .to_string(),
        "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
    );
}

#[test]
fn single_assertions_are_those_of_a_tpm() {
    assert_recorded("secret_owner", new().policy_secret(&Name::owner(), b""));
    assert_recorded(
        "secret_owner_ref",
        new().policy_secret(&Name::owner(), &[1, 2, 3]),
    );
    assert_recorded("authvalue", new().policy_auth_value());
    assert_recorded(
        "commandcode_unseal",
        new().policy_command_code(CommandCode::UNSEAL),
    );
    let cp_hash = &include_bytes!("../../testdata/tpm/cphash.bin")[2..];
    let cp_hash = Sha256Digest::try_from(cp_hash).unwrap();
    assert_recorded("cphash", new().policy_cp_hash(&cp_hash));
    assert_recorded("authorize", new().policy_authorize(&signer(), b""));
    assert_recorded(
        "authorize_ref",
        new().policy_authorize(&signer(), &[1, 2, 3]),
    );
}

#[test]
fn comparisons_are_those_of_a_tpm() {
    let (clock, resets) = (TimeField::Clock.offset(), TimeField::ResetCount.offset());
    let before = new().policy_counter_timer(&CLOCK.to_be_bytes(), clock, Operation::UnsignedLt);
    assert_recorded("countertimer_clock_ult", before);
    let same_boot = new().policy_counter_timer(&1_u32.to_be_bytes(), resets, Operation::Eq);
    assert_recorded("countertimer_resets_eq", same_boot);
    assert_recorded(
        "nv_eq",
        new().policy_nv(&nv_name(), &FIVE, 0, Operation::Eq),
    );
    assert_recorded(
        "nv_ule",
        new().policy_nv(&nv_name(), &FIVE, 0, Operation::UnsignedLe),
    );
}

#[test]
fn pcr_assertions_are_those_of_a_tpm() {
    let [(one, one_digest), (two, two_digest)] = pcrs();
    assert_recorded("pcr_sha256_0_7", new().policy_pcr(&one, &one_digest));
    assert_recorded("pcr_two_banks", new().policy_pcr(&two, &two_digest));
}

#[test]
fn a_chain_of_assertions_is_that_of_a_tpm() {
    let [(selection, digest), _] = pcrs();
    let clock = TimeField::Clock.offset();
    let chain = new()
        .policy_auth_value()
        .policy_counter_timer(&CLOCK.to_be_bytes(), clock, Operation::UnsignedLt)
        .policy_nv(&nv_name(), &FIVE, 0, Operation::Eq)
        .policy_pcr(&selection, &digest);
    assert_recorded("chain", chain);
}

#[test]
fn branches_are_those_of_a_tpm_and_replace_what_stands_before() {
    let branches = [
        new().policy_auth_value().digest(),
        new().policy_command_code(CommandCode::SIGN).digest(),
    ];
    let or = new().policy_or(&branches).unwrap();
    assert_recorded("or_authvalue_sign", or);
    assert_eq!(new().policy_auth_value().policy_or(&branches), Ok(or));
    let authorize = new().policy_authorize(&signer(), b"");
    assert_eq!(or.policy_authorize(&signer(), b""), authorize);
}

#[test]
fn branches_are_two_to_eight() {
    let digest = sha256(b"branch");
    for count in [0, 1, 9] {
        assert_eq!(
            new().policy_or(&vec![digest; count]),
            Err(BranchCount(count))
        );
    }
    assert!(new().policy_or(&[digest; 8]).is_ok());
}

#[test]
fn every_part_of_an_assertion_counts() {
    let base = new().policy_nv(&nv_name(), &FIVE, 0, Operation::Eq);
    let others = [
        new().policy_nv(&signer(), &FIVE, 0, Operation::Eq),
        new().policy_nv(&nv_name(), &FIVE[1..], 0, Operation::Eq),
        new().policy_nv(&nv_name(), &FIVE, 1, Operation::Eq),
        new().policy_nv(&nv_name(), &FIVE, 0, Operation::Neq),
        base.policy_auth_value(),
        new()
            .policy_auth_value()
            .policy_nv(&nv_name(), &FIVE, 0, Operation::Eq),
    ];
    assert!(others.iter().all(|other| *other != base));
    let signed = new().policy_signed(&signer(), b"");
    assert_ne!(signed, new().policy_secret(&signer(), b""));
    assert_eq!(
        base.auth_policy().unwrap().as_bytes(),
        base.digest().as_bytes()
    );
}
