//! What a certificate says of itself, in words for people.
//!
//! Nothing here is believed, and nothing decides: names are shown as their makers encoded them, as far as they can be read.

use std::fmt::{self, Write};

use der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, Sequence, SliceReader};
use holdfast_protocol::Timestamp;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::Time;

use super::signature::{EC_PUBLIC_KEY, P256, P384, P521, RSA_ENCRYPTION};
use super::{Certificate, EkCertificateError};

/// The longest name that is shown, in characters.
const MAX_NAME: usize = 256;

/// The kind and size of a certified key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWords {
    /// RSA, with so many bits.
    Rsa(usize),
    /// ECC on P-256, P-384 or P-521.
    Ecc(&'static str),
    /// A key that nothing here verifies with.
    Other,
}

impl fmt::Display for KeyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ecc(curve) => f.write_str(curve),
            Self::Other => f.write_str("other"),
        }
    }
}

/// RSAPublicKey (RFC 8017 §A.1.1).
#[derive(Sequence)]
struct RsaKey<'a> {
    modulus: UintRef<'a>,
    _exponent: UintRef<'a>,
}

impl Certificate {
    /// Whom it is about, as RFC 4514 writes names.
    pub fn subject_words(&self) -> String {
        name(&self.subject)
    }

    /// Who it says has issued it.
    pub fn issuer_words(&self) -> String {
        name(&self.issuer)
    }

    /// Whether it says that it issued itself, as roots do.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// When it begins to be valid.
    pub fn not_before(&self) -> Timestamp {
        timestamp(self.validity.not_before)
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        timestamp(self.validity.not_after)
    }

    /// What its key is.
    pub fn key_words(&self) -> KeyWords {
        key_words(&self.spki).unwrap_or(KeyWords::Other)
    }

    /// Checks that it may issue certificates, and is valid `now`: what is asked of a root before it is trusted.
    ///
    /// # Errors
    /// [`EkCertificateError`] if it may not, or is not.
    pub fn check_authority(&self, now: Timestamp) -> Result<(), EkCertificateError> {
        self.check_issuer(0)?;
        self.check_validity(now)
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_secs(time.to_unix_duration().as_secs())
}

fn key_words(spki: &[u8]) -> Option<KeyWords> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki).ok()?;
    match spki.algorithm.oid {
        RSA_ENCRYPTION => {
            let key = RsaKey::from_der(spki.subject_public_key.as_bytes()?).ok()?;
            let modulus = key.modulus.as_bytes();
            let unused = modulus.first()?.leading_zeros();
            (modulus.len() * 8)
                .checked_sub(usize::try_from(unused).ok()?)
                .map(KeyWords::Rsa)
        }
        EC_PUBLIC_KEY => match spki
            .algorithm
            .parameters?
            .decode_as::<ObjectIdentifier>()
            .ok()?
        {
            P256 => Some(KeyWords::Ecc("P-256")),
            P384 => Some(KeyWords::Ecc("P-384")),
            P521 => Some(KeyWords::Ecc("P-521")),
            _ => None,
        },
        _ => None,
    }
}

/// A name in DER for people's eyes: whatever could move a cursor or turn the direction of text is replaced.
fn name(der: &[u8]) -> String {
    let text =
        attributes(der).unwrap_or_else(|| format!("#{}", data_encoding::HEXLOWER.encode(der)));
    let plain = |c: char| c == ' ' || c.is_alphanumeric() || c.is_ascii_punctuation();
    text.chars()
        .map(|c| if plain(c) { c } else { '\u{fffd}' })
        .take(MAX_NAME)
        .collect()
}

/// The attributes of a name, the last one first. Sets out of order are read, too: some makers' roots have them.
fn attributes(der: &[u8]) -> Option<String> {
    let mut relative = Vec::new();
    for set in elements(der)? {
        let mut text = String::new();
        for attribute in elements(set)? {
            let attribute = AttributeTypeAndValue::from_der(attribute).ok()?;
            let separator = if text.is_empty() { "" } else { "+" };
            write!(text, "{separator}{attribute}").ok()?;
        }
        relative.push(text);
    }
    relative.reverse();
    Some(relative.join(","))
}

/// The elements within an element.
fn elements(der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = SliceReader::new(AnyRef::from_der(der).ok()?.value()).ok()?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(reader.tlv_bytes().ok()?);
    }
    Some(found)
}
