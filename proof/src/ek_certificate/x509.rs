//! A certificate read as loosely as real EK certificates need (RFC 5280 §4.1).
//!
//! Names stay raw bytes and are only compared: makers encode them in ways that strict parsers refuse. What is signed is
//! the original encoding.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Encode, Sequence, SliceReader};
use holdfast_protocol::{Sha256Digest, Timestamp};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::Validity;

use super::EkCertificateError;
use crate::hash::sha256;
use crate::tpm::PublicKey;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

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
    /// What the signature covers.
    pub(super) signed: Vec<u8>,
    pub(super) signature_algorithm: Vec<u8>,
    pub(super) signature: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    validity: Validity,
    pub(super) spki: Vec<u8>,
    extensions: Vec<Extension>,
}

/// Certificate (RFC 5280 §4.1).
#[derive(Sequence)]
struct Outer<'a> {
    tbs: AnyRef<'a>,
    signature_algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// TBSCertificate, with everything raw that is only compared or handed on.
#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(context_specific = "0", default = "v1", tag_mode = "EXPLICIT")]
    version: u8,
    _serial: AnyRef<'a>,
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
        let outer = Outer::from_der(bytes)?;
        let tbs: Tbs<'_> = outer.tbs.decode_as()?;
        let signature_algorithm = outer.signature_algorithm.to_der()?;
        // A signature is whole bytes; with unused bits, one signature would have several spellings.
        let signature = outer
            .signature
            .as_bytes()
            .ok_or(der::Tag::BitString.value_error())?
            .to_vec();
        if tbs.signature.to_der()? != signature_algorithm || tbs.version > 2 {
            return Err(der::Tag::Sequence.value_error().into());
        }
        let extensions = tbs.extensions.unwrap_or_default();
        for (index, extension) in extensions.iter().enumerate() {
            // An extension that stands twice could be read one way by one reader and another way by the next.
            if extensions
                .iter()
                .skip(index + 1)
                .any(|other| other.extn_id == extension.extn_id)
            {
                return Err(der::Tag::Sequence.value_error().into());
            }
        }
        Ok(Self {
            der: bytes.to_vec(),
            signed: outer.tbs.to_der()?,
            signature_algorithm,
            signature,
            issuer: tbs.issuer.to_der()?,
            subject: tbs.subject.to_der()?,
            validity: tbs.validity,
            spki: tbs.spki.to_der()?,
            extensions,
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

    pub(super) fn algorithm(&self) -> Option<AlgorithmIdentifierRef<'_>> {
        AlgorithmIdentifierRef::from_der(&self.signature_algorithm).ok()
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
        let subject = issuer
            .extension::<SubjectKeyIdentifier>(SUBJECT_KEY_ID)
            .ok()
            .flatten();
        matches!((authority, subject), (Some(wanted), Some(SubjectKeyIdentifier(found))) if wanted == found)
    }

    fn check_critical(&self) -> Result<(), EkCertificateError> {
        let unknown = self
            .extensions
            .iter()
            .find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.extn_id));
        match unknown {
            Some(extension) => Err(EkCertificateError::CriticalExtension(extension.extn_id)),
            None => Ok(()),
        }
    }

    fn extension<'a, T: Decode<'a>>(
        &'a self,
        id: ObjectIdentifier,
    ) -> Result<Option<T>, EkCertificateError> {
        self.extensions
            .iter()
            .find(|extension| extension.extn_id == id)
            .map(|extension| T::from_der(extension.extn_value.as_bytes()))
            .transpose()
            .map_err(|_| EkCertificateError::Malformed("extensions"))
    }
}

/// TCG_PCCLIENT_STORED_CERT (PC Client Implementation for TPM 1.2 §8.4): tag 0x1001, type 0 and a 16-bit length.
fn without_tcg_header(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0x10, 0x01, 0x00, _, _, certificate @ ..] => certificate,
        _ => bytes,
    }
}

/// The first DER element, without what follows it.
fn first_element(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let element = AnyRef::decode(&mut reader).ok()?;
    // Nothing is lost when it is encoded again: the reader takes only the one length encoding that DER allows.
    element.to_der().ok()
}
