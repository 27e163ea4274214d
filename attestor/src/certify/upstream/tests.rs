//! An upstream authority signs ours where it may, and what it may not is told apart.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use data_encoding::BASE64;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SignatureAlgorithm,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::UpstreamFiles;
use crate::certify::{
    AtRest, Authority, CertifyError, Change, Haste, KeyFolder, Passphrase, RotateError, SignedBy,
    X509Svid,
};
use crate::csr::Csr;
use crate::software_tpm::key_with_request;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

type Ca = CertifiedIssuer<'static, KeyPair>;

/// An upstream in a folder: a root, and below it the authority whose key signs ours.
struct World {
    folder: tempfile::TempDir,
    root: Ca,
}

fn ca(name: &str, path_len: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(path_len);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    crate::certify::leaf::set_validity(&mut params, NOW - HOUR, NOW + 30 * DAY);
    params
}

fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

impl World {
    /// One whose authority is made so.
    fn with(params: CertificateParams, algorithm: &'static SignatureAlgorithm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = ca("root", BasicConstraints::Unconstrained);
        let root = Ca::self_signed(root, key(&PKCS_ECDSA_P384_SHA384)).unwrap();
        let world = Self { folder, root };
        let key = key(algorithm);
        let certificate = params.signed_by(&key, &world.root).unwrap();
        world.place(&certificate.pem(), &key.serialize_pem());
        write(&world.files().bundle, &world.root.pem());
        world
    }

    fn good() -> Self {
        Self::with(
            ca("sub", BasicConstraints::Constrained(1)),
            &PKCS_ECDSA_P256_SHA256,
        )
    }

    fn place(&self, certificate: &str, key: &str) {
        write(&self.files().certificate, certificate);
        write(&self.files().key, key);
    }

    fn files(&self) -> UpstreamFiles {
        let join = |name| self.folder.path().join(name);
        UpstreamFiles {
            certificate: join("upstream.crt"),
            key: join("upstream.key"),
            bundle: join("roots.pem"),
        }
    }

    fn state(&self) -> KeyFolder {
        let state = self.folder.path().join("state");
        std::fs::create_dir_all(&state).unwrap();
        KeyFolder::plain(&state)
    }

    fn open(&self) -> Result<Authority, CertifyError> {
        self.open_at(NOW)
    }

    fn open_at(&self, now: Timestamp) -> Result<Authority, CertifyError> {
        let trust_domain = "example.org".parse().unwrap();
        Authority::open_under(&self.state(), &trust_domain, Some(self.files()), now)
    }

    /// What refuses it, which names one of its files.
    fn refusal(&self) -> String {
        let error = self.open().unwrap_err();
        let made = self.folder.path().join("state/ca.cert.pem");
        assert!(!made.exists(), "nothing was made: {error}");
        let words = holdfast_protocol::words::with_causes(&error);
        words.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn sign(authority: &Authority, at: Timestamp) -> Result<X509Svid, CertifyError> {
    let csr = Csr::parse(&key_with_request().1).unwrap();
    authority.sign_node(HostId::from_random([1; 16]), &csr, HOUR, at)
}

/// In the eyes of the verifier that the attestor uses for hosts.
fn verifies(svid: &X509Svid, roots: &[CertificateDer<'static>], at: Timestamp) -> bool {
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()));
    let chain: Vec<_> = svid
        .chain
        .iter()
        .cloned()
        .map(CertificateDer::from)
        .collect();
    WebPkiClientVerifier::builder_with_provider(store.into(), provider.into())
        .build()
        .unwrap()
        .verify_client_cert(&chain[0], &chain[1..], at)
        .is_ok()
}

#[test]
fn what_we_sign_under_an_upstream_verifies_by_its_roots_alone() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let world = World::with(ca("sub", BasicConstraints::Unconstrained), algorithm);
        let authority = world.open().unwrap();
        let root = world.root.der().clone();
        assert_eq!(authority.x509_authorities(), std::slice::from_ref(&root));
        let svid = sign(&authority, NOW).unwrap();
        assert_eq!(svid.chain.len(), 3, "leaf, ours, the upstream's");
        assert!(verifies(&svid, std::slice::from_ref(&root), NOW));
        let leaf_alone = X509Svid {
            chain: svid.chain[..1].to_vec(),
            ..svid.clone()
        };
        assert!(!verifies(&leaf_alone, std::slice::from_ref(&root), NOW));
        assert!(!verifies(&svid, &[World::good().root.der().clone()], NOW));

