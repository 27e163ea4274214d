//! What vouches for an EK: a vendor's certificate, an operator's list, an operator's token; in that
//! order, and one is enough.
//!
//! A certificate that fails is not forgiven: it just vouches for nothing.

use holdfast_proof::ek_certificate::{self, Certificate, EkCertificateError, VouchedEk};
use holdfast_proof::tpm::Public;
use holdfast_protocol::Timestamp;
use holdfast_protocol::words::with_causes;

use super::{EnrollmentPolicy, JoinRefused, JoinRequest, Reason};
use crate::registry::{EkFingerprint, EkTrust, TokenHash};

pub(super) fn judge(
    ek: &Public,
    request: &JoinRequest,
    policy: &EnrollmentPolicy,
    token: Option<TokenHash>,
    now: Timestamp,
) -> Result<EkTrust, JoinRefused> {
    let Some(key) = ek.key() else {
        return Err(JoinRefused::new(
            Reason::EkAttributes,
            "an endorsement key is an asymmetric key",
        ));
    };
    let fingerprint = EkFingerprint::of(&key);
    let certificate = match by_certificate(ek, request, policy, now) {
        Ok(()) => return Ok(EkTrust::Certificate),
        Err(why) => why,
    };
    if policy.allowed.contains(&fingerprint) {
        return Ok(EkTrust::AllowList);
    }
    if token.is_some() {
        return Ok(EkTrust::Token);
    }
    Err(JoinRefused::new(
        Reason::EkTrust,
        format!("{certificate}; ek {fingerprint} is not on the allow list; no token came along"),
    ))
}

fn by_certificate(
    ek: &Public,
    request: &JoinRequest,
    policy: &EnrollmentPolicy,
    now: Timestamp,
) -> Result<(), String> {
    if request.ek_certificate.is_empty() {
        return Err("the host has no ek certificate".to_owned());
    }
    let certificate = Certificate::parse(&request.ek_certificate).map_err(untrusted)?;
    let sent = request
        .ek_intermediates
        .iter()
        .map(|bytes| Certificate::parse(bytes).map_err(untrusted))
        .collect::<Result<Vec<_>, _>>()?;
    with_path(policy, &sent, |intermediates, roots| {
        let revocation = &policy.revocation;
        ek_certificate::verify(&certificate, ek, intermediates, roots, revocation, now)
    })
    .map(drop)
}

/// Judges an EK certificate as [`super::admit`] does, before any host has shown the key; `sent` are the certificates that
/// the host would send along.
///
/// # Errors
/// What the operator would read of the refusal.
pub fn judge_certificate(
    certificate: &Certificate,
    sent: &[Certificate],
    policy: &EnrollmentPolicy,
    now: Timestamp,
) -> Result<VouchedEk, String> {
    with_path(policy, sent, |intermediates, roots| {
        ek_certificate::verify_path(certificate, intermediates, roots, &policy.revocation, now)
    })
}

fn with_path(
    policy: &EnrollmentPolicy,
    sent: &[Certificate],
    verify: impl FnOnce(&[Certificate], &[Certificate]) -> Result<VouchedEk, EkCertificateError>,
) -> Result<VouchedEk, String> {
    if policy.roots.is_empty() {
        return Err("no vendor's root is configured".to_owned());
    }
    let intermediates = [policy.intermediates.as_slice(), sent].concat();
    verify(&intermediates, &policy.roots).map_err(untrusted)
}

fn untrusted(error: EkCertificateError) -> String {
    format!("its ek certificate: {}", with_causes(&error))
}
