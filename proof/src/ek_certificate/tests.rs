#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "tests"
)]

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};

mod lists;

use super::*;
use crate::tpm::{KeyKind, PublicKey};

/// An EK with its certificate as they came out of a simulated TPM, and its CA (see testdata/README.md).
const RSA: (&[u8], &[u8]) = (
    include_bytes!("../../testdata/ek/rsa2048.pub.tpm2b"),
    include_bytes!("../../testdata/ek/rsa2048.crt"),
);
const P384: (&[u8], &[u8]) = (
    include_bytes!("../../testdata/ek/p384.pub.tpm2b"),
    include_bytes!("../../testdata/ek/p384.crt"),
);
const ISSUER: &[u8] = include_bytes!("../../testdata/ek/issuer.crt");
const ROOT: &[u8] = include_bytes!("../../testdata/ek/root.crt");
/// The EK that the tests with certificates of their own are about.
const EK: &[u8] = include_bytes!("../../testdata/tpm/ek_ecc.pub.tpm2b");
const AK: &[u8] = include_bytes!("../../testdata/tpm/ak_ecc.pub.tpm2b");

/// 2027-01-15.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn certificate(bytes: &[u8]) -> Certificate {
    Certificate::parse(bytes).unwrap()
}

fn public(bytes: &[u8]) -> Public {
    Public::parse_sized(bytes).unwrap()
}

fn verify_real(ek: &[u8], leaf: &[u8], now: Timestamp) -> Result<VouchedEk, EkCertificateError> {
    verify(
        &certificate(leaf),
        &public(ek),
        &[certificate(ISSUER)],
        &[certificate(ROOT)],
        &Revocation::Off,
        now,
    )
}

#[test]
fn certificates_of_a_simulated_tpm_lead_to_their_root() {
    for (ek, leaf) in [RSA, P384] {
        let vouched = verify_real(ek, leaf, NOW).unwrap();
        assert_eq!(vouched.root, certificate(ROOT).fingerprint());
        assert_eq!(vouched.intermediates, 1);
    }
}

#[test]
fn what_stands_before_and_after_a_certificate_in_nv_is_tolerated() {
    let trailing = [RSA.1, &[0xff; 300]].concat();
    let length = u16::try_from(RSA.1.len()).unwrap().to_be_bytes();
    let header = [&[0x10, 0x01, 0x00], length.as_slice(), &trailing].concat();
    for bytes in [trailing, header] {
        assert_eq!(certificate(&bytes), certificate(RSA.1));
    }
}

#[test]
fn a_certificate_of_another_key_or_no_ek_is_refused() {
    assert_eq!(
        verify_real(P384.0, RSA.1, NOW),
        Err(EkCertificateError::OtherKey)
    );
    assert_eq!(
        verify_real(AK, RSA.1, NOW),
        Err(EkCertificateError::NotAnEk)
    );
}

#[test]
fn without_intermediate_or_root_there_is_no_path() {
    let (leaf, ek) = (certificate(RSA.1), public(RSA.0));
    let (issuer, root) = (certificate(ISSUER), certificate(ROOT));
    let none = Err(EkCertificateError::NoPath);
    assert_eq!(
        verify(
            &leaf,
            &ek,
            &[],
            std::slice::from_ref(&root),
            &Revocation::Off,
            NOW
        ),
        none
    );
    assert_eq!(
        verify(&leaf, &ek, &[issuer, root], &[], &Revocation::Off, NOW),
        none
    );
}

#[test]
fn dates_before_the_validity_are_refused() {
    let early = Timestamp::from_secs(1_600_000_000);
    assert_eq!(
        verify_real(RSA.0, RSA.1, early),
        Err(EkCertificateError::Validity)
    );
}

#[test]
fn sha1_signatures_are_refused_by_name() {
    // sha256WithRSAEncryption turned into sha1WithRSAEncryption, inside and outside of what is signed.
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let mut bytes = RSA.1.to_vec();
    for at in 0..bytes.len() - sha256.len() {
        if bytes[at..].starts_with(&sha256) {
            bytes[at + 8] = 0x05;
        }
    }
    let sha1 = der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
    assert_eq!(
        verify_real(RSA.0, &bytes, NOW),
        Err(EkCertificateError::Algorithm(sha1))
    );
}