        // A token pins what signs, which the attestor's own TLS shows with the rest, without the root.
        let shown = authority.server_identity(&[], HOUR, NOW).unwrap();
        let digests: Vec<_> = shown
            .cert
            .iter()
            .map(|one| holdfast_proof::hash::sha256(one))
            .collect();
        assert_eq!(digests.len(), 3);
        assert_eq!(digests[1], authority.fingerprint());
        let told = authority.tell();
        assert!(matches!(&told[0].signed_by, SignedBy::Upstream { roots }
                if *roots == [holdfast_proof::hash::sha256(&root)]));

        // The bundle has the root, by a JWK of its own kind.
        let bundle = authority.bundle(HOUR);
        assert_eq!(bundle["keys"][0]["crv"], "P-384");
        assert_eq!(bundle["keys"][0]["x5c"][0], BASE64.encode(&root));
        let pem = CertificateDer::from_pem_slice(authority.bundle_pem().as_bytes()).unwrap();
        assert_eq!(pem, root);
    }
}

#[test]
fn our_authority_names_the_trust_domain_and_signs_leaves_alone() {
    use der::Decode;
    use x509_cert::ext::pkix::BasicConstraints;

    let world = World::good();
    let svid = sign(&world.open().unwrap(), NOW).unwrap();
    let ours = crate::certify::CaCertificate::parse(svid.chain[1].clone().into()).unwrap();
    assert_eq!(ours.path_len, Some(0));
    assert_eq!(ours.uris, ["spiffe://example.org"]);
    let parsed = x509_cert::Certificate::from_der(&svid.chain[1]).unwrap();
    let basic = parsed.tbs_certificate().get_extension::<BasicConstraints>();
    assert!(basic.unwrap().unwrap().0, "critical");
}

#[test]
fn a_self_signed_upstream_is_its_own_root() {
    let world = World::good();
    world.place(&world.root.pem(), &world.root.key().serialize_pem());
    let svid = sign(&world.open().unwrap(), NOW).unwrap();
    assert_eq!(svid.chain.len(), 2);
    assert!(verifies(&svid, &[world.root.der().clone()], NOW));
}

#[test]
fn nothing_outlives_the_upstream() {
    let mut params = ca("sub", BasicConstraints::Constrained(1));
    crate::certify::leaf::set_validity(&mut params, NOW - HOUR, NOW + 2 * DAY);
    let authority = World::with(params, &PKCS_ECDSA_P256_SHA256).open().unwrap();
    let ends = NOW + 2 * DAY;
    assert_eq!(authority.not_after(), ends);
    let half_an_hour = Duration::from_secs(1800);
    let cut = sign(&authority, ends - half_an_hour).unwrap();
    assert_eq!(cut.svid.not_after, ends);
    for late in [ends - Duration::from_secs(59), ends, ends + HOUR] {
        assert!(matches!(sign(&authority, late), Err(CertifyError::Expired)));
    }

    // Nor its root, where that ends before it.
    let mut root = ca("root", BasicConstraints::Unconstrained);
    crate::certify::leaf::set_validity(&mut root, NOW - HOUR, NOW + DAY);
    let root = Ca::self_signed(root, key(&PKCS_ECDSA_P256_SHA256)).unwrap();
    let world = World::good();
    let below = key(&PKCS_ECDSA_P256_SHA256);
    let params = ca("sub", BasicConstraints::Constrained(1));
    world.place(
        &params.signed_by(&below, &root).unwrap().pem(),
        &below.serialize_pem(),
    );
    write(&world.files().bundle, &(world.root.pem() + &root.pem()));
    assert_eq!(world.open().unwrap().not_after(), NOW + DAY);
}

