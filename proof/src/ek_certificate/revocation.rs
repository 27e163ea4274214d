//! Certificate revocation lists (RFC 5280 §5), as files that the operator keeps up to date.
//!
//! Never fetched here. Complete lists alone are taken: a delta, or one that speaks for another issuer, has a critical extension
//! and is refused rather than read as less than it says.

use std::collections::BTreeMap;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Encode, Sequence};
use holdfast_protocol::Timestamp;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlReason};
use x509_cert::time::Time;

use super::signed::{Signed, check_critical, distinct, extension, first_element};
use super::x509::AUTHORITY_KEY_ID;
use super::{Certificate, EkCertificateError, signature};

const REASON: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");

/// What a path is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// No list is looked at.
    Off,
    /// Where an issuer has lists, one of them has to be current and none may name the certificate.
    WhereThereIsOne(Vec<RevocationList>),
    /// As that, and every issuer on the path has to have one.
    Require(Vec<RevocationList>),
}

/// A parsed list, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    name: String,
    signed: Signed,
    issuer: Vec<u8>,
    this_update: Time,
    next_update: Time,
    revoked: BTreeMap<Vec<u8>, CrlReason>,
    extensions: Extensions,
}

/// TBSCertList (RFC 5280 §5.1.2), whose nextUpdate that profile requires.
#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(optional = "true")]
    version: Option<u8>,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Time,
    #[asn1(optional = "true")]
    revoked: Option<Vec<Entry<'a>>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct Entry<'a> {
    serial: AnyRef<'a>,
    _date: Time,
    #[asn1(optional = "true")]
    extensions: Option<Extensions>,
}

impl RevocationList {
    /// The largest list that is read, in bytes.
    pub const MAX: usize = 4 << 20;

    /// Parses a list in DER; `name` is what an error calls it.
    ///
    /// # Errors
    /// [`EkCertificateError`] if it is no complete list, or says something critical that is not understood.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, EkCertificateError> {
        if bytes.len() > Self::MAX {
            return Err(EkCertificateError::Malformed("length"));
        }
        let der = first_element(bytes).ok_or(EkCertificateError::Malformed("encoding"))?;
        let malformed = |_| EkCertificateError::Malformed("structure");
        let (signed, content) = Signed::read(&der).map_err(malformed)?;
        let tbs: Tbs<'_> = content.decode_as().map_err(malformed)?;
        signed.check_algorithm(tbs.signature).map_err(malformed)?;
        if tbs.version.is_some_and(|version| version != 1) {
            return Err(EkCertificateError::Malformed("version"));
        }
        let extensions = distinct(tbs.extensions).map_err(malformed)?;
        check_critical(&extensions, &[])?;
        let mut revoked = BTreeMap::new();
        for entry in tbs.revoked.unwrap_or_default() {
            let about = distinct(entry.extensions).map_err(malformed)?;
            check_critical(&about, &[REASON])?;
            let reason = extension(&about, REASON)?.unwrap_or(CrlReason::Unspecified);
            revoked.insert(entry.serial.to_der().map_err(malformed)?, reason);
        }
        Ok(Self {
            name: name.to_owned(),
            signed,
            issuer: tbs.issuer.to_der().map_err(malformed)?,
            this_update: tbs.this_update,
            next_update: tbs.next_update,
            revoked,
            extensions,
        })
    }

    /// Whether it says that it is by `issuer`: by name, and by the key's identifier where both have one.
    fn names(&self, issuer: &Certificate) -> bool {
        let wanted = extension::<AuthorityKeyIdentifier>(&self.extensions, AUTHORITY_KEY_ID)
            .ok()
            .flatten()
            .and_then(|id| id.key_identifier);
        let other_key =
            matches!((wanted, issuer.key_id()), (Some(wanted), Some(found)) if wanted != found);
        issuer.has_subject(&self.issuer) && !other_key
    }

    fn is_current(&self, now: Timestamp) -> bool {
        let now = std::time::Duration::from_millis(now.as_millis());
        self.this_update.to_unix_duration() <= now && now <= self.next_update.to_unix_duration()
    }
}

impl Revocation {
    /// Checks that `certificate`, which `issuer` has signed, was not revoked.
    pub(super) fn check(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now: Timestamp,
        signatures_left: &mut usize,
    ) -> Result<(), EkCertificateError> {
        let lists = match self {
            Self::Off => return Ok(()),
            Self::WhereThereIsOne(lists) | Self::Require(lists) => lists,
        };
        let mut expired = None;
        let mut current = false;
        for list in lists.iter().filter(|list| list.names(issuer)) {
            *signatures_left = signatures_left
                .checked_sub(1)
                .ok_or(EkCertificateError::NoPath)?;
            if !issuer.may_sign_lists()? || signature::verify(&list.signed, issuer).is_err() {
                return Err(EkCertificateError::ForgedList(list.name.clone()));
            }
            // An old list cannot say that a certificate is good, but that it was revoked stays true.
            if let Some(reason) = list.revoked.get(certificate.serial()) {
                return Err(EkCertificateError::Revoked {
                    list: list.name.clone(),
                    reason: words(*reason),
                });
            }
            if list.is_current(now) {
                current = true;
            } else {
                expired.get_or_insert_with(|| list.name.clone());
            }
        }
        match (current, expired, self) {
            (true, _, _) | (false, None, Self::Off | Self::WhereThereIsOne(_)) => Ok(()),
            (false, Some(list), _) => Err(EkCertificateError::ExpiredList(list)),
            (false, None, Self::Require(_)) => Err(EkCertificateError::NoList),
        }
    }
}

fn words(reason: CrlReason) -> &'static str {
    match reason {
        CrlReason::Unspecified => "no reason given",
        CrlReason::KeyCompromise => "its key was compromised",
        CrlReason::CaCompromise => "its issuer was compromised",
        CrlReason::AffiliationChanged => "its affiliation changed",
        CrlReason::Superseded => "it was superseded",
        CrlReason::CessationOfOperation => "it is out of operation",
        CrlReason::CertificateHold => "it is on hold",
        CrlReason::RemoveFromCRL => "it is said to be removed from the list",
        CrlReason::PrivilegeWithdrawn => "its privilege was withdrawn",
        CrlReason::AaCompromise => "its attribute authority was compromised",
    }
}
