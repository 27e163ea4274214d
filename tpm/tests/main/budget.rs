//! The budgets of TPM commands, counted on the wire between the software stack and the TPM.

use holdfast_proof::credential::make_credential;
use holdfast_proof::hash::sha256;
use holdfast_tpm::{
    ApproverSlot, CounterRole, EndorsementKey, LeaseKey, LeaseTerms, Pin, Priority, RecoveryCode,
    Tpm, TpmConfig,
};
use zeroize::Zeroizing;

use crate::straight::Straight;
use crate::swtpm::{Swtpm, pcrs};
use crate::wire::Wire;

/// Asserts that no more than `budget` commands passed since the last time.
fn within(wire: &Wire, operation: &str, budget: usize) {
    let codes: Vec<u32> = wire.take().iter().map(|passed| passed.code()).collect();
    println!("{operation}: {} of {budget}: {codes:x?}", codes.len());
    assert!(codes.len() <= budget, "{operation}: {codes:x?}");
    assert!(!codes.is_empty(), "{operation} was counted");
}

#[tokio::test]
async fn every_operation_keeps_its_budget() {
    let swtpm = Swtpm::start();
    let certificate: Vec<u8> = (0..1500_u32).map(|byte| byte.to_be_bytes()[3]).collect();
    Straight::open(&swtpm).store(0x01c0_0002, &certificate);
    let wire = Wire::listen(&swtpm);
    let config = TpmConfig {
        transport: wire.transport(),
        endorsement_key: EndorsementKey::Rsa2048,
        ..swtpm.config()
    };
    let (tpm, _owner) = Tpm::open(config).await.unwrap();

    // Enrollment, all of it: keys, counters, challenge, certified keys and counters, evidence.
    let host = tpm.clone().provision(None).await.unwrap();
    let ek = host.ek().await.unwrap();
    assert_eq!(ek.certificate, Some(certificate));
    assert!(ek.chain.is_empty());
    let ak = host.state().attestation_key.name();
    let challenge = make_credential(&ek.public, &ak, &[1; 32]).unwrap();
    host.activate_credential(challenge.credential_blob, challenge.encrypted_secret)
        .await
        .unwrap();
    let digest = sha256(b"x");
    host.certify_checkpoint_key(digest).await.unwrap();
    host.certify_storage_root(digest).await.unwrap();
    for role in [CounterRole::Epoch, CounterRole::Audit] {
        host.certify_counter(role, digest).await.unwrap();
    }
    within(&wire, "enroll", 40);

    let node_key = host.create_node_key().await.unwrap();
    node_key.sign(digest).await.unwrap();
    let all: Vec<u8> = (0..24).collect();
    host.evidence(&node_key, pcrs(&all), digest).await.unwrap();
    drop(node_key);
    // Waits until the key is flushed: jobs run one after the other.
    tpm.clock().await.unwrap();
    within(&wire, "attest and one clock", 16);

    let clock = tpm.clock().await.unwrap();
    let terms = LeaseTerms {
        deadline_ms: clock.clock_ms + 60_000,
        pcrs: pcrs(&[0, 2, 4, 7, 9, 11]),
    };
    let key = LeaseKey::new(Zeroizing::new([7; 32]));
    within(&wire, "a clock", 1);
    let lease = host
        .make_lease(terms, &key, Priority::Background)
        .await
        .unwrap();
    within(&wire, "make a lease", 7);
    host.unseal_lease(&lease, Priority::Background)
        .await
        .unwrap();
    within(&wire, "unseal a lease", 10);

    host.certify_counter(CounterRole::Audit, digest)
        .await
        .unwrap();
    host.increment(CounterRole::Audit).await.unwrap();
    host.sign_checkpoint(digest).await.unwrap();
    within(&wire, "a checkpoint with counter", 8);

    let pin = Pin::new(Zeroizing::new("0815".to_owned())).unwrap();
    let recovery = RecoveryCode::generate().unwrap();
    let slot = ApproverSlot::new(63).unwrap();
    let approver = host
        .enroll_approver(slot, pin.clone(), recovery)
        .await
        .unwrap();
    within(&wire, "enroll an approver", 24);
    host.approve(&approver, pin, digest).await.unwrap();
    within(&wire, "approve", 8);

    let state = host.state().clone();
    let host = tpm.provision(Some(state)).await.unwrap();
    host.sign_checkpoint(digest).await.unwrap();
    // Two of them ask a TPM without a resource manager what a killed client left in it.
    within(&wire, "provision again with the state, and a checkpoint", 5);
}
