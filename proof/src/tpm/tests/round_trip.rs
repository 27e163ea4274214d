//! What we encode, we read back as the same.

use proptest::prelude::*;

use super::super::*;
use super::recorded::{ATTESTS, SIGNATURES, publics};

fn hash() -> impl Strategy<Value = HashAlg> {
    prop_oneof![
        Just(HashAlg::Sha1),
        Just(HashAlg::Sha256),
        Just(HashAlg::Sha384),
        Just(HashAlg::Sha512),
    ]
}

fn digest(alg: HashAlg) -> impl Strategy<Value = Digest> {
    prop::collection::vec(any::<u8>(), alg.digest_len())
        .prop_map(move |bytes| Digest::new(alg, &bytes).unwrap())
}

fn storage() -> impl Strategy<Value = StorageCipher> {
    prop_oneof![
        Just(StorageCipher::None),
        Just(StorageCipher::Aes128Cfb),
        Just(StorageCipher::Aes256Cfb),
    ]
}

fn rsa() -> impl Strategy<Value = KeyKind> {
    let scheme = prop_oneof![
        Just(AsymmetricScheme::Any),
        Just(AsymmetricScheme::RsaEs),
        hash().prop_map(AsymmetricScheme::RsaSsa),
        hash().prop_map(AsymmetricScheme::RsaPss),
        hash().prop_map(AsymmetricScheme::Oaep),
    ];
    let modulus = prop_oneof![Just(256_usize), Just(384)]
        .prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    (storage(), scheme, modulus, any::<u32>()).prop_map(
        |(storage, scheme, mut modulus, exponent)| {
            modulus[0] |= 0x80;
            let key = RsaPublicKey::new(&modulus, (exponent | 1).max(3)).unwrap();
            KeyKind::Rsa {
                storage,
                scheme,
                key,
            }
        },
    )
}

fn ecc() -> impl Strategy<Value = KeyKind> {
    let scheme = prop_oneof![
        Just(AsymmetricScheme::Any),
        hash().prop_map(AsymmetricScheme::Ecdsa),
        hash().prop_map(AsymmetricScheme::Ecdh),
    ];
    let kdf = prop_oneof![
        Just(KdfScheme::None),
        hash().prop_map(KdfScheme::Mgf1),
        hash().prop_map(KdfScheme::Sp800_56a),
        hash().prop_map(KdfScheme::Kdf2),
        hash().prop_map(KdfScheme::Sp800_108),
    ];
    let curve = prop_oneof![Just(EccCurve::P256), Just(EccCurve::P384)];
    (storage(), scheme, kdf, curve, any::<[u8; 96]>()).prop_map(
        |(storage, scheme, kdf, curve, bytes)| {
            let length = curve.coordinate_len();
            let key = EccPublicKey::new(curve, &bytes[..length], &bytes[48..48 + length]).unwrap();
            KeyKind::Ecc {
                storage,
                scheme,
                kdf,
                key,
            }
        },
    )
}

fn parts() -> impl Strategy<Value = PublicParts> {
    hash().prop_flat_map(|name_alg| {
        let keyed_hash = (prop::option::of(hash()), digest(name_alg)).prop_map(|(hmac, unique)| {
            let scheme = hmac.map_or(KeyedHashScheme::None, KeyedHashScheme::Hmac);
            KeyKind::KeyedHash { scheme, unique }
        });
        let attributes =
            any::<u32>().prop_map(|bits| ObjectAttributes::from_bits(bits & 0x000f_0cf6).unwrap());
        (
            Just(name_alg),
            attributes,
            prop::option::of(digest(name_alg)),
            prop_oneof![rsa(), ecc(), keyed_hash],
        )
            .prop_map(|(name_alg, attributes, auth_policy, kind)| PublicParts {
                name_alg,
                attributes,
                auth_policy,
                kind,
            })
    })
}

fn selection() -> impl Strategy<Value = PcrSelection> {
    let indices =
        prop::collection::btree_set((0_u8..24).prop_map(|i| PcrIndex::new(i).unwrap()), 0..24);
    prop::collection::vec((hash(), indices), 0..5).prop_map(|banks| {
        banks
            .into_iter()
            .fold(PcrSelection::none(), |selection, (alg, indices)| {
                selection.with(alg, indices)
            })
    })
}

