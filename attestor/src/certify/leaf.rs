//! Leaf certificates: X.509-SVIDs (SPIFFE X509-SVID §2 to §5).
//!
//! Each has one URI name, may sign no other, and is read back with the verifier's own eyes before it
//! leaves.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::svid::Svid;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::Deserialize;

use super::ca::Ca;
use super::{CertifyError, X509Svid};
use crate::random;

/// How far a certificate begins before now: hosts whose clocks are behind use it at once.
pub(super) const SKEW: Duration = Duration::from_secs(60);

/// The shortest life of an SVID, where the authority's own end cuts it.
const SHORTEST: Duration = Duration::from_secs(60);

/// A DNS name or IP address by which clients without SPIFFE reach the attestor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerName(SanType);

/// The text is neither a DNS name nor an IP address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a dns name nor an ip address")]
pub struct InvalidServerName(String);

impl FromStr for ServerName {
    type Err = InvalidServerName;

    fn from_str(text: &str) -> Result<Self, InvalidServerName> {
        let refused = || InvalidServerName(text.chars().take(80).collect());
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(SanType::IpAddress(address)));
        }
        rustls::pki_types::DnsName::try_from(text).map_err(|_| refused())?;
        let name = text.to_owned().try_into().map_err(|_| refused())?;
        Ok(Self(SanType::DnsName(name)))
    }
}

impl TryFrom<String> for ServerName {
    type Error = InvalidServerName;

    fn try_from(text: String) -> Result<Self, InvalidServerName> {
        text.parse()
    }
}

/// Signs an X.509-SVID for a key. It ends no later than the authority.
pub(super) fn sign(
    ca: &Ca,
    id: &SpiffeId,
    names: &[ServerName],
    spki_der: &[u8],
    ttl: Duration,
    now: Timestamp,
) -> Result<X509Svid, CertifyError> {
    let ends = (now + ttl).min(ca.not_after());
    // What ends at once is of use to nobody, and would be renewed without end.
    if ends < now + ttl.min(SHORTEST) {
        return Err(CertifyError::Expired);
    }
    let leaf = certificate(ca.issuer(), id, names, spki_der, [now - SKEW, ends])?;
    let svid = Svid::parse(&leaf)?;
    let chain = std::iter::once(leaf).chain(ca.intermediates());
    Ok(X509Svid {
        chain: chain.map(|certificate| certificate.to_vec()).collect(),
        svid,
    })
}

/// A leaf's certificate, from one moment to another.
pub(super) fn certificate(
    issuer: &Issuer<'static, KeyPair>,
    id: &SpiffeId,
    names: &[ServerName],
    spki_der: &[u8],
    [begins, ends]: [Timestamp; 2],
) -> Result<CertificateDer<'static>, CertifyError> {
    let mut params = CertificateParams::default();
    // An empty subject makes the names critical (RFC 5280 §4.2.1.6).
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
    params
        .subject_alt_names
        .extend(names.iter().map(|name| name.0.clone()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial()?);
    set_validity(&mut params, begins, ends);
    let key = SubjectPublicKeyInfo::from_der(spki_der)?;
    Ok(params.signed_by(&key, issuer)?.der().clone())
}

/// Makes a key for the attestor's own TLS, and its certificate.
pub(super) fn server_identity(
    ca: &Ca,
    trust_domain: &TrustDomain,
    names: &[ServerName],
    ttl: Duration,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, CertifyError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let id = SpiffeId::attestor(trust_domain);
    let signed = sign(ca, &id, names, &key.subject_public_key_info(), ttl, now)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = any_ecdsa_type(&private).map_err(|_| CertifyError::Crypto("loading a tls key"))?;
    let mut chain: Vec<_> = signed.chain.into_iter().map(CertificateDer::from).collect();
    if !chain.contains(ca.certificate()) {
        chain.push(ca.certificate().clone());
    }
    Ok(Arc::new(CertifiedKey::new(chain, signer)))
}

/// A serial number: 127 random bits, positive (RFC 5280 §4.1.2.2).
pub(super) fn serial() -> Result<SerialNumber, CertifyError> {
    let mut bytes: [u8; 16] = random::bytes()?;
    // A set bit behind the sign bit keeps every serial number positive and equally long.
    let [first, ..] = &mut bytes;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// Sets when a certificate begins and ends, in whole seconds.
pub(super) fn set_validity(params: &mut CertificateParams, begins: Timestamp, ends: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(begins.as_secs());
    params.not_after = epoch + Duration::from_secs(ends.as_secs());
}
