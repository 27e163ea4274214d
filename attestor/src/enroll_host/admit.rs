//! The first move: who asks, and whether anything vouches for their EK.
//!
//! It must never take the host's word for more than its name and its claim of a grade.

use holdfast_proof::tpm::{MalformedStructure, Public};
use holdfast_protocol::Timestamp;
use holdfast_protocol::grade::Grade;

use super::{
    Admitted, EnrollmentPolicy, JoinRefused, JoinRequest, Reason, Simulated, TokenStanding,
    ek_trust,
};
use crate::attestation_key::AttestationKey;
use crate::ek_hashes::ListedEk;
use crate::registry::{EkFingerprint, HostName, TokenHash};

/// Judges whether a host may prove its TPM. `listed` is what the operator's list says of its EK, if it does.
///
/// # Errors
/// [`JoinRefused`] with the reason if not.
pub fn admit(
    request: &JoinRequest,
    token: &TokenStanding,
    listed: Option<&ListedEk>,
    policy: &EnrollmentPolicy,
    now: Timestamp,
) -> Result<Admitted, JoinRefused> {
    grade(request.grade, policy.simulated)?;
    let ek = public("ek", &request.ek)?;
    let ak = public("ak", &request.ak)?;
    if !ek.attributes().is_bound_storage_key() {
        return Err(JoinRefused::new(
            Reason::EkAttributes,
            format!(
                "attributes {:#010x} are not those of an endorsement key: restricted, decrypt, \
                 fixedTPM, fixedParent, sensitiveDataOrigin, and not sign",
                ek.attributes().bits()
            ),
        ));
    }
    AttestationKey::new(&ek, &ak).map_err(|error| JoinRefused::new(Reason::AkAttributes, error))?;
    let Some(fingerprint) = ek.key().map(|key| EkFingerprint::of(&key)) else {
        return Err(JoinRefused::new(
            Reason::EkAttributes,
            "an endorsement key is an asymmetric key",
        ));
    };
    let token = usable(token, &request.name, fingerprint)?;
    let asking = ek_trust::Asking {
        ek: &ek,
        fingerprint,
        request,
        listed: listed.filter(|listed| listed.ek == fingerprint),
        token,
    };
    let trust = ek_trust::judge(&asking, policy, now)?;
    Ok(Admitted {
        ek,
        ak,
        name: request.name.clone(),
        grade: request.grade,
        trust,
        token,
    })
}

fn grade(grade: Grade, simulated: Simulated) -> Result<(), JoinRefused> {
    match (grade, simulated) {
        (Grade::Hardware, Simulated::Accept | Simulated::Refuse)
        | (Grade::Simulated, Simulated::Accept) => Ok(()),
        (Grade::Simulated, Simulated::Refuse) => Err(JoinRefused::new(
            Reason::Grade,
            "the host's TPM is simulated, which this attestor's policy does not accept",
        )),
        (Grade::Contained, Simulated::Accept | Simulated::Refuse) => Err(JoinRefused::new(
            Reason::Grade,
            "a contained installation has no TPM to enroll",
        )),
    }
}

fn public(what: &str, bytes: &[u8]) -> Result<Public, JoinRefused> {
    Public::parse(bytes).map_err(|error: MalformedStructure| {
        JoinRefused::new(Reason::Structure, format!("{what}: {error}"))
    })
}

/// A token that came along has to be good, even where the EK is trusted without it: a bad one means
/// that the operator's intent is not what the host believes.
fn usable(
    token: &TokenStanding,
    name: &HostName,
    ek: EkFingerprint,
) -> Result<Option<TokenHash>, JoinRefused> {
    match token {
        TokenStanding::Absent => Ok(None),
        TokenStanding::Usable(record) => {
            if let Some(bound) = record.host_name.as_ref().filter(|bound| *bound != name) {
                return Err(JoinRefused::new(
                    Reason::Token,
                    format!("the token was made for `{bound}`, the host calls itself `{name}`"),
                ));
            }
            if let Some(bound) = record.ek.filter(|bound| *bound != ek) {
                return Err(JoinRefused::new(
                    Reason::Token,
                    format!("the token was made for the ek {bound}, the host's is {ek}"),
                ));
            }
            Ok(Some(record.hash))
        }
        TokenStanding::Unusable => Err(JoinRefused::new(
            Reason::Token,
            "the token is not of this attestor, has expired, or was used",
        )),
    }
}
