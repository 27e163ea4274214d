//! A TPM vendor's certificate authority, made for tests: a root and an intermediate that signs EK certificates.
//!
//! Its root must never be trusted by anything that a test did not configure itself.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use super::Scratch;

/// A root and an issuing authority below it, both P-256, with files as `swtpm_localca` wants them. Several TPMs may
/// share one: they are then chips of the same vendor. Two authorities do not trust each other.
#[derive(Debug)]
pub struct EkAuthority {
    scratch: Scratch,
    root_der: Vec<u8>,
    issuer_der: Vec<u8>,
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
            root_der: root.der().to_vec(),
            issuer_der: issuer.der().to_vec(),
            scratch,
        }
    }

    /// The root certificate, DER: what a verifier has to trust.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// The intermediate that signs EK certificates, DER: what a verifier has to find.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
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
