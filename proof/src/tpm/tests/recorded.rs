//! What swtpm and tpm2-tools produced (see testdata/README.md), read by our parsers.

use super::super::*;
use crate::policy::{CommandCode, cp_hash};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../testdata/tpm/", $name)).as_slice()
    };
}

pub(super) fn public(bytes: &[u8]) -> Public {
    Public::parse_sized(bytes).unwrap()
}

pub(super) fn publics() -> Vec<Public> {
    [
        vector!("ak_ecc.pub.tpm2b"),
        vector!("ak_pss.pub.tpm2b"),
        vector!("ak_rsa.pub.tpm2b"),
        vector!("ek_ecc.pub.tpm2b"),
        vector!("ek_rsa.pub.tpm2b"),
        vector!("node.pub.tpm2b"),
        vector!("sealed.pub.tpm2b"),
    ]
    .map(public)
    .to_vec()
}

pub(super) const ATTESTS: [&[u8]; 4] = [
    vector!("quote_ecc.attest"),
    vector!("certify.attest"),
    vector!("cp1.attest"),
    vector!("audit_banks.attest"),
];

pub(super) const SIGNATURES: [&[u8]; 3] = [
    vector!("quote_ecc.sig"),
    vector!("quote_rsa.sig"),
    vector!("quote_pss.sig"),
];

/// The values that were in the quoted PCRs.
fn pcr_values() -> PcrValues {
    let mut values = PcrValues::new();
    for (index, alg, hex) in [
        (
            0,
            HashAlg::Sha256,
            "9EF814B42FA0BE12D197C44D3E8E03441A4B1118237658368BA1351090E556ED",
        ),
        (
            1,
            HashAlg::Sha256,
            "0000000000000000000000000000000000000000000000000000000000000000",
        ),
        (
            7,
            HashAlg::Sha256,
            "45182F9FDEB95D19B20C19DD45DED638977E1B7A168B78AF435457F12A6ACBB6",
        ),
        (
            4,
            HashAlg::Sha384,
            "98EF9C7CBD65B88996AD4AA0ECD2A3F1B82C944A466F7C6300B2A0B53C6F72BE91B0D636898FDF0310494384E73AE4E3",
        ),
    ] {
        let value = data_encoding::HEXUPPER.decode(hex.as_bytes()).unwrap();
        let index = PcrIndex::new(index).unwrap();
        assert!(values.insert(index, Digest::new(alg, &value).unwrap()));
    }
    values
}

#[test]
fn names_are_those_of_the_tpm() {
    for (bytes, name) in [
        (vector!("ak_ecc.pub.tpm2b"), vector!("ak_ecc.name")),
        (vector!("ak_rsa.pub.tpm2b"), vector!("ak_rsa.name")),
        (vector!("ak_pss.pub.tpm2b"), vector!("ak_pss.name")),
        (vector!("node.pub.tpm2b"), vector!("node.name")),
    ] {
        assert_eq!(public(bytes).name(), Name::parse(name).unwrap());
    }
}

#[test]
fn the_standard_ek_has_the_standard_policy_and_attributes() {
    for bytes in [vector!("ek_rsa.pub.tpm2b"), vector!("ek_ecc.pub.tpm2b")] {
        let ek = public(bytes);
        let policy = ek.auth_policy().unwrap().as_bytes().to_vec();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&policy),
            "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
        );
        assert!(ek.attributes().is_bound_storage_key());
        assert!(!ek.attributes().is_attestation_key());
    }
}

#[test]
fn kinds_of_keys_are_told_apart_by_their_attributes() {
    let attributes = |bytes| public(bytes).attributes();
    let ak = attributes(vector!("ak_ecc.pub.tpm2b"));
    assert!(ak.is_attestation_key() && !ak.is_bound_signing_key());
    let node = attributes(vector!("node.pub.tpm2b"));
    assert!(node.is_bound_signing_key() && !node.is_attestation_key());
    let sealed = attributes(vector!("sealed.pub.tpm2b"));
    assert!(!sealed.is_bound_signing_key() && !sealed.is_bound_storage_key());
    // Without any one of these, a key is no attestation key.
    for lost in [
        ObjectAttributes::FIXED_TPM,
        ObjectAttributes::FIXED_PARENT,
        ObjectAttributes::SENSITIVE_DATA_ORIGIN,
        ObjectAttributes::RESTRICTED,
        ObjectAttributes::SIGN,
    ] {
        let weaker = ObjectAttributes::from_bits(ak.bits() & !lost.bits()).unwrap();
        assert!(!weaker.is_attestation_key(), "{lost:?}");
    }
    assert!(!ak.with(ObjectAttributes::DECRYPT).is_attestation_key());
}

