//! What vouches for an EK: a vendor's certificate, an operator's list, an operator's token; in that
//! order, and one is enough.
//!
//! A certificate that fails is not forgiven: it just vouches for nothing.

use holdfast_proof::ek_certificate::{self, Certificate, EkCertificateError};
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
    if policy.roots.is_empty() {
        return Err("no vendor's root is configured".to_owned());
    }
    let untrusted =
        |error: EkCertificateError| format!("its ek certificate: {}", with_causes(&error));
    let certificate = Certificate::parse(&request.ek_certificate).map_err(untrusted)?;
    let mut intermediates = policy.intermediates.clone();
    for bytes in &request.ek_intermediates {
        intermediates.push(Certificate::parse(bytes).map_err(untrusted)?);
    }
    ek_certificate::verify(
        &certificate,
        ek,
        &intermediates,
        &policy.roots,
        &policy.revocation,
        now,
    )
    .map(|_| ())
    .map_err(untrusted)
}
