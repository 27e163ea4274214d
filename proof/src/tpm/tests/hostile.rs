//! What must be refused, and for which reason.

use proptest::prelude::*;

use super::super::*;
use super::recorded::{ATTESTS, SIGNATURES, publics};

/// A copy of `bytes` with `with` from offset `at` on.
fn patched(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

fn unsupported(error: MalformedStructure) -> &'static str {
    match error {
        MalformedStructure::Unsupported { field, .. } => field,
        MalformedStructure::Truncated { .. }
        | MalformedStructure::Trailing { .. }
        | MalformedStructure::TooLong { .. }
        | MalformedStructure::Inconsistent { .. } => panic!("{error}"),
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    for public in publics() {
        let bytes = public.as_bytes();
        for end in 0..bytes.len() {
            assert!(Public::parse(&bytes[..end]).is_err());
        }
        let longer = [bytes, &[0]].concat();
        assert!(matches!(
            Public::parse(&longer),
            Err(MalformedStructure::Trailing { excess: 1, .. })
        ));
    }
    for bytes in ATTESTS {
        for end in 0..bytes.len() {
            assert!(Attest::parse(&bytes[..end]).is_err());
        }
        assert!(Attest::parse(&[bytes, &[0]].concat()).is_err());
    }
    for bytes in SIGNATURES {
        for end in 0..bytes.len() {
            assert!(Signature::parse(&bytes[..end]).is_err());
        }
        assert!(Signature::parse(&[bytes, &[0]].concat()).is_err());
    }
}

#[test]
fn fields_of_a_public_area_are_checked() {
    // Offsets in TPMT_PUBLIC: type 0, nameAlg 2, objectAttributes 4, authPolicy 8; without a policy, an ECC key
    // goes on with symmetric 10, scheme 12 and its hash 14, curve 16, kdf 18, x 20.
    let ak = publics()[0].as_bytes().to_vec();
    for (at, with, field) in [
        (0, [0x00, 0x25], "type"),
        (2, [0x00, 0x10], "nameAlg"),
        (4, [0x80, 0x05], "objectAttributes"),
        (10, [0x00, 0x26], "symmetric"),
        (12, [0x00, 0x14], "scheme"),
        (14, [0x00, 0x12], "scheme.hashAlg"),
        (16, [0x00, 0x05], "curveID"),
        (18, [0x00, 0x01], "kdf"),
    ] {
        let error = Public::parse(&patched(&ak, at, &with)).unwrap_err();
        assert_eq!(unsupported(error), field);
    }
    // A name algorithm that the policy's length does not fit.
    let ek = publics()[3].as_bytes().to_vec();
    assert!(matches!(
        Public::parse(&patched(&ek, 2, &[0x00, 0x0c])),
        Err(MalformedStructure::Inconsistent {
            field: "authPolicy",
            ..
        })
    ));
    assert!(matches!(
        Public::parse(&vec![0; Public::MAX + 1]),
        Err(MalformedStructure::TooLong { .. })
    ));
}

#[test]
fn fields_of_an_rsa_key_are_checked() {
    // An RSA AK: symmetric 10, scheme 12, hash 14, keyBits 16, exponent 18, length of the modulus 22, modulus 24.
    let ak = publics()[2].as_bytes().to_vec();
    let inconsistent = |bytes: &[u8]| {
        matches!(
            Public::parse(bytes),
            Err(MalformedStructure::Inconsistent {
                field: "keyBits, exponent or unique",
                ..
            })
        )
    };
    assert!(inconsistent(&patched(&ak, 16, &[0x0c, 0x00])));
    assert!(inconsistent(&patched(&ak, 16, &[0x04, 0x00])));
    assert!(inconsistent(&patched(&ak, 18, &[0, 0, 0, 1])));
    assert!(inconsistent(&patched(&ak, 18, &[0, 0, 0, 4])));
    assert!(inconsistent(&patched(&ak, 24, &[0x00])));
    // The same exponent as the default 0: one key must not have two names.
    let error = Public::parse(&patched(&ak, 18, &[0, 1, 0, 1])).unwrap_err();
    assert_eq!(unsupported(error), "exponent");
}

#[test]
fn fields_of_an_attestation_are_checked() {
    // Offsets with a signer's name of 34 bytes and extraData of 32: magic 0, type 4, signer 6, its hash 8, extraData 42,
    // clock 76, safe 92, selection 101.
    let quote = ATTESTS[0];
    let refused = |at, with: &[u8]| Attest::parse(&patched(quote, at, with)).unwrap_err();
    assert_eq!(unsupported(refused(0, &[0xfe])), "magic");
    for other in [0x15, 0x19, 0x1a, 0x1c] {
        assert_eq!(unsupported(refused(5, &[other])), "type");
    }
    assert_eq!(unsupported(refused(8, &[0x00, 0x12])), "nameAlg");
    assert!(matches!(
        refused(8, &[0x00, 0x0c]),
        MalformedStructure::Inconsistent { .. }
    ));
    assert!(matches!(
        refused(42, &[0x00, 0x43]),
        MalformedStructure::TooLong {
            field: "extraData",
            length: 67,
            ..
        }
    ));
    assert_eq!(unsupported(refused(92, &[2])), "safe");
    assert!(matches!(
        refused(101, &[0xff; 4]),
        MalformedStructure::TooLong { field: "count", .. }
    ));
}

#[test]
fn fields_of_a_session_audit_are_checked() {
    // Offsets as above: exclusiveSession 101, length of the digest 102.
    let audit = ATTESTS[3];
    for other in [2, 0xff] {
        let error = Attest::parse(&patched(audit, 101, &[other])).unwrap_err();
        assert_eq!(unsupported(error), "exclusiveSession");
    }
    assert!(matches!(
        Attest::parse(&patched(audit, 102, &[0, 65])),
        Err(MalformedStructure::TooLong {
            field: "sessionDigest",
            ..
        })
    ));
    assert!(matches!(
        Attest::parse(&patched(audit, 102, &[0, 31])),
        Err(MalformedStructure::Trailing { excess: 1, .. })
    ));
}

#[test]
fn banks_are_told_once_each_and_with_pcrs_that_there_are() {
    for (list, wrong) in [
        (
            &b"\0\0\0\x02\0\x0b\x03\x01\0\0\0\x0b\x03\0\0\0"[..],
            "a bank twice",
        ),
        (
            b"\0\0\0\x02\0\x12\x03\x01\0\0\0\x12\x03\x01\0\0",
            "an unknown one twice",
        ),
        (b"\0\0\0\x01\0\x0b\x04\x01\0\0\x01", "PCR 24"),
        (b"\0\0\0\x01\0\x0b\x05\x01\0\0\0\0", "five bytes"),
        (b"\0\0\0\x01\0\x0b\0", "no bytes"),
        (b"\0\0\0\x11", "too many"),
        (b"\0\0\0\x01\0\x0b\x03\x01\0", "cut"),
        (b"\0\0\0\x01\0\x0b\x03\x01\0\0\0", "a byte behind it"),
        (b"", "nothing"),
    ] {
        assert!(ActiveBanks::parse(list).is_err(), "{wrong}");
    }
}

#[test]
fn fields_of_a_signature_are_checked() {
    let ecdsa = SIGNATURES[0];
    let refused = |at, with: &[u8]| Signature::parse(&patched(ecdsa, at, with)).unwrap_err();
    assert_eq!(unsupported(refused(0, &[0x00, 0x1a])), "sigAlg");
    assert_eq!(unsupported(refused(2, &[0x00, 0x27])), "hash");
    assert!(matches!(
        refused(4, &[0xff, 0xff]),
        MalformedStructure::TooLong { .. }
    ));
}

#[test]
fn sha1_carries_no_signature() {
    let key = publics()[0].key().unwrap();
    let signature = Signature::parse(&patched(SIGNATURES[0], 2, &[0x00, 0x04])).unwrap();
    assert_eq!(
        key.verify(ATTESTS[0], &signature),
        Err(SignatureRefused::Unsupported)
    );
}

#[test]
fn selections_are_checked() {
    let bank = |alg: u16, bitmap: &[u8]| {
        let mut bytes = alg.to_be_bytes().to_vec();
        bytes.push(bitmap.len() as u8);
        bytes.extend_from_slice(bitmap);
        bytes
    };
    let list = |banks: &[Vec<u8>]| {
        let count = (banks.len() as u32).to_be_bytes().to_vec();
        PcrSelection::parse(&[count, banks.concat()].concat())
    };
    // The size of the bitmap and banks without PCRs do not count.
    let short = list(&[bank(0x000b, &[0x81])]).unwrap();
    let long = list(&[
        bank(0x000b, &[0x81, 0, 0, 0]),
        bank(0x0012, &[0; 3]),
        bank(0x0004, &[0; 3]),
    ]);
    assert_eq!(long, Ok(short.clone()));
    assert_eq!(
        short
            .iter()
            .map(|(_, index)| index.get())
            .collect::<Vec<_>>(),
        [0, 7]
    );
    // The order of the banks does: it is the order of hashing.
    let (a, b) = (bank(0x000b, &[1]), bank(0x000c, &[1]));
    assert_ne!(list(&[a.clone(), b.clone()]), list(&[b, a.clone()]));

    assert!(matches!(
        list(&[a.clone(), a]),
        Err(MalformedStructure::Inconsistent { .. })
    ));
    for (banks, field) in [
        ([bank(0x0012, &[1])], "hash"),
        ([bank(0x000b, &[0, 0, 0, 1])], "pcrSelect"),
        ([bank(0x000b, &[])], "sizeofSelect"),
        ([bank(0x000b, &[0; 5])], "sizeofSelect"),
    ] {
        assert_eq!(unsupported(list(&banks).unwrap_err()), field);
    }
}

#[test]
fn names_have_a_known_hash_or_are_handles() {
    assert_eq!(Name::parse(&[0x40, 0, 0, 0x0b]), Ok(Name::endorsement()));
    assert!(Name::parse(&[]).is_err());
    assert!(Name::parse(&[0x00, 0x0b]).is_err());
    assert!(Name::parse(&[[0x00, 0x0b].as_slice(), &[1; 31]].concat()).is_err());
    assert!(Name::parse(&[[0x00, 0x0b].as_slice(), &[1; 32]].concat()).is_ok());
    assert!(Name::parse(&[[0x00, 0x0b].as_slice(), &[1; 33]].concat()).is_err());
    assert!(Name::parse(&[[0x00, 0x13].as_slice(), &[1; 32]].concat()).is_err());
}

#[test]
fn fields_of_an_nv_public_area_are_checked() {
    let good = [0x01, 0x80, 0, 1, 0, 0x0b, 0x22, 0x04, 0, 0x14, 0, 0, 0, 8];
    assert!(NvPublic::parse(&good).is_ok());
    for (at, with, field) in [
        (0, 0x81, "nvIndex"),
        (9, 0x34, "attributes"),
        (8, 0x01, "attributes"),
    ] {
        let error = NvPublic::parse(&patched(&good, at, &[with])).unwrap_err();
        assert_eq!(unsupported(error), field);
    }
}

proptest! {
    #[test]
    fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_all(&bytes);
    }

    #[test]
    fn parsers_never_panic_near_real_structures(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..8)) {
        let mut structures: Vec<Vec<u8>> = publics().iter().map(|public| public.as_bytes().to_vec()).collect();
        structures.extend(ATTESTS.iter().chain(&SIGNATURES).map(|bytes| bytes.to_vec()));
        let mut bytes = which.get(&structures).clone();
        let at = at.index(bytes.len());
        for (to, from) in bytes.iter_mut().skip(at).zip(with) {
            *to = from;
        }
        parse_all(&bytes);
    }
}

fn parse_all(bytes: &[u8]) {
    if let Ok(public) = Public::parse(bytes) {
        // What is accepted can be said again, though maybe with leading zeros in a coordinate.
        let again = Public::from_parts(public.parts()).unwrap();
        assert_eq!(again.parts(), public.parts());
    }
    let _ = Public::parse_sized(bytes);
    let _ = Attest::parse(bytes);
    if let Ok(signature) = Signature::parse(bytes) {
        assert_eq!(signature.encode(), bytes);
    }
    if let Ok(public) = NvPublic::parse(bytes) {
        assert_eq!(public.encode(), bytes);
    }
    let _ = PcrSelection::parse(bytes);
    let _ = TimeInfo::parse(bytes);
    let _ = Name::parse(bytes);
    let _ = PublicKey::from_spki_der(bytes);
}
