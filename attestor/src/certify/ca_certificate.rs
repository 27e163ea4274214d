//! A certificate of a certification authority as this module reads one: whether it may sign others, until when, by which key.
//!
//! Whether a chain holds is judged by the verifier that hosts use, never by a reading of our own.

use std::time::Duration;

use data_encoding::BASE64;
use der::{Decode, Encode};
use holdfast_protocol::Timestamp;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

use super::jwk;

/// A certificate that may sign others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaCertificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
    /// SubjectPublicKeyInfo, DER.
    pub(super) key: Vec<u8>,
    /// How many more authorities may follow below it; `None` for any number.
    pub(super) path_len: Option<u8>,
    /// Its URI names.
    pub(super) uris: Vec<String>,
    /// As the bundle has it (SPIFFE Trust Domain and Bundle §4.2; no `kid`).
    pub(super) jwk: Value,
}

impl CaCertificate {
    /// Reads one; else what is wrong with it.
    pub(super) fn parse(der: CertificateDer<'static>) -> Result<Self, &'static str> {
        let parsed = Certificate::from_der(&der)
            .map_err(|_| "has no X.509 certificate where one belongs")?;
        let tbs = parsed.tbs_certificate();
        let malformed = |_| "has a certificate with a malformed extension";
        let basic = tbs.get_extension::<BasicConstraints>().map_err(malformed)?;
        let Some((
            _,
            BasicConstraints {
                ca: true,
                path_len_constraint,
            },
        )) = basic
        else {
            return Err("has a certificate that is not a certification authority's");
        };
        // Without one it may do anything (RFC 5280 §4.2.1.3), but X509-SVID §4.3 wants it said.
        let usage = tbs.get_extension::<KeyUsage>().map_err(malformed)?;
        if !usage.is_some_and(|(_, usage)| usage.key_cert_sign()) {
            return Err("has an authority's certificate without the key usage `keyCertSign`");
        }
        let names = tbs.get_extension::<SubjectAltName>().map_err(malformed)?;
        let names = names.into_iter().flat_map(|(_, names)| names.0);
        let uris = names
            .filter_map(|name| {
                if let GeneralName::UniformResourceIdentifier(uri) = name {
                    Some(uri.to_string())
                } else {
                    None
                }
            })
            .collect();
        let spki = tbs.subject_public_key_info();
        let mut jwk = jwk::of(spki, "x509-svid")
            .ok_or("has a certificate whose key is neither RSA nor on a NIST curve")?;
        if let Some(members) = jwk.as_object_mut() {
            members.insert("x5c".to_owned(), serde_json::json!([BASE64.encode(&der)]));
        }
        let validity = tbs.validity();
        Ok(Self {
            begins: Timestamp::from_secs(validity.not_before.to_unix_duration().as_secs()),
            ends: Timestamp::from_secs(validity.not_after.to_unix_duration().as_secs()),
            key: spki
                .to_der()
                .map_err(|_| "has a certificate with a malformed key")?,
            path_len: path_len_constraint,
            uris,
            jwk,
            der,
        })
    }

    /// All certificates of a PEM text, 1 to `most`.
    pub(super) fn all(pem: &str, most: usize) -> Result<Vec<Self>, &'static str> {
        let found = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|der| Self::parse(der.map_err(|_| "is not certificates in PEM")?))
            .collect::<Result<Vec<_>, _>>()?;
        match found.len() {
            0 => Err("has no certificate in PEM"),
            many if many > most => Err("has more certificates than are taken"),
            _ => Ok(found),
        }
    }

    pub(super) fn pem(&self) -> String {
        pem(&self.der)
    }
}

/// A certificate as PEM (RFC 7468).
pub(crate) fn pem(der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// Whether `leaf` leads through `intermediates` to one of `roots`, in the eyes of the verifier that hosts use, at that moment.
pub(super) fn verify<'c>(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: impl IntoIterator<Item = &'c CaCertificate>,
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der.clone())?;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(leaf)?,
        &store,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs())),
        provider.signature_verification_algorithms.all,
    )
}
