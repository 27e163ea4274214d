//! Digests of audit sessions against what swtpm signed (see testdata/README.md).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use super::*;
use crate::tpm::{Attest, Attested, Exclusive, HashAlg, PcrIndex, PcrSelection, Public, Signature};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../testdata/tpm/", $name)).as_slice()
    };
}

/// What the AK signed of a session.
fn audited(attest: &[u8], signature: &[u8]) -> (Exclusive, Vec<u8>) {
    let ak = Public::parse_sized(vector!("audit_ak.pub.tpm2b")).unwrap();
    let statement = Attest::parse(attest).unwrap();
    let signature = Signature::parse(signature).unwrap();
    ak.key()
        .unwrap()
        .verify(statement.as_bytes(), &signature)
        .unwrap();
    assert_eq!(statement.extra_data(), [0xaa; 32]);
    let Attested::SessionAudit(audited) = statement.attested() else {
        panic!("not a session's audit");
    };
    let digest = audited.session_digest.as_bytes().to_vec();
    (audited.exclusive, digest)
}

fn banks() -> ActiveBanks {
    ActiveBanks::parse(vector!("audit_banks.list")).unwrap()
}

#[test]
fn the_banks_that_a_tpm_tells_are_those_that_it_signed() {
    let (exclusive, signed) = audited(vector!("audit_banks.attest"), vector!("audit_banks.sig"));
    assert_eq!(exclusive, Exclusive::Yes);
    assert_eq!(banks_digest(&banks()).as_bytes().as_slice(), signed);
}

#[test]
fn other_banks_have_another_digest() {
    let told = banks();
    let digest = banks_digest(&told);
    for at in 0..told.as_bytes().len() {
        for bit in 0..8 {
            let mut other = told.as_bytes().to_vec();
            *other.get_mut(at).unwrap() ^= 1 << bit;
            // What does not parse claims nothing.
            if let Ok(other) = ActiveBanks::parse(&other) {
                assert_ne!(banks_digest(&other), digest, "bit {bit} of byte {at}");
            }
        }
    }
    // The last bank hidden; and the same banks, told in another way.
    let hidden = [&[0, 0, 0, 3], told.as_bytes().get(4..22).unwrap()].concat();
    assert_ne!(banks_digest(&ActiveBanks::parse(&hidden).unwrap()), digest);
    let spelled = [told.as_bytes().get(4..).unwrap(), &[0, 0x12, 3, 0, 0, 0]].concat();
    let spelled = ActiveBanks::parse(&[&[0, 0, 0, 5], spelled.as_slice()].concat()).unwrap();
    assert!(spelled.known().eq(told.known()) && spelled.unknown().count() == 0);
    assert_ne!(banks_digest(&spelled), digest);
}

#[test]
fn a_session_of_several_commands_is_their_chain() {
    let (_, signed) = audited(vector!("audit_random.attest"), vector!("audit_random.sig"));
    let random = CommandCode::new(0x0000_017b);
    let command = |bytes: &[u8]| {
        let length = (bytes.len() as u16).to_be_bytes();
        let answer = [&length, bytes].concat();
        (cp_hash(random, &[], &length), rp_hash(random, &answer))
    };
    let (first, second) = (
        command(vector!("audit_random1.bin")),
        command(vector!("audit_random2.bin")),
    );
    assert_eq!(
        session_digest(&[first, second]).as_bytes().as_slice(),
        signed
    );
    for other in [vec![second, first], vec![first], vec![second], Vec::new()] {
        assert_ne!(session_digest(&other).as_bytes().as_slice(), signed);
    }
}

#[test]
fn what_is_selected_of_active_banks_is_what_they_keep() {
    let pcr = |index| PcrIndex::new(index).unwrap();
    let wanted: BTreeSet<_> = [0, 7, 10].map(pcr).into();
    let all = banks();
    let every = [
        HashAlg::Sha1,
        HashAlg::Sha256,
        HashAlg::Sha384,
        HashAlg::Sha512,
    ];
    assert!(all.known().eq(every));
    let expected = every.into_iter().fold(PcrSelection::none(), |all, alg| {
        all.with(alg, wanted.iter().copied())
    });
    assert_eq!(all.selection(&wanted), expected);
    // SHA-1 off, SHA-256 with the PCRs 0 to 7 alone, SM3 on.
    let list = b"\0\0\0\x03\0\x04\x03\0\0\0\0\x0b\x03\xff\0\0\0\x12\x03\xff\xff\xff";
    let some = ActiveBanks::parse(list).unwrap();
    let kept = PcrSelection::of(HashAlg::Sha256, [0, 7].map(pcr));
    assert_eq!(some.selection(&wanted), kept);
    assert!(some.known().eq([HashAlg::Sha256]) && some.unknown().eq([0x0012]));
}
