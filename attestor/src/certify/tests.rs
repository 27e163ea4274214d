//! What the authority signs is what SPIFFE says it must be; what it may not sign it does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use der::Decode;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{HostId, TrustDomain};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};

use super::{
    AgentId, Audience, Authority, CertifyError, Change, Haste, KeyFolder, NotBelow, NotNow,
    RotateError,
};
use crate::csr::Csr;
use crate::software_tpm::key_with_request;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn trust_domain() -> TrustDomain {
    "example.org".parse().unwrap()
}

fn authority() -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority =
        Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), NOW).unwrap();
    (folder, authority)
}

fn agent(host: HostId) -> AgentId {
    let name = format!("spiffe://example.org/host/{host}/agent/claude/x");
    AgentId::of(&trust_domain(), host, &name).unwrap()
}

#[test]
fn a_node_svid_is_an_x509_svid() {
    let (_folder, authority) = authority();
    let host = HostId::from_random([1; 16]);
    let (_, request) = key_with_request();
    let csr = Csr::parse(&request).unwrap();
    let signed = authority.sign_node(host, &csr, HOUR, NOW).unwrap();
    let name = format!("spiffe://example.org/host/{host}");
    assert_eq!(signed.svid.spiffe_id.to_string(), name);
    assert_eq!(signed.svid.public_key, csr.spki_der());
    assert_eq!(signed.svid.not_after, NOW + HOUR);
    assert_eq!(signed.svid.not_before, NOW - Duration::from_secs(60));

    let leaf = x509_cert::Certificate::from_der(&signed.chain[0]).unwrap();
    let tbs = leaf.tbs_certificate();
    assert!(tbs.subject().is_empty());
    let (san_critical, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    assert!(san_critical, "an empty subject makes the names critical");
    assert_eq!(names.0.len(), 1);
    let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert!(critical && usage.digital_signature());
    assert!(!usage.key_cert_sign() && !usage.crl_sign());
    let (_, purposes) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    let purposes: Vec<_> = purposes.0.iter().map(ToString::to_string).collect();
    assert_eq!(purposes, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    let (_, basic) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(!basic.ca);
    let own = tbs.get_extension::<SubjectKeyIdentifier>().unwrap();
    assert!(own.is_some());

    // It leads to the authority: by key id, and by signature in the eyes of a stock verifier.
    let root = &authority.x509_authorities()[0];
    let root_tbs = x509_cert::Certificate::from_der(root).unwrap();
    let root_tbs = root_tbs.tbs_certificate();
    let (_, of_issuer) = tbs
        .get_extension::<AuthorityKeyIdentifier>()
        .unwrap()
        .unwrap();
    let (_, of_root) = root_tbs
        .get_extension::<SubjectKeyIdentifier>()
        .unwrap()
        .unwrap();
    assert_eq!(of_issuer.key_identifier, Some(of_root.0));
    verify_with_webpki(&authority, &signed.chain[0], NOW).unwrap();
    assert!(verify_with_webpki(&authority, &signed.chain[0], NOW + 2 * HOUR).is_err());
    let (_other_folder, other) = self::authority();
    assert!(verify_with_webpki(&other, &signed.chain[0], NOW).is_err());
}

fn verify_with_webpki(
    authority: &Authority,
    leaf: &[u8],
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for root in authority.x509_authorities() {
        roots.add(root).unwrap();
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()));
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider.into())
        .build()
        .unwrap()
        .verify_client_cert(&CertificateDer::from(leaf), &[], at)
        .map(|_| ())
}

