//! A TPM vendor's certificate authority, made for tests: a root and an intermediate that signs EK certificates.
//!
//! Its root must never be trusted by anything that a test did not configure itself.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use super::Scratch;

/// A root and an issuing authority below it, both P-256, with files as `swtpm_localca` wants them. Several TPMs may
/// share one: they are then chips of the same vendor. Two authorities do not trust each other.
pub struct EkAuthority {
    scratch: Scratch,
    root: Authority,
    issuer: Authority,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// How long a revocation list is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAge {
    /// Now and for years.
    Current,
    /// It should have been followed by another long ago.
    Expired,
}

impl EkAuthority {
    /// A new vendor with keys of its own.
    ///
    /// # Panics
    /// When keys or files cannot be made.
    pub fn new() -> Self {
        let root = CertifiedIssuer::self_signed(authority("Holdfast Test TPM Root CA"), key())
            .expect("a root");
        let issuer_key = key();
        let issuer_pkcs8 = issuer_key.serialize_pem();
        let issuer =
            CertifiedIssuer::signed_by(authority("Holdfast Test TPM EK CA"), issuer_key, &root)
                .expect("an intermediate");

        let scratch = Scratch::new();
        let signing_key = scratch.write("signing-key.pem", issuer_pkcs8);
        let issuer_cert = scratch.write("issuer.pem", issuer.pem());
        let local_ca = scratch.write(
            "swtpm-localca.conf",
            format!(
                "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
                scratch.path().display(),
                signing_key.display(),
                issuer_cert.display(),
                scratch.join("serial").display(),
            ),
        );
        let options = scratch.write(
            "swtpm-localca.options",
            "--platform-manufacturer Holdfast\n--platform-version 1\n--platform-model Test\n",
        );
        scratch.write(
            "swtpm_setup.conf",
            format!(
                "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n",
                local_ca.display(),
                options.display(),
            ),
        );
        Self {
            scratch,
            root,
            issuer,
        }
    }

    /// The root certificate, DER: what a verifier has to trust.
    pub fn root_der(&self) -> &[u8] {
        self.root.der()
    }

    /// The intermediate that signs EK certificates, DER: what a verifier has to find.
    pub fn issuer_der(&self) -> &[u8] {
        self.issuer.der()
    }

    /// The root's revocation list, DER: it names nobody.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn root_list(&self) -> Vec<u8> {
        list(&self.root, &[], ListAge::Current)
    }

    /// The revocation list of the intermediate, DER, which names EK certificates by their serial numbers.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn issuer_list(&self, serials: &[Vec<u8>], age: ListAge) -> Vec<u8> {
        list(&self.issuer, serials, age)
    }

    pub(super) fn setup_conf(&self) -> std::path::PathBuf {
        self.scratch.join("swtpm_setup.conf")
    }

    pub(super) fn signing_key(&self) -> std::path::PathBuf {
        self.scratch.join("signing-key.pem")
    }

    pub(super) fn issuer_cert(&self) -> std::path::PathBuf {
        self.scratch.join("issuer.pem")
    }

    /// Where the authority's files are.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

impl Default for EkAuthority {
    fn default() -> Self {
        Self::new()
    }
}

fn list(authority: &Authority, serials: &[Vec<u8>], age: ListAge) -> Vec<u8> {
    let named = |serial: &Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: match age {
            ListAge::Current => date_time_ymd(2100, 1, 1),
            ListAge::Expired => date_time_ymd(2020, 2, 1),
        },
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(named).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params
        .signed_by(authority)
        .expect("a revocation list")
        .der()
        .to_vec()
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a P-256 key")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}
