//! A host with its TPM joins; with any one thing spoiled it does not, and the reason says which.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod trust;

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_proof::evidence::{ChannelBinding, Nonce, enroll_binding};
use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::NvAttributes;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::{Sha256Digest, Timestamp};

use super::{
    Admitted, EnrollmentPolicy, JoinAnswer, JoinRequest, PendingEnrollment, Reason, Simulated,
    TokenStanding, UnknownHosts, admit, confirm,
};
use crate::registry::{TokenHash, TokenRecord};
use crate::software_tpm::{AK, SIGNING, SoftwareTpm, sign, signing_key, signing_public};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const CHANNEL: ChannelBinding = ChannelBinding::new([2; 32]);
const NONCE: Nonce = Nonce::new([1; 32]);

fn policy() -> EnrollmentPolicy {
    EnrollmentPolicy {
        simulated: Simulated::Refuse,
        roots: Vec::new(),
        intermediates: Vec::new(),
        revocation: holdfast_proof::ek_certificate::Revocation::Off,
        allowed: BTreeSet::new(),
        unknown: UnknownHosts::Refuse,
    }
}

fn request(tpm: &SoftwareTpm) -> JoinRequest {
    JoinRequest {
        ek: tpm.ek_public.as_bytes().to_vec(),
        ek_certificate: Vec::new(),
        ek_intermediates: Vec::new(),
        ak: tpm.ak_public.as_bytes().to_vec(),
        name: "workstation".parse().unwrap(),
        grade: Grade::Hardware,
    }
}

fn token(host_name: Option<&str>) -> TokenStanding {
    TokenStanding::Usable(TokenRecord {
        hash: TokenHash(Sha256Digest::new([1; 32])),
        host_name: host_name.map(|name| name.parse().unwrap()),
        ek: None,
        created_at: NOW,
        expires_at: NOW + Duration::from_secs(1),
    })
}

fn reason(request: &JoinRequest, token: &TokenStanding, policy: &EnrollmentPolicy) -> Reason {
    let refused = admit(request, token, None, policy, NOW).unwrap_err();
    assert!(!refused.detail.is_empty());
    refused.reason
}

#[test]
fn grades_are_a_matter_of_policy() {
    let mut request = request(&SoftwareTpm::new());
    request.grade = Grade::Simulated;
    assert_eq!(reason(&request, &token(None), &policy()), Reason::Grade);
    let mut accepting = policy();
    accepting.simulated = Simulated::Accept;
    assert_eq!(
        admit(&request, &token(None), None, &accepting, NOW)
            .unwrap()
            .grade,
        Grade::Simulated
    );
    request.grade = Grade::Contained;
    assert_eq!(reason(&request, &token(None), &accepting), Reason::Grade);
}

#[test]
fn keys_are_of_the_right_kind() {
    let tpm = SoftwareTpm::new();
    let mut swapped = request(&tpm);
    swapped.ek = tpm.ak_public.as_bytes().to_vec();
    assert_eq!(
        reason(&swapped, &token(None), &policy()),
        Reason::EkAttributes
    );
    let mut unrestricted = request(&tpm);
    unrestricted.ak = tpm.checkpoint_key.as_bytes().to_vec();
    assert_eq!(
        reason(&unrestricted, &token(None), &policy()),
        Reason::AkAttributes
    );
    let mut longer = request(&tpm);
    longer.ak.push(0);
    assert_eq!(reason(&longer, &token(None), &policy()), Reason::Structure);
}

fn pending(tpm: &SoftwareTpm) -> PendingEnrollment {
    let Admitted {
        ek,
        ak,
        name,
        grade,
        trust,
        token,
    } = admit(&request(tpm), &token(None), None, &policy(), NOW).unwrap();
    PendingEnrollment {
        ek,
        ak,
        name,
        grade,
        trust,
        token,
        secret: sha256(b"the secret"),
        nonce: NONCE,
        expires_at: NOW + Duration::from_secs(300),
    }
}

fn answer(tpm: &SoftwareTpm) -> JoinAnswer {
    let extra = enroll_binding(&NONCE, &CHANNEL);
    let extra = extra.as_bytes();
    JoinAnswer {
        secret: b"the secret".to_vec(),
        checkpoint_key: tpm.checkpoint_key.as_bytes().to_vec(),
        checkpoint_key_certified: tpm.sign(&tpm.certify(&tpm.checkpoint_key, extra)),
        audit_counter: tpm.audit_counter.encode(),
        audit_counter_certified: tpm.sign(&tpm.certify_counter(extra)),
    }
}

fn refused(spoil: impl FnOnce(&mut SoftwareTpm, &mut JoinAnswer)) -> Reason {
    let mut tpm = SoftwareTpm::new();
    let pending = pending(&tpm);
    let mut answer = answer(&tpm);
    spoil(&mut tpm, &mut answer);
    let refused = confirm(pending, &answer, &CHANNEL, NOW).unwrap_err();
    assert!(!refused.detail.is_empty());
    refused.reason
}

