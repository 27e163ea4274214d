//! The vault root: survives reboots and approved states, and opens in no other.

use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrValues};
use holdfast_tpm::{CounterRole, RecoveryCode, SealedVaultRoot, TpmError, VaultRoot};
use zeroize::Zeroizing;

use crate::swtpm::{Host, measurement, pcrs};

const ROOT: [u8; 32] = [0x77; 32];

async fn seal(host: &Host) -> (SealedVaultRoot, RecoveryCode) {
    let code = RecoveryCode::generate().unwrap();
    let root = VaultRoot::new(Zeroizing::new(ROOT));
    let sealed = host
        .provisioned
        .seal_vault_root(&root, pcrs(&[7]), code.clone())
        .await
        .unwrap();
    (sealed, code)
}

async fn opens(host: &Host, sealed: &SealedVaultRoot) {
    let root = host.provisioned.unseal_vault_root(sealed).await.unwrap();
    assert_eq!(*root.as_bytes(), ROOT);
}

async fn refused(host: &Host, sealed: &SealedVaultRoot) -> TpmError {
    host.provisioned
        .unseal_vault_root(sealed)
        .await
        .unwrap_err()
}

async fn update(host: &Host) {
    let firmware = host
        .tpm()
        .extend_pcr(7.try_into().unwrap(), [measurement()]);
    firmware.await.unwrap();
}

#[tokio::test]
async fn the_vault_root_survives_reboots_and_revocations() {
    let host = Host::new().await;
    let (sealed, _) = seal(&host).await;
    opens(&host, &sealed).await;
    let kept = serde_json::to_string(&sealed).unwrap();
    host.provisioned
        .increment(CounterRole::Epoch)
        .await
        .unwrap();
    let host = host.reboot().await;
    let sealed: SealedVaultRoot = serde_json::from_str(&kept).unwrap();
    opens(&host, &sealed).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_update_needs_the_recovery_code() {
    let host = Host::new().await;
    let (sealed, code) = seal(&host).await;
    update(&host).await;
    let error = refused(&host, &sealed).await;
    assert!(matches!(error, TpmError::PolicyRefused { .. }), "{error}");
    assert_eq!(error.response_code().unwrap().value(), 0x1c4);
    host.nothing_is_left().await;

    let now = host.tpm().read_pcrs(pcrs(&[7])).await.unwrap();
    assert!(!sealed.approves(&now).unwrap());
    let wrong = RecoveryCode::generate().unwrap();
    let error = host
        .provisioned
        .approve_vault_state(sealed.clone(), &now, wrong)
        .await
        .unwrap_err();
    assert!(matches!(error, TpmError::RecoveryWrong { .. }), "{error}");
    host.nothing_is_left().await;

    let sealed = host
        .provisioned
        .approve_vault_state(sealed, &now, code)
        .await
        .unwrap();
    assert!(sealed.approves(&now).unwrap());
    opens(&host, &sealed).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_expected_update_is_accepted_ahead() {
    let host = Host::new().await;
    let (sealed, code) = seal(&host).await;
    // What PCR 7 will be: the hash of what it is and the measurement.
    let index = PcrIndex::new(7).unwrap();
    let now = host.tpm().read_pcrs(pcrs(&[7])).await.unwrap();
    let before = now.value(HashAlg::Sha256, index).unwrap();
    let after = [before.as_bytes(), measurement().as_bytes()].concat();
    let mut expected = PcrValues::new();
    assert!(expected.insert(index, HashAlg::Sha256.digest(&after)));
    let sealed = host
        .provisioned
        .approve_vault_state(sealed, &expected, code)
        .await
        .unwrap();
    opens(&host, &sealed).await;
    update(&host).await;
    opens(&host, &sealed).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_approval_of_another_authority_is_refused() {
    let host = Host::new().await;
    let (sealed, _) = seal(&host).await;
    let (attacker, code) = seal(&host).await;
    update(&host).await;
    let now = host.tpm().read_pcrs(pcrs(&[7])).await.unwrap();
    let attacker = host
        .provisioned
        .approve_vault_state(attacker, &now, code)
        .await
        .unwrap();
    // Root edits the file: first only the approvals, then the authority with them.
    let mut forged = serde_json::to_value(&sealed).unwrap();
    let attacker = serde_json::to_value(&attacker).unwrap();
    forged["approvals"] = attacker["approvals"].clone();
    let error = refused(&host, &serde_json::from_value(forged.clone()).unwrap()).await;
    // TPM_RC_SIGNATURE
    assert_eq!(error.response_code().unwrap().base().value(), 0x09b);
    forged["authority"] = attacker["authority"].clone();
    let error = refused(&host, &serde_json::from_value(forged).unwrap()).await;
    assert!(matches!(error, TpmError::PolicyRefused { .. }), "{error}");
    assert_eq!(error.response_code().unwrap().value(), 0x99d);
    host.nothing_is_left().await;
}
