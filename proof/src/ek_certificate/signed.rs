//! The outer form that certificates and revocation lists share (RFC 5280 §4.1.1, §5.1.1), and their extensions.
//!
//! What is signed is the original encoding; nothing here decides whether it is believed.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Encode, Sequence, SliceReader};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::EkCertificateError;

/// What is signed, and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) content: Vec<u8>,
    algorithm: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

#[derive(Sequence)]
struct Outer<'a> {
    content: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

impl Signed {
    /// Takes the outer form apart; what is signed comes along as its element.
    pub(super) fn read(bytes: &[u8]) -> der::Result<(Self, AnyRef<'_>)> {
        let outer = Outer::from_der(bytes)?;
        let signed = Self {
            content: outer.content.to_der()?,
            algorithm: outer.algorithm.to_der()?,
            // A signature is whole bytes; with unused bits, one signature would have several spellings.
            signature: outer
                .signature
                .as_bytes()
                .ok_or(der::Tag::BitString.value_error())?
                .to_vec(),
        };
        Ok((signed, outer.content))
    }

    /// Checks that the algorithm inside of what is signed is the one outside.
    pub(super) fn check_algorithm(&self, inside: AnyRef<'_>) -> der::Result<()> {
        if inside.to_der()? == self.algorithm {
            Ok(())
        } else {
            Err(der::Tag::Sequence.value_error().into())
        }
    }

    pub(super) fn algorithm(&self) -> Option<AlgorithmIdentifierRef<'_>> {
        AlgorithmIdentifierRef::from_der(&self.algorithm).ok()
    }
}

/// Refuses an extension that stands twice: it could be read one way by one reader and another way by the next.
pub(super) fn distinct(extensions: Option<Extensions>) -> der::Result<Extensions> {
    let extensions = extensions.unwrap_or_default();
    for (index, extension) in extensions.iter().enumerate() {
        if extensions
            .iter()
            .skip(index + 1)
            .any(|other| other.extn_id == extension.extn_id)
        {
            return Err(der::Tag::Sequence.value_error().into());
        }
    }
    Ok(extensions)
}

/// The value of an extension, if it is there.
pub(super) fn extension<'a, T: Decode<'a>>(
    extensions: &'a [Extension],
    id: ObjectIdentifier,
) -> Result<Option<T>, EkCertificateError> {
    extensions
        .iter()
        .find(|extension| extension.extn_id == id)
        .map(|extension| T::from_der(extension.extn_value.as_bytes()))
        .transpose()
        .map_err(|_| EkCertificateError::Malformed("extensions"))
}

/// Refuses critical extensions that are not among those `understood`.
pub(super) fn check_critical(
    extensions: &[Extension],
    understood: &[ObjectIdentifier],
) -> Result<(), EkCertificateError> {
    let unknown = extensions
        .iter()
        .find(|extension| extension.critical && !understood.contains(&extension.extn_id));
    match unknown {
        Some(extension) => Err(EkCertificateError::CriticalExtension(extension.extn_id)),
        None => Ok(()),
    }
}

/// The first DER element, without what follows it.
pub(super) fn first_element(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let element = AnyRef::decode(&mut reader).ok()?;
    // Nothing is lost when it is encoded again: the reader takes only the one length encoding that DER allows.
    element.to_der().ok()
}