#[test]
fn every_changed_byte_of_a_certificate_is_refused() {
    for at in 0..RSA.1.len() {
        let mut bytes = RSA.1.to_vec();
        bytes[at] ^= 0x01;
        if let Ok(changed) = Certificate::parse(&bytes) {
            let roots = [certificate(ROOT)];
            let issuers = [certificate(ISSUER)];
            let verdict = verify(
                &changed,
                &public(RSA.0),
                &issuers,
                &roots,
                &Revocation::Off,
                NOW,
            );
            assert!(verdict.is_err(), "byte {at}");
        }
    }
}

/// The key of `EK`, to be certified without its private part.
struct EkKey(Vec<u8>);

impl PublicKeyData for EkKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca_params(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn root(constraints: BasicConstraints) -> Ca {
    let key = KeyPair::generate().unwrap();
    CertifiedIssuer::self_signed(ca_params("root", constraints), key).unwrap()
}

fn below(params: CertificateParams, issuer: &Ca) -> Ca {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ek");
    params
}

fn leaf(params: &CertificateParams, issuer: &Ca) -> Certificate {
    let KeyKind::Ecc { key, .. } = public(EK).kind().clone() else {
        unreachable!()
    };
    let der = params
        .signed_by(&EkKey(key.to_sec1().to_vec()), issuer)
        .unwrap();
    certificate(der.der())
}

fn verify_own(
    leaf: &Certificate,
    intermediates: &[&Ca],
    root: &Ca,
) -> Result<VouchedEk, EkCertificateError> {
    let parse = |ca: &&Ca| certificate(ca.as_ref().der());
    let intermediates: Vec<_> = intermediates.iter().map(parse).collect();
    verify(
        leaf,
        &public(EK),
        &intermediates,
        &[parse(&root)],
        &Revocation::Off,
        NOW,
    )
}

#[test]
fn paths_over_several_intermediates_are_found_among_others() {
    let root = root(BasicConstraints::Unconstrained);
    let upper = below(ca_params("upper", BasicConstraints::Unconstrained), &root);
    let lower = below(ca_params("lower", BasicConstraints::Unconstrained), &upper);
    // Another CA that has the name of the right one.
    let double = below(ca_params("lower", BasicConstraints::Unconstrained), &root);
    let leaf = leaf(&leaf_params(), &lower);
    let vouched = verify_own(&leaf, &[&double, &lower, &upper], &root).unwrap();
    assert_eq!(vouched.intermediates, 2);
    assert_eq!(
        verify_own(&leaf, &[&double, &upper], &root),
        Err(EkCertificateError::Signature)
    );
}

#[test]
fn issuers_that_are_not_entitled_are_refused() {
    let top = root(BasicConstraints::Unconstrained);
    let not_entitled = Err(EkCertificateError::NotEntitled);

    let mut no_ca = ca_params("no ca", BasicConstraints::Unconstrained);
    no_ca.is_ca = IsCa::ExplicitNoCa;
    let no_ca = below(no_ca, &top);
    assert_eq!(
        verify_own(&leaf(&leaf_params(), &no_ca), &[&no_ca], &top),
        not_entitled
    );

    let mut no_usage = ca_params("no usage", BasicConstraints::Unconstrained);
    no_usage.key_usages = vec![KeyUsagePurpose::CrlSign];
    let no_usage = below(no_usage, &top);
    assert_eq!(
        verify_own(&leaf(&leaf_params(), &no_usage), &[&no_usage], &top),
        not_entitled
    );

    let short = root(BasicConstraints::Constrained(0));
    let extra = below(ca_params("extra", BasicConstraints::Unconstrained), &short);
    assert_eq!(
        verify_own(&leaf(&leaf_params(), &extra), &[&extra], &short),
        not_entitled
    );
    assert!(verify_own(&leaf(&leaf_params(), &short), &[], &short).is_ok());
}

#[test]
fn expired_issuers_are_refused() {
    let root = root(BasicConstraints::Unconstrained);
    let mut params = ca_params("expired", BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(2026, 1, 1);
    let expired = below(params, &root);
    assert_eq!(
        verify_own(&leaf(&leaf_params(), &expired), &[&expired], &root),
        Err(EkCertificateError::Validity)
    );
}

#[test]
fn leaves_that_are_no_ek_certificates_are_refused() {
    let root = root(BasicConstraints::Unconstrained);
    let mut ca = leaf_params();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut other_usage = leaf_params();
    other_usage.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    for params in [ca, other_usage] {
        assert_eq!(
            verify_own(&leaf(&params, &root), &[], &root),
            Err(EkCertificateError::NotAnEkCertificate)
        );
    }
    let mut critical = leaf_params();
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0x05, 0x00]);
    critical.custom_extensions = vec![extension.clone()];
    assert!(verify_own(&leaf(&critical, &root), &[], &root).is_ok());
    extension.set_criticality(true);
    critical.custom_extensions = vec![extension];
    let unknown = der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4");
    assert_eq!(
        verify_own(&leaf(&critical, &root), &[], &root),
        Err(EkCertificateError::CriticalExtension(unknown))
    );
}