#[test]
fn the_tpm_that_opened_the_challenge_is_enrolled() {
    let tpm = SoftwareTpm::new();
    let host = confirm(pending(&tpm), &answer(&tpm), &CHANNEL, NOW).unwrap();
    assert_eq!(host.ek, tpm.ek_public);
    assert_eq!(host.ak, tpm.ak_public);
    assert_eq!(host.checkpoint_key, tpm.checkpoint_key);
    assert_eq!(host.audit_counter, tpm.audit_counter);
    assert_eq!(host.anchor.audit_counter, 5);
    assert_eq!(host.anchor.clock, tpm.clock);
}

#[test]
fn another_secret_time_or_connection_is_refused() {
    for secret in [b"".as_slice(), b"the secre", b"the secret ", b"The secret"] {
        assert_eq!(
            refused(|_, answer| answer.secret = secret.to_vec()),
            Reason::Secret
        );
    }
    let tpm = SoftwareTpm::new();
    let late = NOW + Duration::from_secs(300);
    let expired = confirm(pending(&tpm), &answer(&tpm), &CHANNEL, late).unwrap_err();
    assert_eq!(expired.reason, Reason::Challenge);
    let elsewhere = ChannelBinding::new([3; 32]);
    let relayed = confirm(pending(&tpm), &answer(&tpm), &elsewhere, NOW).unwrap_err();
    assert_eq!(relayed.reason, Reason::Binding);
}

#[test]
fn only_the_ak_certifies() {
    let check = refused(|tpm, answer| {
        let extra = enroll_binding(&NONCE, &CHANNEL);
        let statement = tpm.certify(&tpm.checkpoint_key, extra.as_bytes());
        answer.checkpoint_key_certified = sign(&signing_key(), &statement);
    });
    assert_eq!(check, Reason::Signature);
    let check =
        refused(|_, answer| *answer.audit_counter_certified.attest.last_mut().unwrap() ^= 1);
    assert_eq!(check, Reason::Signature);
    let check = refused(|_, answer| answer.checkpoint_key_certified.attest.clear());
    assert_eq!(check, Reason::Structure);
}

#[test]
fn the_checkpoint_key_is_the_certified_one_and_stays_in_the_tpm() {
    let check = refused(|tpm, answer| {
        answer.checkpoint_key_certified =
            tpm.sign(&tpm.certify_counter(enroll_binding(&NONCE, &CHANNEL).as_bytes()));
    });
    assert_eq!(check, Reason::CheckpointKey);
    let check = refused(|_, answer| {
        answer.checkpoint_key = SoftwareTpm::new().checkpoint_key.as_bytes().to_vec();
    });
    assert_eq!(check, Reason::CheckpointKey);
    // Restricted, or not bound to the TPM.
    for attributes in [AK, SIGNING ^ 1 << 1] {
        let check = refused(|tpm, answer| {
            let key = signing_key();
            let point = aws_lc_rs::signature::KeyPair::public_key(&key)
                .as_ref()
                .to_vec();
            let key = signing_public(attributes, &point);
            let extra = enroll_binding(&NONCE, &CHANNEL);
            answer.checkpoint_key = key.as_bytes().to_vec();
            answer.checkpoint_key_certified = tpm.sign(&tpm.certify(&key, extra.as_bytes()));
        });
        assert_eq!(check, Reason::CheckpointKey, "{attributes:#x}");
    }
}

#[test]
fn the_audit_counter_is_the_certified_one_and_only_increments() {
    let check = refused(|tpm, answer| {
        let mut other = tpm.audit_counter.clone();
        other.data_size = 7;
        answer.audit_counter = other.encode();
    });
    assert_eq!(check, Reason::AuditCounter);
    for spoil in [
        |attributes: NvAttributes| attributes.with(NvAttributes::ORDERLY),
        |attributes: NvAttributes| attributes.with(NvAttributes::OWNER_WRITE),
        |attributes: NvAttributes| {
            NvAttributes::from_bits(attributes.bits() & !NvAttributes::WRITTEN.bits()).unwrap()
        },
        |attributes: NvAttributes| NvAttributes::from_bits(attributes.bits() & !0xf0).unwrap(),
    ] {
        let check = refused(|tpm, answer| {
            tpm.audit_counter.attributes = spoil(tpm.audit_counter.attributes);
            let extra = enroll_binding(&NONCE, &CHANNEL);
            answer.audit_counter = tpm.audit_counter.encode();
            answer.audit_counter_certified = tpm.sign(&tpm.certify_counter(extra.as_bytes()));
        });
        assert_eq!(check, Reason::AuditCounter);
    }
}

#[test]
fn what_waits_in_the_store_comes_back_the_same() {
    let pending = pending(&SoftwareTpm::new());
    let text = serde_json::to_string(&pending).unwrap();
    assert!(!text.contains("the secret"));
    assert_eq!(
        serde_json::from_str::<PendingEnrollment>(&text).unwrap(),
        pending
    );
}
