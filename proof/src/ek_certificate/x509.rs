//! A certificate read as loosely as real EK certificates need (RFC 5280 §4.1).
//!
//! Names stay raw bytes and are only compared: makers encode them in ways that strict parsers refuse. What is signed is
//! the original encoding.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};
use holdfast_protocol::{Sha256Digest, Timestamp};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::time::Validity;

use super::EkCertificateError;
use super::signed::{self, Signed, distinct, first_element};
use crate::hash::sha256;
use crate::tpm::PublicKey;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
pub(super) const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// The critical extensions that are processed here, or that restrict nothing that is decided here: SAN names the TPM's model,
/// and policies are not required.
const UNDERSTOOD: [ObjectIdentifier; 5] = [
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    CERTIFICATE_POLICIES,
];

/// A parsed certificate, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    pub(super) signed: Signed,
    /// The serial number, as its DER element: makers have longer ones than RFC 5280 allows.
    serial: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) validity: Validity,
    pub(super) spki: Vec<u8>,
    extensions: Vec<Extension>,
}

/// TBSCertificate, with everything raw that is only compared or handed on.
#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(context_specific = "0", default = "v1", tag_mode = "EXPLICIT")]
    version: u8,
    serial: AnyRef<'a>,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    _issuer_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    _subject_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

fn v1() -> u8 {
    0
}

impl Certificate {
    /// The largest certificate that is read, in bytes, with what follows it.
    pub const MAX: usize = 16 * 1024;

    /// Parses a certificate as it lies in a file or in NV: DER, maybe behind the header of a TCG_PCCLIENT_STORED_CERT, maybe
    /// followed by the rest of its NV index.
    pub fn parse(bytes: &[u8]) -> Result<Self, EkCertificateError> {
        if bytes.len() > Self::MAX {
            return Err(EkCertificateError::Malformed("length"));
        }
        let der = first_element(without_tcg_header(bytes))
            .ok_or(EkCertificateError::Malformed("encoding"))?;
        Self::read(&der).map_err(|_| EkCertificateError::Malformed("structure"))
    }

    fn read(bytes: &[u8]) -> der::Result<Self> {
        let (signed, content) = Signed::read(bytes)?;
        let tbs: Tbs<'_> = content.decode_as()?;
        signed.check_algorithm(tbs.signature)?;
        if tbs.version > 2 {
            return Err(der::Tag::Sequence.value_error().into());
        }
        Ok(Self {
            der: bytes.to_vec(),
            signed,
            serial: tbs.serial.to_der()?,
            issuer: tbs.issuer.to_der()?,
            subject: tbs.subject.to_der()?,
            validity: tbs.validity,
            spki: tbs.spki.to_der()?,
            extensions: distinct(tbs.extensions)?,
        })
    }

    /// The certificate itself, without what came before and after it.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Sha256Digest {
        sha256(&self.der)
    }

    /// The certified key; `None` if it is of a kind that no EK has.
    pub fn key(&self) -> Option<PublicKey> {
        PublicKey::from_spki_der(&self.spki)
    }

    pub(super) fn serial(&self) -> &[u8] {
        &self.serial
    }

    pub(super) fn has_subject(&self, name: &[u8]) -> bool {
        self.subject == name
    }

    /// The identifier of its key, where it names one.
    pub(super) fn key_id(&self) -> Option<OctetString> {
        self.extension::<SubjectKeyIdentifier>(SUBJECT_KEY_ID)
            .ok()
            .flatten()
            .map(|id| id.0)
    }

    /// Whether its key usage allows revocation lists (RFC 5280 §4.2.1.3).
    pub(super) fn may_sign_lists(&self) -> Result<bool, EkCertificateError> {
        let usage = self.extension::<KeyUsage>(KEY_USAGE)?;
        Ok(usage.is_none_or(|usage| usage.crl_sign()))
    }

    pub(super) fn check_validity(&self, now: Timestamp) -> Result<(), EkCertificateError> {
        let now = std::time::Duration::from_millis(now.as_millis());
        let from = self.validity.not_before.to_unix_duration();
        let until = self.validity.not_after.to_unix_duration();
        if from <= now && now <= until {
            Ok(())
        } else {
            Err(EkCertificateError::Validity)
        }
    }

    /// Checks the extensions of an end entity that must have this extended key usage, if it has any.
    pub(super) fn check_leaf(&self, usage: ObjectIdentifier) -> Result<(), EkCertificateError> {
        self.check_critical()?;
        let ca = self
            .extension::<BasicConstraints>(BASIC_CONSTRAINTS)?
            .is_some_and(|constraints| constraints.ca);
        let other_usage = self
            .extension::<ExtendedKeyUsage>(EXTENDED_KEY_USAGE)?
            .is_some_and(|usages| !usages.0.contains(&usage));
        if ca || other_usage {
            return Err(EkCertificateError::NotAnEkCertificate);
        }
        Ok(())
    }

    /// Checks that this is a CA that may have `below` intermediate CAs between itself and the end entity.
    pub(super) fn check_issuer(&self, below: usize) -> Result<(), EkCertificateError> {
        self.check_critical()?;
        let constraints = self
            .extension::<BasicConstraints>(BASIC_CONSTRAINTS)?
            .filter(|constraints| constraints.ca)
            .ok_or(EkCertificateError::NotEntitled)?;
        let too_long = constraints
            .path_len_constraint
            .is_some_and(|limit| below > usize::from(limit));
        let unusable = self
            .extension::<KeyUsage>(KEY_USAGE)?
            .is_some_and(|usage| !usage.key_cert_sign());
        if too_long || unusable {
            return Err(EkCertificateError::NotEntitled);
        }
        Ok(())
    }

    /// Whether this certificate names `issuer` as its issuer, by name or by key identifier. Some makers encode one name in two
    /// ways; the signature decides.
    pub(super) fn names_issuer(&self, issuer: &Self) -> bool {
        if self.issuer == issuer.subject {
            return true;
        }
        let authority = self
            .extension::<AuthorityKeyIdentifier>(AUTHORITY_KEY_ID)
            .ok()
            .flatten()
            .and_then(|id| id.key_identifier);
        matches!((authority, issuer.key_id()), (Some(wanted), Some(found)) if wanted == found)
    }

    fn check_critical(&self) -> Result<(), EkCertificateError> {
        signed::check_critical(&self.extensions, &UNDERSTOOD)
    }

    fn extension<'a, T: Decode<'a>>(
        &'a self,
        id: ObjectIdentifier,
    ) -> Result<Option<T>, EkCertificateError> {
        signed::extension(&self.extensions, id)
    }
}

/// TCG_PCCLIENT_STORED_CERT (PC Client Implementation for TPM 1.2 §8.4): tag 0x1001, type 0 and a 16-bit length.
fn without_tcg_header(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0x10, 0x01, 0x00, _, _, certificate @ ..] => certificate,
        _ => bytes,
    }
}
