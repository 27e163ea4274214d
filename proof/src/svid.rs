//! X.509-SVIDs as a verifier reads them (SPIFFE X509-SVID §2 to §5).
//!
//! Reads names and shape; the signature chain is checked by whoever holds the authorities. It must
//! never accept a certificate that could sign others.

use der::{Decode, Encode};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::SpiffeId;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

/// A leaf certificate that is shaped as an X.509-SVID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svid {
    /// Its one URI SAN.
    pub spiffe_id: SpiffeId,
    /// Its serial number, lowercase hex.
    pub serial: String,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
}

/// A certificate is not an X.509-SVID.
#[derive(Debug, thiserror::Error)]
pub enum SvidError {
    /// Not a certificate at all.
    #[error("not an x.509 certificate")]
    Der(#[source] der::Error),
    /// An extension is malformed.
    #[error("an extension of the certificate is malformed")]
    Extension(#[source] der::Error),
    /// Not exactly one URI SAN.
    #[error("an x.509-svid has exactly one uri name, this has {0}")]
    UriNames(usize),
    /// The URI is not a SPIFFE ID.
    #[error("the certificate's uri name is not a spiffe id")]
    Name(#[source] holdfast_protocol::id::InvalidId),
    /// It could sign certificates.
    #[error("the certificate may sign others, which a leaf must not")]
    Authority,
    /// It has no key usage, or not the right one.
    #[error("the certificate's key usage is not that of an x.509-svid")]
    KeyUsage,
}

impl Svid {
    /// Reads a leaf certificate.
    ///
    /// # Errors
    /// [`SvidError`] if it is not one, or not an X.509-SVID.
    pub fn parse(der: &[u8]) -> Result<Self, SvidError> {
        let certificate = Certificate::from_der(der).map_err(SvidError::Der)?;
        let tbs = certificate.tbs_certificate();
        let basic = tbs
            .get_extension::<BasicConstraints>()
            .map_err(SvidError::Extension)?;
        if basic.is_some_and(|(_, basic)| basic.ca) {
            return Err(SvidError::Authority);
        }
        match tbs
            .get_extension::<KeyUsage>()
            .map_err(SvidError::Extension)?
        {
            Some((_, usage)) if usage.key_cert_sign() || usage.crl_sign() => {
                return Err(SvidError::Authority);
            }
            Some((true, usage)) if usage.digital_signature() => {}
            Some(_) | None => return Err(SvidError::KeyUsage),
        }
        let names = tbs
            .get_extension::<SubjectAltName>()
            .map_err(SvidError::Extension)?;
        let uris: Vec<String> = names
            .into_iter()
            .flat_map(|(_, names)| names.0)
            .filter_map(|name| {
                if let GeneralName::UniformResourceIdentifier(uri) = name {
                    Some(uri.to_string())
                } else {
                    None
                }
            })
            .collect();
        let [uri] = uris.as_slice() else {
            return Err(SvidError::UriNames(uris.len()));
        };
        let validity = tbs.validity();
        Ok(Self {
            spiffe_id: uri.parse().map_err(SvidError::Name)?,
            serial: data_encoding::HEXLOWER.encode(tbs.serial_number().as_bytes()),
            not_before: Timestamp::from_secs(validity.not_before.to_unix_duration().as_secs()),
            not_after: Timestamp::from_secs(validity.not_after.to_unix_duration().as_secs()),
            public_key: tbs
                .subject_public_key_info()
                .to_der()
                .map_err(SvidError::Der)?,
        })
    }
}
