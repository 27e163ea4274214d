//! Why an EK is not vouched for.

use der::asn1::ObjectIdentifier;

/// Why an EK certificate or its path is refused. The host that sent it is to blame, or, where no path is found, the operator
/// whose roots lack its maker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EkCertificateError {
    /// Not a certificate, or above the size limit.
    #[error("the `{0}` of the certificate is malformed")]
    Malformed(&'static str),
    /// The public area is not one of an EK.
    #[error("the key is not a storage key that is bound to its tpm")]
    NotAnEk,
    /// The certificate is one of another key.
    #[error("the certificate is one of another key")]
    OtherKey,
    /// Its extensions make it something else than an EK certificate.
    #[error("the certificate is not one of an endorsement key")]
    NotAnEkCertificate,
    /// A critical extension that nobody here processes.
    #[error("the critical extension {0} is not understood")]
    CriticalExtension(ObjectIdentifier),
    /// Not valid yet, or not any more.
    #[error("a certificate is outside its validity")]
    Validity,
    /// Signed with an algorithm that is not accepted, such as one with SHA-1.
    #[error("the signature algorithm {0} is not accepted")]
    Algorithm(ObjectIdentifier),
    /// The signature is not one by the issuer that the certificate names.
    #[error("the signature of a certificate does not verify")]
    Signature,
    /// The issuer may not issue it: not a CA, without the usage, or too long a path.
    #[error("an issuer is not entitled to issue the certificate")]
    NotEntitled,
    /// An issuer has revoked a certificate.
    #[error("a certificate is revoked by the list `{list}`: {reason}")]
    Revoked {
        /// The list's name.
        list: String,
        /// The issuer's reason, in words.
        reason: &'static str,
    },
    /// A revocation list is older than it may be, or not valid yet.
    #[error("the revocation list `{0}` is outside its validity")]
    ExpiredList(String),
    /// A revocation list was not signed by the issuer that it names, or that issuer may not sign lists.
    #[error("the revocation list `{0}` is not signed by its issuer")]
    ForgedList(String),
    /// Policy wants a revocation list of every issuer, and one has none.
    #[error("there is no revocation list of an issuer")]
    NoList,
    /// No issuer is known.
    #[error("no path leads to a trusted root")]
    NoPath,
}
