//! The second move: the TPM opened the challenge, and vouches for checkpoint key and counter.
//!
//! It must never compare the secret in a way whose time tells how much of it was right.

use holdfast_proof::evidence::{ChannelBinding, enroll_binding};
use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::{
    Attest, Attested, ClockInfo, HashAlg, MalformedStructure, NvAttributes, NvIndexType, NvPublic,
    Public,
};
use holdfast_protocol::evidence::Signed;
use holdfast_protocol::words::with_causes;
use holdfast_protocol::{Sha256Digest, Timestamp};

use super::{JoinAnswer, JoinRefused, PendingEnrollment, Reason};
use crate::attestation_key::{AttestationKey, Unverified};
use crate::registry::{EnrolledHost, Observed};

/// Judges the answer to the challenge.
///
/// # Errors
/// [`JoinRefused`] with the reason if it is not what only this TPM could answer.
pub fn confirm(
    pending: PendingEnrollment,
    answer: &JoinAnswer,
    channel: &ChannelBinding,
    now: Timestamp,
) -> Result<EnrolledHost, JoinRefused> {
    if now >= pending.expires_at {
        return Err(JoinRefused::new(
            Reason::Challenge,
            "the challenge has expired",
        ));
    }
    // Both are digests, so their comparison tells nothing of the secret even without this care.
    aws_lc_rs::constant_time::verify_slices_are_equal(
        sha256(&answer.secret).as_bytes(),
        pending.secret.as_bytes(),
    )
    .map_err(|_| {
        JoinRefused::new(
            Reason::Secret,
            "the secret is not the one in the challenge: the AK does not live beside the EK",
        )
    })?;
    let ak = AttestationKey::new(&pending.ek, &pending.ak)
        .map_err(|error| JoinRefused::new(Reason::AkAttributes, error))?;
    let binding = enroll_binding(&pending.nonce, channel);

    let key_attest = certified(
        &ak,
        "checkpoint key",
        &answer.checkpoint_key_certified,
        binding,
    )?;
    let counter_attest = certified(
        &ak,
        "audit counter",
        &answer.audit_counter_certified,
        binding,
    )?;
    let checkpoint_key = checkpoint_key(&answer.checkpoint_key, &key_attest)?;
    let (audit_counter, value) = audit_counter(&answer.audit_counter, &counter_attest)?;
    let anchor = Observed {
        at: now,
        clock: later(key_attest.clock(), counter_attest.clock()),
        firmware: counter_attest.firmware_version(),
        audit_counter: value,
    };
    Ok(EnrolledHost {
        name: pending.name,
        grade: pending.grade,
        trust: pending.trust,
        ek: pending.ek,
        ak: pending.ak,
        checkpoint_key,
        audit_counter,
        anchor,
    })
}

fn certified(
    ak: &AttestationKey,
    what: &str,
    signed: &Signed,
    binding: Sha256Digest,
) -> Result<Attest, JoinRefused> {
    let unverified = Unverified::parse(signed).map_err(|error| {
        JoinRefused::new(
            Reason::Structure,
            format!("{what}'s certification: {error}"),
        )
    })?;
    ak.verify(&unverified).map_err(|error| {
        JoinRefused::new(
            Reason::Signature,
            format!("the {what}'s certification: {}", with_causes(&error)),
        )
    })?;
    if unverified.attest.extra_data() != binding.as_bytes() {
        return Err(JoinRefused::new(
            Reason::Binding,
            format!("the {what}'s certification is not of this nonce and connection"),
        ));
    }
    Ok(unverified.attest)
}

fn checkpoint_key(bytes: &[u8], attest: &Attest) -> Result<Public, JoinRefused> {
    let refused = |detail: String| JoinRefused::new(Reason::CheckpointKey, detail);
    let key = Public::parse(bytes).map_err(|error: MalformedStructure| {
        JoinRefused::new(Reason::Structure, format!("checkpoint key: {error}"))
    })?;
    match attest.attested() {
        Attested::Certify(certified) if certified.name == key.name() => {}
        Attested::Certify(certified) => {
            return Err(refused(format!(
                "certified is {}, shown is {}",
                certified.name,
                key.name()
            )));
        }
        Attested::Quote(_) | Attested::NvCertify(_) | Attested::SessionAudit(_) => {
            return Err(refused("what is signed is not a certification".to_owned()));
        }
    }
    if key.name_alg() == HashAlg::Sha1 {
        return Err(refused("its name is made with sha-1".to_owned()));
    }
    if !key.attributes().is_bound_signing_key() {
        return Err(refused(format!(
            "attributes {:#010x} are not those of a signing key that stays in its TPM",
            key.attributes().bits()
        )));
    }
    Ok(key)
}

fn audit_counter(bytes: &[u8], attest: &Attest) -> Result<(NvPublic, u64), JoinRefused> {
    let refused = |detail: String| JoinRefused::new(Reason::AuditCounter, detail);
    let index = NvPublic::parse(bytes).map_err(|error: MalformedStructure| {
        JoinRefused::new(Reason::Structure, format!("audit counter: {error}"))
    })?;
    let Attested::NvCertify(certified) = attest.attested() else {
        return Err(refused(
            "what is signed is not a certification of an NV index".to_owned(),
        ));
    };
    if certified.index_name != index.name() {
        return Err(refused(format!(
            "certified is {}, shown is {}",
            certified.index_name,
            index.name()
        )));
    }
    if index.name_alg == HashAlg::Sha1 {
        return Err(refused("its name is made with sha-1".to_owned()));
    }
    let attributes = index.attributes;
    // An orderly counter jumps after an unclean stop, and evidence then has gaps.
    let sound = attributes.kind() == NvIndexType::Counter
        && attributes.contains(NvAttributes::WRITTEN)
        && !attributes.contains(NvAttributes::ORDERLY)
        && !attributes.contains(NvAttributes::OWNER_WRITE);
    if !sound {
        return Err(refused(format!(
            "attributes {:#010x} are not those of a written counter, neither orderly nor open to \
             the owner",
            attributes.bits()
        )));
    }
    let value = certified
        .counter_value()
        .ok_or_else(|| refused("what is certified is not the whole of a counter".to_owned()))?;
    Ok((index, value))
}

fn later(one: ClockInfo, other: ClockInfo) -> ClockInfo {
    let order = |clock: &ClockInfo| (clock.reset_count, clock.restart_count, clock.clock_ms);
    if order(&one) > order(&other) {
        one
    } else {
        other
    }
}
