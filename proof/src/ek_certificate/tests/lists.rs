//! Revocation lists: what a list of the issuer names is refused, and only a current one of it makes a certificate good.

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateRevocationListParams, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, date_time_ymd,
};

use super::{Ca, EK, NOW, P384, below, ca_params, certificate, leaf, leaf_params, public};
use crate::ek_certificate::{EkCertificateError, Revocation, RevocationList, VouchedEk, verify};

/// A CA and a certificate of it with serial number 0x1234, by OpenSSL, and its lists (see testdata/README.md).
const LISTER: &[u8] = include_bytes!("../../../testdata/ek/lister.crt");
const LISTED: &[u8] = include_bytes!("../../../testdata/ek/listed.crt");
const GOOD: &[u8] = include_bytes!("../../../testdata/ek/good.crl");
const NAMING: &[u8] = include_bytes!("../../../testdata/ek/naming.crl");
const BARE: &[u8] = include_bytes!("../../../testdata/ek/bare.crl");

fn verify_listed(revocation: &Revocation) -> Result<VouchedEk, EkCertificateError> {
    let (leaf, roots) = (certificate(LISTED), [certificate(LISTER)]);
    verify(&leaf, &public(P384.0), &[], &roots, revocation, NOW)
}

#[test]
fn lists_by_openssl_are_read() {
    let required = |bytes: &[u8]| {
        let list = RevocationList::parse("vendor", bytes).unwrap();
        verify_listed(&Revocation::Require(vec![list])).map(drop)
    };
    assert_eq!(required(GOOD), Ok(()));
    assert_eq!(required(BARE), Ok(()));
    let padded = [GOOD, &[0xff; 40]].concat();
    assert_eq!(required(&padded), Ok(()));
    assert_eq!(
        required(NAMING),
        Err(EkCertificateError::Revoked {
            list: "vendor".to_owned(),
            reason: "its key was compromised",
        })
    );
}

