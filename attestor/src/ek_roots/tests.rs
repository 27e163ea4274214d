//! What is offered joins the folder whole or not at all.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use holdfast_proof::ek_certificate::{Certificate, EkCertificateError};
use holdfast_protocol::{Sha256Digest, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

use super::{Filed, ImportRefused, KNOWN, check, known, write};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn offered(name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Filed {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    spoil(&mut params);
    let root = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    Filed {
        file: name.into(),
        certificate: Certificate::parse(root.der()).unwrap(),
    }
}

#[test]
fn only_certificates_that_a_path_may_end_at_are_taken() {
    let (kept, good) = (offered("kept", |_| ()), offered("good", |_| ()));
    let leaf = offered("leaf", |params| params.is_ca = IsCa::ExplicitNoCa);
    let ended = offered("ended", |params| {
        params.not_after = date_time_ymd(2026, 1, 1)
    });
    let take = |offered: &[Filed]| check(std::slice::from_ref(&kept), offered, NOW);
    take(&[]).unwrap();
    take(std::slice::from_ref(&good)).unwrap();
    for (spoiled, why) in [
        (leaf, EkCertificateError::NotEntitled),
        (ended, EkCertificateError::Validity),
    ] {
        let refused = take(&[good.clone(), spoiled.clone()]).unwrap_err();
        assert!(
            matches!(&refused, ImportRefused::NotARoot { file, source, .. } if *file == spoiled.file && *source == why),
            "{refused}"
        );
    }
    for (twice, before) in [
        (vec![good.clone(), good.clone()], "good"),
        (vec![kept.clone()], "kept"),
    ] {
        let refused = take(&twice).unwrap_err();
        assert!(
            matches!(&refused, ImportRefused::Duplicate { before: file, .. } if file == Path::new(before)),
            "{refused}"
        );
    }
}

#[test]
fn after_a_failure_the_folder_is_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (offered("first", |_| ()), offered("second", |_| ()));
    // Something that cannot be replaced is where the second would go.
    let taken = format!("{}.pem", second.certificate.fingerprint());
    std::fs::create_dir(folder.path().join(&taken)).unwrap();
    let both = [first.clone(), second];
    assert!(matches!(
        write(folder.path(), &both),
        Err(ImportRefused::Unwritable { file, .. }) if file.ends_with(&taken)
    ));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let written = write(folder.path(), std::slice::from_ref(&first)).unwrap();
    let pem = std::fs::read_to_string(written.first().unwrap()).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(pem.lines().all(|line| line.len() <= 64));
}

#[test]
fn the_makers_roots_are_known_by_fingerprints_of_their_own() {
    let mut seen = BTreeSet::new();
    for root in KNOWN {
        let fingerprint: Sha256Digest = root.fingerprint.parse().unwrap();
        assert_eq!(known(&fingerprint), Some(root));
        assert!(seen.insert(fingerprint), "{}", root.name);
    }
    let vendors: Vec<_> = KNOWN.iter().map(|root| root.vendor).collect();
    assert!(vendors.is_sorted());
    let made = offered("made", |_| ()).certificate.fingerprint();
    assert_eq!(known(&made), None);
}