#[test]
fn quotes_verify_and_their_pcr_digest_recomputes() {
    for (key, attest, signature) in [
        (
            vector!("ak_ecc.pub.tpm2b"),
            vector!("quote_ecc.attest"),
            vector!("quote_ecc.sig"),
        ),
        (
            vector!("ak_rsa.pub.tpm2b"),
            vector!("quote_rsa.attest"),
            vector!("quote_rsa.sig"),
        ),
        (
            vector!("ak_pss.pub.tpm2b"),
            vector!("quote_pss.attest"),
            vector!("quote_pss.sig"),
        ),
    ] {
        let key = public(key).key().unwrap();
        let quote = Attest::parse(attest).unwrap();
        let signature = Signature::parse(signature).unwrap();
        assert_eq!(key.verify(quote.as_bytes(), &signature), Ok(()));
        assert_eq!(
            key.verify(b"other", &signature),
            Err(SignatureRefused::Wrong)
        );

        assert_eq!(quote.extra_data(), [0xaa; 32]);
        assert_eq!(
            (quote.clock().reset_count, quote.clock().safe),
            (1, Safe::Yes)
        );
        assert_eq!(quote.firmware_version(), 0x2019_1023_0016_3636);
        let Attested::Quote(quoted) = quote.attested() else {
            panic!("not a quote");
        };
        let index = |index| PcrIndex::new(index).unwrap();
        let expected = PcrSelection::of(HashAlg::Sha256, [0, 1, 7].map(index))
            .with(HashAlg::Sha384, [index(4)]);
        assert_eq!(quoted.selection, expected);
        let digest = pcr_digest(HashAlg::Sha256, &quoted.selection, &pcr_values()).unwrap();
        assert_eq!(digest.as_bytes(), quoted.pcr_digest.as_bytes());
    }
}

#[test]
fn pcr_values_must_match_the_selection_in_both_directions() {
    let index = |index| PcrIndex::new(index).unwrap();
    let selection = PcrSelection::of(HashAlg::Sha256, [0, 1, 7].map(index));
    let (alg, extra) = (HashAlg::Sha384, index(4));
    assert_eq!(
        pcr_digest(HashAlg::Sha256, &selection, &pcr_values()),
        Err(PcrMismatch::Unselected { alg, index: extra })
    );
    let more = selection
        .with(HashAlg::Sha384, [extra])
        .with(HashAlg::Sha256, [index(2)]);
    assert_eq!(
        pcr_digest(HashAlg::Sha256, &more, &pcr_values()),
        Err(PcrMismatch::Missing {
            alg: HashAlg::Sha256,
            index: index(2)
        })
    );
    let mut values = pcr_values();
    let again = HashAlg::Sha384.digest(b"another value");
    assert!(!values.insert(extra, again));
    assert_eq!(values, pcr_values());
}

#[test]
fn a_certified_key_is_named_in_its_attestation() {
    let ak = public(vector!("ak_ecc.pub.tpm2b")).key().unwrap();
    let attest = Attest::parse(vector!("certify.attest")).unwrap();
    let signature = Signature::parse(vector!("certify.sig")).unwrap();
    assert_eq!(ak.verify(attest.as_bytes(), &signature), Ok(()));
    let Attested::Certify(certified) = attest.attested() else {
        panic!("not a certification");
    };
    assert_eq!(certified.name, public(vector!("node.pub.tpm2b")).name());
    assert_ne!(certified.name, certified.qualified_name);
}

#[test]
fn a_key_refuses_the_signature_of_another() {
    let attest = vector!("quote_ecc.attest");
    let signature = Signature::parse(vector!("quote_ecc.sig")).unwrap();
    let other = public(vector!("node.pub.tpm2b")).key().unwrap();
    assert_eq!(
        other.verify(attest, &signature),
        Err(SignatureRefused::Wrong)
    );
    let rsa = public(vector!("ak_rsa.pub.tpm2b")).key().unwrap();
    assert_eq!(
        rsa.verify(attest, &signature),
        Err(SignatureRefused::Unsupported)
    );
    // A PSS key's signature under the same modulus, called PKCS #1.
    let pss = public(vector!("ak_pss.pub.tpm2b")).key().unwrap();
    let mut relabeled = vector!("quote_pss.sig").to_vec();
    relabeled[1] = 0x14;
    let relabeled = Signature::parse(&relabeled).unwrap();
    let message = vector!("quote_pss.attest");
    assert_eq!(
        pss.verify(message, &relabeled),
        Err(SignatureRefused::Wrong)
    );
}

#[test]
fn nv_names_are_those_of_the_tpm() {
    let counter = NvPublic {
        index: NvIndex::new(0x0180_0001).unwrap(),
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::from_bits(0x2204_0014).unwrap(),
        auth_policy: None,
        data_size: 8,
    };
    assert_eq!(counter.attributes.kind(), NvIndexType::Counter);
    assert_eq!(
        counter.name().to_string(),
        "000bd7f1ed6623f9b47ffedb86e698b13ac92810673c90dacb289f30f152bb25ebc1"
    );
    let attest = Attest::parse(vector!("cp2.attest")).unwrap();
    let Attested::NvCertify(certified) = attest.attested() else {
        panic!("not an nv certification");
    };
    assert_eq!(certified.index_name, counter.name());
    assert_eq!(certified.counter_value(), Some(2));
    // The cpHash that tpm2_nvincrement reported, over the name of the index as both handles.
    let name = counter.name();
    assert_eq!(
        cp_hash(CommandCode::NV_INCREMENT, &[&name, &name], &[]).as_bytes(),
        &vector!("cphash.bin")[2..]
    );
}

#[test]
fn keys_round_trip_through_their_subject_public_key_info() {
    for key in publics().iter().filter_map(Public::key) {
        let spki = key.to_spki_der();
        assert_eq!(PublicKey::from_spki_der(&spki), Some(key));
        assert_eq!(PublicKey::from_spki_der(&spki[1..]), None);
    }
}

#[test]
fn stored_structures_come_back_through_their_parsers() {
    for public in publics() {
        let json = serde_json::to_string(&public).unwrap();
        assert_eq!(serde_json::from_str::<Public>(&json).unwrap(), public);
    }
    assert!(serde_json::from_str::<Public>("\"00\"").is_err());
    assert!(serde_json::from_str::<PcrIndex>("24").is_err());
}