#[test]
fn paths_above_the_limit_are_not_walked() {
    let root = root(BasicConstraints::Unconstrained);
    let mut chain: Vec<Ca> = Vec::new();
    for number in 0..=MAX_PATH {
        let params = ca_params(&format!("ca {number}"), BasicConstraints::Unconstrained);
        let next = below(params, chain.last().unwrap_or(&root));
        chain.push(next);
    }
    let issuers: Vec<&Ca> = chain.iter().collect();
    let too_deep = leaf(&leaf_params(), chain.last().unwrap());
    assert_eq!(
        verify_own(&too_deep, &issuers, &root),
        Err(EkCertificateError::NoPath)
    );
    let deepest = leaf(&leaf_params(), &chain[MAX_PATH - 1]);
    assert_eq!(
        verify_own(&deepest, &issuers, &root).unwrap().intermediates,
        MAX_PATH
    );
}

#[test]
fn the_certified_key_is_read() {
    assert_eq!(certificate(RSA.1).key(), public(RSA.0).key());
    assert!(matches!(certificate(P384.1).key(), Some(PublicKey::Ecc(_))));
}

#[test]
fn certificates_are_described_for_people() {
    let (root, issuer, leaf) = (certificate(ROOT), certificate(ISSUER), certificate(P384.1));
    assert_eq!(root.subject_words(), "CN=swtpm-localca-rootca");
    assert_eq!(issuer.subject_words(), "CN=swtpm-localca");
    assert_eq!(issuer.issuer_words(), root.subject_words());
    assert!(root.is_self_issued() && !issuer.is_self_issued());
    assert_eq!(root.key_words(), KeyWords::Rsa(3072));
    assert_eq!(leaf.key_words(), KeyWords::Ecc("P-384"));
    // 9999-12-31T23:59:59Z: no end that is known (RFC 5280 §4.1.2.5).
    assert_eq!(root.not_after().as_secs(), 253_402_300_799);
    assert_eq!(root.check_authority(NOW), Ok(()));
    assert_eq!(
        certificate(RSA.1).check_authority(NOW),
        Err(EkCertificateError::NotEntitled)
    );
    let ended = root.not_after() + std::time::Duration::from_secs(1);
    assert_eq!(
        root.check_authority(ended),
        Err(EkCertificateError::Validity)
    );
}

#[test]
fn a_name_cannot_move_what_is_around_it() {
    let mut params = leaf_params();
    let hostile = "a\u{1b}[2J\u{202e}b\nc".repeat(40);
    params.distinguished_name.push(DnType::CommonName, hostile);
    let words = leaf(&params, &root(BasicConstraints::Unconstrained)).subject_words();
    assert!(words.chars().count() <= 256);
    let bad = |c: char| c.is_control() || c == '\u{202e}';
    assert!(
        words.starts_with("CN=a") && !words.contains(bad),
        "{words:?}"
    );
}

proptest! {
    #[test]
    fn the_parser_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let _ = Certificate::parse(&bytes);
        let mut changed = P384.1.to_vec();
        let at = at.index(changed.len());
        for (to, from) in changed.iter_mut().skip(at).zip(&bytes) {
            *to = *from;
        }
        if let Ok(changed) = Certificate::parse(&changed) {
            let _ = (changed.subject_words(), changed.issuer_words(), changed.key_words());
        }
        let _ = Certificate::parse(&changed[..cut.index(changed.len())]);
    }
}