#[test]
fn every_changed_byte_of_a_list_is_refused() {
    for at in 0..GOOD.len() {
        let mut bytes = GOOD.to_vec();
        bytes[at] ^= 0x01;
        if let Ok(changed) = RevocationList::parse("changed", &bytes) {
            let verdict = verify_listed(&Revocation::Require(vec![changed]));
            assert!(verdict.is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_list_above_the_limit_is_not_read() {
    let long = vec![0x30; RevocationList::MAX + 1];
    assert_eq!(
        RevocationList::parse("long", &long),
        Err(EkCertificateError::Malformed("length"))
    );
}

/// A list by `ca` that names one serial number.
fn list(ca: &Ca, name: &str, serial: u64, until: i32) -> RevocationList {
    RevocationList::parse(name, &list_der(ca, &[serial], (2026, until))).unwrap()
}

/// Valid from the first day of one year to that of another.
fn list_der(ca: &Ca, serials: &[u64], (from, until): (i32, i32)) -> Vec<u8> {
    let named = |serial: &u64| RevokedCertParams {
        serial_number: (*serial).into(),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(from, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(named).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().der().to_vec()
}

#[test]
fn revoked_certificates_are_refused_by_their_issuers_current_lists() {
    let usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = |name: &str| {
        let mut params = ca_params(name, BasicConstraints::Unconstrained);
        params.key_usages.clone_from(&usages);
        params
    };
    let key = KeyPair::generate().unwrap();
    let root = Ca::self_signed(ca("listing root"), key).unwrap();
    let issuer = below(ca("listing issuer"), &root);
    let double = below(ca("listing issuer"), &root);
    let mut params = leaf_params();
    params.serial_number = Some(7_u64.into());
    let leaf = leaf(&params, &issuer);
    let judge = |revocation: &Revocation| {
        let parse = |ca: &Ca| certificate(ca.as_ref().der());
        let (intermediates, roots) = ([parse(&issuer)], [parse(&root)]);
        verify(&leaf, &public(EK), &intermediates, &roots, revocation, NOW).map(|_| ())
    };
    let revoked = Err(EkCertificateError::Revoked {
        list: "a".to_owned(),
        reason: "its key was compromised",
    });
    let (good, of_root) = (list(&issuer, "b", 8, 2030), list(&root, "c", 9, 2030));
    let expired = Err(EkCertificateError::ExpiredList("d".to_owned()));
    type Expected = Result<(), EkCertificateError>;
    let cases: [(Vec<RevocationList>, Expected, Expected); 6] = [
        (vec![], Ok(()), Err(EkCertificateError::NoList)),
        (vec![good.clone()], Ok(()), Err(EkCertificateError::NoList)),
        (vec![good.clone(), of_root.clone()], Ok(()), Ok(())),
        (
            vec![list(&issuer, "a", 7, 2030), of_root.clone()],
            revoked.clone(),
            revoked.clone(),
        ),
        // What an expired list revokes stays revoked; what it does not name is not thereby good.
        (
            vec![good, list(&issuer, "a", 7, 2027), of_root.clone()],
            revoked.clone(),
            revoked,
        ),
        (
            vec![list(&issuer, "d", 8, 2027), of_root],
            expired.clone(),
            expired,
        ),
    ];
    for (lists, where_there_is_one, require) in cases {
        assert_eq!(
            judge(&Revocation::WhereThereIsOne(lists.clone())),
            where_there_is_one
        );
        assert_eq!(judge(&Revocation::Require(lists)), require);
    }
    // Of a CA with the same name and another key: by its key identifier it is none of this issuer.
    let foreign = vec![list(&double, "e", 7, 2030)];
    assert_eq!(judge(&Revocation::WhereThereIsOne(foreign)), Ok(()));
    assert_eq!(judge(&Revocation::Off), Ok(()));
}

#[test]
fn a_changed_list_is_refused_rather_than_read() {
    let mut params = ca_params("listing", BasicConstraints::Unconstrained);
    params.key_usages.push(KeyUsagePurpose::CrlSign);
    let root = Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut bytes = list_der(&root, &[8], (2026, 2030));
    *bytes.last_mut().unwrap() ^= 0x01;
    let changed = RevocationList::parse("changed", &bytes).unwrap();
    let leaf = leaf(&leaf_params(), &root);
    let roots = [certificate(root.as_ref().der())];
    let revocation = Revocation::WhereThereIsOne(vec![changed]);
    assert_eq!(
        verify(&leaf, &public(EK), &[], &roots, &revocation, NOW),
        Err(EkCertificateError::ForgedList("changed".to_owned()))
    );
}

/// A list in one word: what it names, and its years.
type Drawn = (Vec<u64>, (i32, i32));

fn drawn() -> impl Strategy<Value = Drawn> {
    let years = prop::sample::select(vec![(2026, 2030), (2026, 2027), (2028, 2030)]);
    (prop::collection::vec(1_u64..6, 0..4), years)
}

/// What the lists of one issuer have to come to, said without a word about certificates.
fn expected(serial: u64, lists: &[Drawn], required: bool) -> Result<(), String> {
    let current = lists.iter().any(|(_, years)| *years == (2026, 2030));
    if lists.iter().any(|(named, _)| named.contains(&serial)) {
        // Even where a list before it is too old to clear anybody.
        Err("revoked".to_owned())
    } else if current || (lists.is_empty() && !required) {
        Ok(())
    } else if lists.is_empty() {
        Err("no list".to_owned())
    } else {
        Err("expired".to_owned())
    }
}

fn told(error: EkCertificateError) -> String {
    if matches!(error, EkCertificateError::Revoked { .. }) {
        "revoked".to_owned()
    } else if matches!(error, EkCertificateError::ExpiredList(_)) {
        "expired".to_owned()
    } else if error == EkCertificateError::NoList {
        "no list".to_owned()
    } else {
        error.to_string()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lists_come_to_what_they_say_together(serial in 1_u64..6, lists in prop::collection::vec(drawn(), 0..4)) {
        let mut params = ca_params("listing", BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::CrlSign);
        let root = Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = leaf_params();
        params.serial_number = Some(serial.into());
        let leaf = leaf(&params, &root);
        let roots = [certificate(root.as_ref().der())];
        let parsed: Vec<_> = lists
            .iter()
            .map(|(named, years)| RevocationList::parse("drawn", &list_der(&root, named, *years)).unwrap())
            .collect();
        let judge = |revocation: &Revocation| {
            verify(&leaf, &public(EK), &[], &roots, revocation, NOW).map(drop).map_err(told)
        };
        prop_assert_eq!(judge(&Revocation::Require(parsed.clone())), expected(serial, &lists, true));
        prop_assert_eq!(judge(&Revocation::WhereThereIsOne(parsed)), expected(serial, &lists, false));
        prop_assert_eq!(judge(&Revocation::Off), Ok(()));
    }
}

proptest! {
    #[test]
    fn the_parser_of_lists_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let _ = RevocationList::parse("", &bytes);
        let mut changed = NAMING.to_vec();
        let at = at.index(changed.len());
        for (to, from) in changed.iter_mut().skip(at).zip(&bytes) {
            *to = *from;
        }
        let _ = RevocationList::parse("", &changed);
        let _ = RevocationList::parse("", &changed[..cut.index(changed.len())]);
    }
}
