//! Somebody on the bus: hears no secret, and cannot put a key of their own in the place of the SRK.

use std::os::unix::net::UnixStream;

use aws_lc_rs::digest::{SHA256, digest};
use holdfast_proof::credential::make_credential;
use holdfast_proof::hash::sha256;
use holdfast_tpm::{
    ApproverSlot, AuthValue, LeaseKey, LeaseTerms, Pin, Priority, RecoveryCode, STORAGE_ROOT, Tpm,
    TpmConfig, TpmError,
};
use zeroize::Zeroizing;

use crate::straight;
use crate::swtpm::{Host, Swtpm, pcrs};
use crate::wire::{Passed, Wire};

#[tokio::test]
async fn no_secret_crosses_the_bus_in_the_clear() {
    let owner_auth = [0x11; 32];
    let swtpm = Swtpm::start();
    straight::set_hierarchy_auth(&swtpm, holdfast_tpm::Hierarchy::Owner, &owner_auth);
    let wire = Wire::listen(&swtpm);
    let mut config = TpmConfig {
        transport: wire.transport(),
        ..swtpm.config()
    };
    config.auths.owner = AuthValue::new(Zeroizing::new(owner_auth.to_vec())).unwrap();
    let (tpm, _owner) = Tpm::open(config).await.unwrap();
    let host = tpm.clone().provision(None).await.unwrap();

    let lease_key = [0x22; 32];
    let terms = LeaseTerms {
        deadline_ms: u64::MAX,
        pcrs: pcrs(&[7]),
    };
    let key = LeaseKey::new(Zeroizing::new(lease_key));
    let lease = host
        .make_lease(terms, &key, Priority::Background)
        .await
        .unwrap();
    host.unseal_lease(&lease, Priority::Background)
        .await
        .unwrap();

    let secret = [0x33; 32];
    let ek = host.ek().await.unwrap();
    let ak = host.state().attestation_key.name();
    let challenge = make_credential(&ek.public, &ak, &secret).unwrap();
    host.activate_credential(challenge.credential_blob, challenge.encrypted_secret)
        .await
        .unwrap();

    let pin = Pin::new(Zeroizing::new("correct horse".to_owned())).unwrap();
    let code = RecoveryCode::generate().unwrap();
    let recovery = [
        b"holdfast-recovery-v1".as_slice(),
        &data_encoding::BASE32_NOPAD
            .decode(code.reveal().replace('-', "").as_bytes())
            .unwrap(),
    ]
    .concat();
    let approver = host
        .enroll_approver(ApproverSlot::new(0).unwrap(), pin.clone(), code.clone())
        .await
        .unwrap();
    host.approve(&approver, pin, sha256(b"call")).await.unwrap();
    host.reset_pin_failures(&approver, code).await.unwrap();
    host.pin_failures(&approver).await.unwrap();

    let passed = wire.take();
    let heard = |secret: &[u8]| passed.iter().any(|passed| passed.contains(secret));
    assert!(heard(sha256(b"call").as_bytes()), "what is public is heard");
    for (name, secret) in [
        ("owner authorization", owner_auth.as_slice()),
        ("lease key", &lease_key),
        ("activated secret", &secret),
        ("PIN", b"correct horse"),
        (
            "PIN's value",
            straight::pin_auth("correct horse").as_bytes(),
        ),
        ("recovery code's value", digest(&SHA256, &recovery).as_ref()),
    ] {
        assert!(!heard(secret), "{name}");
    }
}

/// Keeps the name that TPM2_ReadPublic of the SRK answers, and puts another key beside it.
fn replace_srk_key(passed: &mut Passed, _: &mut UnixStream) {
    const READ_PUBLIC: u32 = 0x173;
    let handle = passed.command.get(10..14);
    if passed.code() == READ_PUBLIC && handle == Some(&STORAGE_ROOT.to_be_bytes()) {
        // The last byte of the TPM2B_PUBLIC, which is one of the point's y.
        let size = usize::from(u16::from_be_bytes([
            passed.response[10],
            passed.response[11],
        ]));
        passed.response[11 + size] ^= 1;
    }
}

#[tokio::test]
async fn another_key_under_the_pinned_name_of_the_srk_is_refused() {
    let host = Host::new().await;
    let state = host.provisioned.state().clone();
    let swtpm = host.close();
    let wire = Wire::tamper(&swtpm, Box::new(replace_srk_key));
    let config = TpmConfig {
        transport: wire.transport(),
        ..swtpm.config()
    };
    let (tpm, owner) = Tpm::open(config).await.unwrap();
    let refused = tpm
        .clone()
        .provision(Some(state.clone()))
        .await
        .unwrap_err();
    assert!(matches!(refused, TpmError::Changed { .. }), "{refused}");
    // Nothing was salted to it.
    const START_AUTH_SESSION: u32 = 0x176;
    let passed = wire.take();
    assert!(
        passed
            .iter()
            .all(|passed| passed.code() != START_AUTH_SESSION)
    );
    drop(tpm);
    owner.close();

    // Untampered, the same state is accepted.
    let (tpm, _owner) = swtpm.open().await;
    tpm.provision(Some(state)).await.unwrap();
}
