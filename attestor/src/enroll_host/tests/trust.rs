//! An EK is believed for one reason that policy accepts, and for no other.

use holdfast_proof::ek_certificate::Certificate;
use holdfast_protocol::grade::Grade;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SubjectPublicKeyInfo,
};

use super::{NOW, policy, reason, request, token};
use crate::ek_hashes::ListedEk;
use crate::enroll_host::{Reason, TokenStanding, UnknownHosts, admit};
use crate::registry::{EkFingerprint, EkTrust};
use crate::software_tpm::SoftwareTpm;

#[test]
fn an_ek_needs_something_that_vouches_for_it() {
    let tpm = SoftwareTpm::new();
    let request = request(&tpm);
    assert_eq!(
        reason(&request, &TokenStanding::Absent, &policy()),
        Reason::EkTrust
    );

    let admitted = admit(&request, &token(None), None, &policy(), NOW).unwrap();
    assert_eq!(
        (admitted.trust, admitted.token.is_some()),
        (EkTrust::Token, true)
    );

    let mut listed = policy();
    listed
        .allowed
        .insert(EkFingerprint::of(&tpm.ek_public.key().unwrap()));
    let admitted = admit(&request, &TokenStanding::Absent, None, &listed, NOW).unwrap();
    assert_eq!((admitted.trust, admitted.token), (EkTrust::AllowList, None));
}

/// A vendor's root, and a certificate for an EK by it.
fn vendor(tpm: &SoftwareTpm) -> (Certificate, Vec<u8>) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let root_der = root.self_signed(&key).unwrap().der().to_vec();
    let issuer = Issuer::new(root, key);
    let mut leaf = CertificateParams::default();
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    // Extended key usage tcg-kp-EKCertificate, 2.23.133.8.1.
    let usage = vec![0x30, 0x07, 0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01];
    leaf.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 37], usage)];
    let spki = tpm.ek_public.key().unwrap().to_spki_der();
    let spki = SubjectPublicKeyInfo::from_der(&spki).unwrap();
    let leaf = leaf.signed_by(&spki, &issuer).unwrap().der().to_vec();
    (Certificate::parse(&root_der).unwrap(), leaf)
}

#[test]
fn a_vendors_certificate_vouches_for_its_own_key_alone() {
    let (tpm, other) = (SoftwareTpm::new(), SoftwareTpm::new());
    let (root, certificate) = vendor(&tpm);
    let mut trusting = policy();
    trusting.roots.push(root);
    let mut with = request(&tpm);
    with.ek_certificate = certificate.clone();
    let admitted = admit(&with, &TokenStanding::Absent, None, &trusting, NOW).unwrap();
    assert_eq!(admitted.trust, EkTrust::Certificate);

    // The certificate of one TPM before the EK of another.
    let mut stolen = request(&other);
    stolen.ek_certificate = certificate;
    assert_eq!(
        reason(&stolen, &TokenStanding::Absent, &trusting),
        Reason::EkTrust
    );
    // A vendor that nobody configured.
    let mut foreign = policy();
    foreign.roots.push(vendor(&other).0);
    assert_eq!(
        reason(&with, &TokenStanding::Absent, &foreign),
        Reason::EkTrust
    );
    with.ek_certificate.truncate(40);
    assert_eq!(
        reason(&with, &TokenStanding::Absent, &trusting),
        Reason::EkTrust
    );
}

#[test]
fn a_token_may_be_for_one_host_and_has_to_be_good() {
    let tpm = SoftwareTpm::new();
    let request = request(&tpm);
    assert!(admit(&request, &token(Some("workstation")), None, &policy(), NOW).is_ok());
    assert_eq!(
        reason(&request, &token(Some("laptop")), &policy()),
        Reason::Token
    );
    let mut listed = policy();
    listed
        .allowed
        .insert(EkFingerprint::of(&tpm.ek_public.key().unwrap()));
    // Even where the EK is trusted without it.
    assert_eq!(
        reason(&request, &TokenStanding::Unusable, &listed),
        Reason::Token
    );
}

#[test]
fn a_listed_ek_joins_under_the_name_that_the_list_has() {
    let (tpm, other) = (SoftwareTpm::new(), SoftwareTpm::new());
    let request = request(&tpm);
    let listed = |of: &SoftwareTpm, host_name: Option<&str>| ListedEk {
        ek: EkFingerprint::of(&of.ek_public.key().unwrap()),
        host_name: host_name.map(|name| name.parse().unwrap()),
        listed_at: NOW,
    };
    let judge = |listed: &ListedEk, token: &TokenStanding| {
        admit(&request, token, Some(listed), &policy(), NOW)
            .map(|admitted| admitted.trust)
            .map_err(|refused| refused.reason)
    };
    let absent = TokenStanding::Absent;
    for name in [None, Some("workstation")] {
        assert_eq!(judge(&listed(&tpm, name), &absent), Ok(EkTrust::AllowList));
    }
    let another = listed(&tpm, Some("laptop"));
    assert_eq!(judge(&another, &absent), Err(Reason::EkTrust));
    assert_eq!(judge(&another, &token(None)), Ok(EkTrust::Token));
    // What the list says of another key is nothing.
    let foreign = listed(&other, None);
    assert_eq!(judge(&foreign, &absent), Err(Reason::EkTrust));
}

#[test]
fn an_unknown_host_waits_where_policy_says_so_and_no_other_does() {
    let mut asking = policy();
    asking.unknown = UnknownHosts::Pending;
    let mut request = request(&SoftwareTpm::new());
    let absent = TokenStanding::Absent;
    assert_eq!(reason(&request, &absent, &asking), Reason::Pending);
    // A bad token stays one, and whoever may not join at all does not wait for it.
    let unusable = TokenStanding::Unusable;
    assert_eq!(reason(&request, &unusable, &asking), Reason::Token);
    request.grade = Grade::Simulated;
    assert_eq!(reason(&request, &absent, &asking), Reason::Grade);
}

#[test]
fn a_token_may_be_for_one_ek() {
    let (tpm, other) = (SoftwareTpm::new(), SoftwareTpm::new());
    let bound = |of: &SoftwareTpm| {
        let TokenStanding::Usable(mut record) = token(None) else {
            panic!("a token that may be used");
        };
        record.ek = Some(EkFingerprint::of(&of.ek_public.key().unwrap()));
        TokenStanding::Usable(record)
    };
    let request = request(&tpm);
    let admitted = admit(&request, &bound(&tpm), None, &policy(), NOW).unwrap();
    assert_eq!(admitted.trust, EkTrust::Token);
    assert_eq!(reason(&request, &bound(&other), &policy()), Reason::Token);
}