#[test]
fn the_root_is_an_authority_of_the_trust_domain() {
    let (_folder, authority) = authority();
    let root = x509_cert::Certificate::from_der(&authority.x509_authorities()[0]).unwrap();
    let tbs = root.tbs_certificate();
    let (critical, basic) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(critical && basic.ca);
    assert_eq!(basic.path_len_constraint, Some(0));
    let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert!(critical && usage.key_cert_sign() && !usage.digital_signature());
    let (_, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    assert!(format!("{names:?}").contains("spiffe://example.org"));
}

#[test]
fn a_host_signs_only_below_its_own_name() {
    let host = HostId::from_random([1; 16]);
    let own = format!("spiffe://example.org/host/{host}");
    assert!(AgentId::of(&trust_domain(), host, &format!("{own}/agent/a/b")).is_ok());
    for foreign in [
        own.clone(),
        format!("{own}x/agent/a/b"),
        format!(
            "spiffe://example.org/host/{}/agent/a/b",
            HostId::from_random([2; 16])
        ),
        format!("spiffe://example.com/host/{host}/agent/a/b"),
        "spiffe://example.org/attestor".to_owned(),
    ] {
        let refused = AgentId::of(&trust_domain(), host, &foreign);
        assert!(
            matches!(refused, Err(NotBelow::Foreign { .. })),
            "{foreign}"
        );
    }
    for malformed in [
        "",
        "host",
        "spiffe://example.org",
        &format!("{own}/../x"),
        &format!("{own}/"),
    ] {
        let refused = AgentId::of(&trust_domain(), host, malformed);
        assert!(
            matches!(refused, Err(NotBelow::Malformed(_))),
            "{malformed}"
        );
    }
}

#[test]
fn a_jwt_svid_has_three_headers_and_verifies_by_the_jwks() {
    let (_folder, authority) = authority();
    let agent = agent(HostId::from_random([1; 16]));
    let audience = Audience::new(vec!["https://db.example.org".to_owned()]).unwrap();
    let signed = authority.sign_jwt(&agent, &audience, HOUR, NOW).unwrap();
    assert!(!format!("{signed:?}").contains(&signed.token));
    let parts: Vec<&str> = signed.token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    let claims: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
    let jwks: Value = serde_json::from_str(&authority.jwks()).unwrap();
    let jwk = &jwks["keys"][0];
    assert_eq!(
        header,
        serde_json::json!({ "alg": "ES256", "kid": jwk["kid"], "typ": "JWT" })
    );
    assert_eq!(
        claims,
        serde_json::json!({
            "sub": agent.id(),
            "aud": ["https://db.example.org"],
            "iat": 1_800_000_000,
            "exp": 1_800_003_600,
        })
    );
    assert_eq!(signed.expires_at, NOW + HOUR);

    let coordinate = |name: &str| decode(jwk[name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let message = format!("{}.{}", parts[0], parts[1]);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(message.as_bytes(), &decode(parts[2]))
        .unwrap();
}

#[test]
fn audiences_are_bounded() {
    assert!(Audience::new(vec!["a".repeat(256)]).is_ok());
    for bad in [
        vec![],
        vec![String::new()],
        vec!["a".repeat(257)],
        vec!["a b".to_owned()],
        vec!["a\n".to_owned()],
        vec!["a".to_owned(); 9],
    ] {
        assert!(Audience::new(bad).is_err());
    }
}

#[test]
fn the_bundle_is_a_spiffe_bundle() {
    let (_folder, authority) = authority();
    let bundle = authority.bundle(HOUR);
    let [x509, jwt] = bundle["keys"].as_array().unwrap().as_slice() else {
        panic!("the bundle has two keys")
    };
    assert_eq!(x509["use"], "x509-svid");
    assert!(x509.get("kid").is_none());
    let chain = x509["x5c"].as_array().unwrap();
    assert_eq!(chain.len(), 1);
    let root = BASE64
        .decode(chain[0].as_str().unwrap().as_bytes())
        .unwrap();
    assert_eq!(root, authority.x509_authorities()[0].to_vec());
    assert_eq!(jwt["use"], "jwt-svid");
    assert!(jwt["kid"].is_string());
    assert!(bundle["spiffe_sequence"].is_u64());
    // The two keys are two.
    assert_ne!(x509["x"], jwt["x"]);

    use rustls::pki_types::pem::PemObject;
    let pem = CertificateDer::from_pem_slice(authority.bundle_pem().as_bytes()).unwrap();
    assert_eq!(pem.to_vec(), root);
}

#[test]
fn keys_are_made_once_and_for_their_owner_alone() {
    let (folder, first) = authority();
    let again = Authority::open(
        &KeyFolder::plain(folder.path()),
        &trust_domain(),
        NOW + HOUR,
    )
    .unwrap();
    assert_eq!(again.fingerprint(), first.fingerprint());
    assert_eq!(again.jwks(), first.jwks());
    for key in ["ca.key.pem", "jwt.key.pem"] {
        let path = folder.path().join(key);
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{key}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let opened = Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), NOW);
        assert!(
            matches!(opened, Err(CertifyError::OpenKey { mode: 0o640, .. })),
            "{key}"
        );
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "no draft stays: {names:?}");
}

#[test]
fn another_trust_domain_or_key_is_not_taken_over() {
    let (folder, _) = authority();
    let other = Authority::open(
        &KeyFolder::plain(folder.path()),
        &"example.com".parse().unwrap(),
        NOW,
    );
    assert!(matches!(other, Err(CertifyError::Unusable { .. })));

    let (foreign, _) = authority();
    std::fs::copy(
        foreign.path().join("ca.key.pem"),
        folder.path().join("ca.key.pem"),
    )
    .unwrap();
    let mixed = Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), NOW);
    assert!(matches!(mixed, Err(CertifyError::Unusable { .. })));
    std::fs::write(folder.path().join("ca.key.pem"), "no key").unwrap();
    let broken = Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), NOW);
    assert!(matches!(broken, Err(CertifyError::Unusable { .. })));
}