#[test]
fn an_upstream_that_cannot_sign_ours_is_named_with_what_is_wrong() {
    let p256 = &PKCS_ECDSA_P256_SHA256;
    let good = || ca("sub", BasicConstraints::Constrained(1));
    let refusal = |params| World::with(params, p256).refusal();

    let mut leaf = good();
    leaf.is_ca = IsCa::ExplicitNoCa;
    assert!(
        refusal(leaf)
            .contains("`upstream.crt` has a certificate that is not a certification authority's")
    );
    assert!(
        refusal(ca("sub", BasicConstraints::Constrained(0))).contains("lets no authority follow")
    );
    let mut unused = good();
    unused.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert!(refusal(unused).contains("without the key usage `keyCertSign`"));
    let mut expired = good();
    crate::certify::leaf::set_validity(&mut expired, NOW - 2 * DAY, NOW);
    assert!(refusal(expired).contains("has expired"));
    let mut early = good();
    crate::certify::leaf::set_validity(&mut early, NOW + HOUR, NOW + DAY);
    assert!(refusal(early).contains("is not valid yet"));
    let mut workload = good();
    workload.subject_alt_names = vec![SanType::URI("spiffe://example.org/x".try_into().unwrap())];
    assert!(refusal(workload).contains("certificate of a workload"));
    // What hosts' verifier enforces of it is enforced before.
    let mut elsewhere = good();
    elsewhere.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    assert!(refusal(elsewhere).contains("does not verify by a root of `roots.pem`"));

    let foreign = World::with(good(), &PKCS_ED25519);
    assert!(
        foreign
            .refusal()
            .contains("neither RSA nor on a NIST curve")
    );
    let world = World::good();
    write(&world.files().key, &key(p256).serialize_pem());
    assert!(
        world
            .refusal()
            .contains("`upstream.key` is not the key of the first certificate")
    );
    write(&world.files().key, &key(&PKCS_ED25519).serialize_pem());
    assert!(
        world
            .refusal()
            .contains("`upstream.key` is not a key on P-256")
    );
    write(&world.files().key, "no key");
    assert!(
        world
            .refusal()
            .contains("`upstream.key` is not a PKCS#8 key")
    );

    let world = World::good();
    write(&world.files().bundle, &World::good().root.pem());
    assert!(
        world
            .refusal()
            .contains("does not verify by a root of `roots.pem`")
    );
    write(&world.files().bundle, "");
    assert!(world.refusal().contains("`roots.pem` has no certificate"));
    write(&world.files().bundle, &world.root.pem().repeat(5));
    assert!(
        world
            .refusal()
            .contains("`roots.pem` has more certificates")
    );
    write(&world.files().bundle, &" ".repeat(64 * 1024));
    assert!(
        world
            .refusal()
            .contains("`roots.pem` is larger than 16 KiB")
    );
    std::fs::remove_file(&world.files().bundle).unwrap();
    assert!(world.refusal().contains("`roots.pem` is not there"));
    let world = World::good();
    std::fs::set_permissions(&world.files().key, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(world.refusal().contains("has mode 0640"));
}

#[test]
fn the_upstream_s_key_may_be_encrypted_as_ours_are_and_is_wanted_once() {
    let world = World::good();
    let path = world.files().key;
    let plain = zeroize::Zeroizing::new(std::fs::read_to_string(&path).unwrap());
    let at_rest = AtRest::Encrypted(Passphrase::new(b"correct horse battery staple").unwrap());
    write(&path, &at_rest.seal(&path, plain).unwrap());
    assert!(matches!(world.open(), Err(CertifyError::Encrypted { .. })));
    let trust_domain = "example.org".parse().unwrap();
    let state = world.folder.path().join("sealed");
    std::fs::create_dir(&state).unwrap();
    let state = KeyFolder::new(&state, at_rest);
    let open = || Authority::open_under(&state, &trust_domain, Some(world.files()), NOW);
    let made = open().unwrap();

    // What signs later is our key alone: the upstream's may be away.
    for file in [
        world.files().key,
        world.files().certificate,
        world.files().bundle,
    ] {
        std::fs::remove_file(file).unwrap();
    }
    let again = open().unwrap();
    assert_eq!(again.bundle(HOUR), made.bundle(HOUR));
    sign(&again, NOW).unwrap();
}

/// A host that has learnt of the roots at each step is never without one that verifies what it is shown.
#[test]
fn a_self_signed_authority_goes_under_an_upstream_with_an_overlap() {
    let world = World::good();
    let trust_domain = "example.org".parse().unwrap();
    let alone = Authority::open(&world.state(), &trust_domain, NOW).unwrap();
    let own = alone.x509_authorities();
    let authority = world.open().unwrap();
    assert_eq!(authority.x509_authorities(), own, "what is there stays");

    authority
        .rotate(|keys| keys.prepare(NOW).map(drop), NOW)
        .unwrap();
    let root = world.root.der().clone();
    let both = authority.x509_authorities();
    assert_eq!(both, [own[0].clone(), root.clone()]);
    let first = sign(&authority, NOW).unwrap();
    assert_eq!(first.chain.len(), 1);
    assert!(verifies(&first, &own, NOW) && verifies(&first, &both, NOW));
    // A running attestor that was started without the upstream takes what was made.
    assert_eq!(alone.refresh(NOW).unwrap(), Change::Some);
    assert_eq!(alone.bundle(HOUR), authority.bundle(HOUR));

    let later = NOW + HOUR;
    authority
        .rotate(
            |keys| keys.activate(later, HOUR, Haste::Overlap).map(drop),
            later,
        )
        .unwrap();
    let second = sign(&authority, later).unwrap();
    assert!(verifies(&second, &both, later) && !verifies(&second, &own, later));
    assert_eq!(authority.x509_authorities(), [root.clone(), own[0].clone()]);

    let last = later + HOUR;
    authority
        .rotate(|keys| keys.retire(last, Haste::Overlap).map(drop), last)
        .unwrap();
    assert_eq!(authority.x509_authorities(), std::slice::from_ref(&root));
    // The next is under the same root, which is published once; the one before it goes with its files.
    authority
        .rotate(|keys| keys.prepare(last).map(drop), last)
        .unwrap();
    assert_eq!(authority.x509_authorities(), std::slice::from_ref(&root));
    authority
        .rotate(|keys| keys.activate(last, HOUR, Haste::Now).map(drop), last)
        .unwrap();
    authority
        .rotate(|keys| keys.retire(last, Haste::Now).map(drop), last)
        .unwrap();
    assert!(verifies(&sign(&authority, last).unwrap(), &[root], last));
    let names: Vec<_> = std::fs::read_dir(world.folder.path().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("ca."))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_generation_whose_files_do_not_fit_each_other_is_not_used() {
    let world = World::good();
    drop(world.open().unwrap());
    let state = world.folder.path().join("state");
    let roots = state.join("ca.roots.pem");
    let kept = std::fs::read_to_string(&roots).unwrap();
    std::fs::write(&roots, World::good().root.pem()).unwrap();
    assert!(matches!(world.open(), Err(CertifyError::NoChain { .. })));
    std::fs::remove_file(&roots).unwrap();
    assert!(matches!(world.open(), Err(CertifyError::Unusable { .. })));
    std::fs::write(&roots, kept).unwrap();
    // Long after all of it has ended it is still read, and signs nothing.
    let late = NOW + 365 * DAY;
    assert!(matches!(
        sign(&world.open_at(late).unwrap(), late),
        Err(CertifyError::Expired)
    ));
    // One that could not be made leaves nothing that is taken for another.
    let broken = World::good();
    drop(Authority::open(&broken.state(), &"example.org".parse().unwrap(), NOW).unwrap());
    std::fs::remove_file(broken.files().key).unwrap();
    let authority = broken.open().unwrap();
    let refused = authority
        .rotate(|keys| keys.prepare(NOW).map(drop), NOW)
        .unwrap_err();
    assert!(matches!(
        refused,
        RotateError::Certify(CertifyError::Unusable { .. })
    ));
    assert_eq!(authority.sequence(), 1);
}
