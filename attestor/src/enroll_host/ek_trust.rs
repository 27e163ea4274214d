//! What vouches for an EK: a vendor's certificate, an operator's list, an operator's token; in that
//! order, and one is enough.
//!
//! A certificate that fails is not forgiven: it just vouches for nothing.

use holdfast_proof::ek_certificate::{self, Certificate, EkCertificateError, VouchedEk};
use holdfast_proof::tpm::Public;
use holdfast_protocol::Timestamp;
use holdfast_protocol::words::with_causes;

use super::{EnrollmentPolicy, JoinRefused, JoinRequest, Reason, UnknownHosts};
use crate::ek_hashes::ListedEk;
use crate::registry::{EkFingerprint, EkTrust, TokenHash};

/// A host whose EK is in question.
pub(super) struct Asking<'a> {
    pub(super) ek: &'a Public,
    pub(super) fingerprint: EkFingerprint,
    pub(super) request: &'a JoinRequest,
    /// What the operator's list says of this EK.
    pub(super) listed: Option<&'a ListedEk>,
    pub(super) token: Option<TokenHash>,
}

pub(super) fn judge(
    asking: &Asking<'_>,
    policy: &EnrollmentPolicy,
    now: Timestamp,
) -> Result<EkTrust, JoinRefused> {
    let certificate = match by_certificate(asking.ek, asking.request, policy, now) {
        Ok(()) => return Ok(EkTrust::Certificate),
        Err(why) => why,
    };
    let list = match by_list(asking, policy) {
        Ok(()) => return Ok(EkTrust::AllowList),
        Err(why) => why,
    };
    if asking.token.is_some() {
        return Ok(EkTrust::Token);
    }
    let reason = match policy.unknown {
        UnknownHosts::Refuse => Reason::EkTrust,
        UnknownHosts::Pending => Reason::Pending,
    };
    Err(JoinRefused::new(
        reason,
        format!("{certificate}; {list}; no token came along"),
    ))
}

fn by_list(asking: &Asking<'_>, policy: &EnrollmentPolicy) -> Result<(), String> {
    let (ek, name) = (asking.fingerprint, &asking.request.name);
    if policy.allowed.contains(&ek) {
        return Ok(());
    }
    match asking.listed.map(|listed| &listed.host_name) {
        None => Err(format!("ek {ek} is not on the allow list")),
        Some(Some(bound)) if bound != name => Err(format!(
            "ek {ek} is listed for `{bound}`, the host calls itself `{name}`"
        )),
        Some(_) => Ok(()),
    }
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