#[test]
fn of_two_that_make_the_keys_at_once_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let fingerprints: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), NOW)
                        .unwrap()
                        .fingerprint()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(fingerprints.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn nothing_outlives_the_authority() {
    let (_folder, authority) = authority();
    let csr = Csr::parse(&key_with_request().1).unwrap();
    let late = NOW + Duration::from_secs(10 * 365 * 24 * 3600);
    let signed = authority.sign_node(HostId::from_random([1; 16]), &csr, HOUR, late);
    assert!(matches!(signed, Err(CertifyError::Expired)));
}

/// Every SVID that was signed stays verifiable from the first generation's end to the last, and no longer.
#[test]
fn keys_change_with_an_overlap() {
    let (folder, authority) = authority();
    let host = HostId::from_random([1; 16]);
    let sign = |at| {
        let (_, request) = key_with_request();
        let csr = Csr::parse(&request).unwrap();
        authority.sign_node(host, &csr, HOUR, at).unwrap()
    };
    let kids = || {
        let jwks: Value = serde_json::from_str(&authority.jwks()).unwrap();
        jwks["keys"].as_array().unwrap().len()
    };
    // As another process sees it: a running attestor, while the operator's command changes the keys.
    let running = Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), NOW).unwrap();
    let first = sign(NOW);
    let (first_pin, first_root) = (
        authority.fingerprint(),
        authority.x509_authorities()[0].clone(),
    );

    authority
        .rotate(|keys| keys.prepare(NOW).map(drop), NOW)
        .unwrap();
    assert_eq!((authority.x509_authorities().len(), kids()), (2, 2));
    assert_eq!(authority.fingerprint(), first_pin, "it does not sign yet");
    assert_eq!(running.refresh(NOW).unwrap(), Change::Some);
    assert_eq!(running.refresh(NOW).unwrap(), Change::None);
    assert_eq!(running.bundle(HOUR), authority.bundle(HOUR));
    assert_eq!(running.bundle(HOUR)["spiffe_sequence"], 2);

    let activate =
        |at| authority.rotate(|keys| keys.activate(at, HOUR, Haste::Overlap).map(drop), at);
    assert!(matches!(
        activate(NOW),
        Err(RotateError::NotNow(NotNow::TooEarly { .. }))
    ));
    let later = NOW + HOUR;
    let last_of_first = sign(later);
    activate(later).unwrap();
    assert_ne!(authority.fingerprint(), first_pin);
    let second = sign(later);
    for svid in [&last_of_first, &second] {
        verify_with_webpki(&authority, &svid.chain[0], later).unwrap();
    }
    assert_eq!(running.refresh(later).unwrap(), Change::Some);
    assert_eq!(running.fingerprint(), authority.fingerprint());

    let retire = |at| authority.rotate(|keys| keys.retire(at, Haste::Overlap).map(drop), at);
    assert!(matches!(
        retire(later),
        Err(RotateError::NotNow(NotNow::StillValid { .. }))
    ));
    let last = later + HOUR;
    retire(last).unwrap();
    assert_eq!((authority.x509_authorities().len(), kids()), (1, 1));
    assert!(!authority.x509_authorities().contains(&first_root));
    assert!(verify_with_webpki(&authority, &first.chain[0], NOW).is_err());
    assert!(
        !folder.path().join("ca.key.pem").exists(),
        "the key is gone"
    );
    assert!(matches!(
        retire(last),
        Err(RotateError::NotNow(NotNow::NothingOld))
    ));

    // And so it is opened again.
    let again = Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), last).unwrap();
    assert_eq!(again.bundle(HOUR), authority.bundle(HOUR));
    std::fs::write(
        folder.path().join("authorities.json"),
        "{\"sequence\":1,\"generations\":[]}",
    )
    .unwrap();
    let refused =
        Authority::open(&KeyFolder::plain(folder.path()), &trust_domain(), last).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("does not tell which keys there are"),
        "{refused}"
    );
}
