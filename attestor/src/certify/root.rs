//! The authority's own key and certificate: P-256, self-signed, made at the first start.
//!
//! The certificate carries the trust domain's ID and may sign leaves only (SPIFFE X509-SVID §3, §4).

use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use der::{Decode, Encode};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

use super::files::{Access, load_or_make};
use super::generations::Number;
use super::key_folder::KeyFolder;
use super::{CertifyError, leaf};

/// How long an authority's certificate lives: ten years. An operator rotates when they want to.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The authority's key with its certificate.
#[derive(Debug)]
pub(super) struct Root {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
}

impl Root {
    /// Opens both, and makes what is not there.
    pub(super) fn open(
        state: &KeyFolder,
        number: Number,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        let [key_path, path] = Self::files(state, number);
        let key = parse_key(&key_path, &*state.key(&key_path, generate)?)?;
        let pem = load_or_make(&path, Access::Everybody, || {
            self_sign(&key, number, trust_domain, now)
        })?;
        let unusable = |problem| CertifyError::Unusable {
            path: path.clone(),
            problem,
        };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unusable("is not a certificate in PEM"))?;
        let parsed = Certificate::from_der(&certificate)
            .map_err(|_| unusable("is not an X.509 certificate"))?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs
            .subject_public_key_info()
            .to_der()
            .map_err(|_| unusable("has a malformed key"))?;
        if spki != key.subject_public_key_info() {
            return Err(unusable("is not the certificate of the key beside it"));
        }
        let named = tbs
            .get_extension::<SubjectAltName>()
            .map_err(|_| unusable("has malformed names"))?
            .is_some_and(|(_, names)| {
                names.0.iter().any(|name| {
                    matches!(name, GeneralName::UniformResourceIdentifier(uri)
                        if uri.as_str() == trust_domain.id())
                })
            });
        if !named {
            return Err(unusable("is the authority of another trust domain"));
        }
        let ends = tbs.validity().not_after.to_unix_duration().as_secs();
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
            certificate,
            not_after: Timestamp::from_secs(ends),
        })
    }

    /// Where key and certificate of a generation are.
    pub(super) fn files(state: &KeyFolder, number: Number) -> [PathBuf; 2] {
        ["key", "cert"].map(|what| state.join(format!("ca{}.{what}.pem", number.infix())))
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When nothing that it signed may be valid any more.
    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(super) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The authority as a JWK with its certificate (SPIFFE Trust Domain and Bundle §4.2; no `kid`).
    pub(super) fn jwk(&self) -> serde_json::Value {
        let mut jwk = jwk(self.issuer.key().public_key_raw(), "x509-svid");
        if let Some(members) = jwk.as_object_mut() {
            let chain = serde_json::json!([BASE64.encode(&self.certificate)]);
            members.insert("x5c".to_owned(), chain);
        }
        jwk
    }
}

/// A new P-256 key as PKCS#8 PEM.
pub(super) fn generate() -> Result<Zeroizing<String>, CertifyError> {
    Ok(Zeroizing::new(
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem(),
    ))
}

/// A new Ed25519 key as PKCS#8 PEM: for what is no SVID.
pub(crate) fn ed25519_key() -> Result<Zeroizing<String>, CertifyError> {
    Ok(Zeroizing::new(
        KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem(),
    ))
}

/// The content of a plain key file.
pub(super) fn pkcs8(path: &Path, pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, CertifyError> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertifyError::Unusable {
        path: path.to_owned(),
        problem: "is not a PKCS#8 key in PEM",
    })
}

/// A P-256 public key, uncompressed SEC 1, as a JWK (RFC 7518 §6.2).
pub(super) fn jwk(point: &[u8], use_: &str) -> serde_json::Value {
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at_checked(32).unwrap_or_default();
    serde_json::json!({
        "kty": "EC",
        "use": use_,
        "crv": "P-256",
        "x": BASE64URL_NOPAD.encode(x),
        "y": BASE64URL_NOPAD.encode(y),
    })
}

fn parse_key(path: &Path, key: &PrivatePkcs8KeyDer<'_>) -> Result<KeyPair, CertifyError> {
    KeyPair::from_pkcs8_der_and_sign_algo(key, &PKCS_ECDSA_P256_SHA256).map_err(|_| {
        CertifyError::Unusable {
            path: path.to_owned(),
            problem: "is not a P-256 key",
        }
    })
}

fn self_sign(
    key: &KeyPair,
    number: Number,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<Zeroizing<String>, CertifyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Holdfast");
    // A name of its own, so that neither authorities of two trust domains nor two generations of one can be taken for
    // each other; 64 characters are what X.520 allows.
    let generation = number.infix();
    let room = 64 - generation.len();
    let name: String = trust_domain.as_str().chars().take(room).collect();
    let name = name + &generation;
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![SanType::URI(trust_domain.id().try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(leaf::serial()?);
    leaf::set_validity(&mut params, now - leaf::SKEW, now + LIFETIME);
    Ok(Zeroizing::new(params.self_signed(key)?.pem()))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