#[test]
fn recorded_structures_encode_to_their_bytes() {
    for public in publics() {
        assert_eq!(Public::from_parts(public.parts()).unwrap(), public);
        assert_eq!(Public::parse_sized(&public.to_sized()).unwrap(), public);
    }
    for bytes in SIGNATURES {
        assert_eq!(Signature::parse(bytes).unwrap().encode(), bytes);
    }
    for bytes in ATTESTS {
        assert_eq!(Attest::parse(bytes).unwrap().as_bytes(), bytes);
    }
}

#[test]
fn ecdsa_integers_become_minimal_der() {
    let der = |r: &[u8], s: &[u8]| EcdsaSignature::new(HashAlg::Sha256, r, s).unwrap().to_der();
    assert_eq!(der(&[0x01], &[0x7f]), [0x30, 6, 2, 1, 0x01, 2, 1, 0x7f]);
    assert_eq!(
        der(&[0, 0, 0x80], &[0, 5]),
        [0x30, 7, 2, 2, 0, 0x80, 2, 1, 5]
    );
    assert_eq!(der(&[], &[0, 0]), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    assert_eq!(EcdsaSignature::new(HashAlg::Sha256, &[1; 49], &[1]), None);
}

proptest! {
    #[test]
    fn public_areas_round_trip(parts in parts()) {
        let public = Public::from_parts(&parts).unwrap();
        prop_assert_eq!(public.parts(), &parts);
        prop_assert_eq!(&Public::parse(public.as_bytes()).unwrap(), &public);
        if let Some(key) = public.key() {
            prop_assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()), Some(key));
        }
    }

    #[test]
    fn selections_round_trip(selection in selection()) {
        prop_assert_eq!(PcrSelection::parse(&selection.encode()).unwrap(), selection);
    }

    #[test]
    fn nv_publics_round_trip(handle in 0_u32..0x0100_0000, bits in any::<u32>(), size in any::<u16>(), policy in prop::option::of(digest(HashAlg::Sha256))) {
        let Some(attributes) = NvAttributes::from_bits(bits & 0xfe0f_fcff) else { return Ok(()) };
        let public = NvPublic { index: NvIndex::new(0x0100_0000 | handle).unwrap(), name_alg: HashAlg::Sha256, attributes, auth_policy: policy, data_size: size };
        prop_assert_eq!(NvPublic::parse(&public.encode()), Ok(public));
    }

    #[test]
    fn times_round_trip(time_ms in any::<u64>(), clock_ms in any::<u64>(), reset_count in any::<u32>(), restart_count in any::<u32>(), safe in any::<bool>()) {
        let safe = if safe { Safe::Yes } else { Safe::No };
        let info = TimeInfo { time_ms, clock: ClockInfo { clock_ms, reset_count, restart_count, safe } };
        let bytes = info.encode();
        prop_assert_eq!(TimeInfo::parse(&bytes), Ok(info));
        // The offsets of PolicyCounterTimer are where these fields lie.
        let at = |field: TimeField| usize::from(field.offset());
        prop_assert_eq!(&bytes[at(TimeField::Time)..at(TimeField::Clock)], time_ms.to_be_bytes());
        prop_assert_eq!(&bytes[at(TimeField::Clock)..at(TimeField::ResetCount)], clock_ms.to_be_bytes());
        prop_assert_eq!(&bytes[at(TimeField::ResetCount)..at(TimeField::RestartCount)], reset_count.to_be_bytes());
        prop_assert_eq!(&bytes[at(TimeField::RestartCount)..at(TimeField::Safe)], restart_count.to_be_bytes());
        prop_assert_eq!(bytes.len(), at(TimeField::Safe) + 1);
    }

    #[test]
    fn ecdsa_der_is_what_the_library_reads(r in prop::collection::vec(any::<u8>(), 0..=48), s in prop::collection::vec(any::<u8>(), 0..=48)) {
        use der::{Decode, asn1::UintRef};
        #[derive(der::Sequence)]
        struct Value<'a> { r: UintRef<'a>, s: UintRef<'a> }
        let der = EcdsaSignature::new(HashAlg::Sha384, &r, &s).unwrap().to_der();
        let value = Value::from_der(&der).unwrap();
        let minimal = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        prop_assert_eq!(minimal(value.r.as_bytes()), minimal(&r));
        prop_assert_eq!(minimal(value.s.as_bytes()), minimal(&s));
    }
}
