//! Provisioning: idempotent, insisting, and refusing what is not ours.

use holdfast_proof::credential::make_credential;
use holdfast_protocol::Sha256Digest;
use holdfast_tpm::{
    AttestationKey, AuthValue, CounterRole, EndorsementKey, Hierarchy, SwtpmAddress, Tpm,
    TpmConfig, TpmError, TpmState, Transport,
};
use zeroize::Zeroizing;

use crate::straight;
use crate::swtpm::{Host, Swtpm};
use crate::wire::Wire;

#[tokio::test]
async fn provisioning_twice_finds_what_the_first_run_made() {
    let host = Host::new().await;
    let first = host.provisioned.state().clone();
    host.nothing_is_left().await;

    // Lost state: the persistent objects are adopted; only the checkpoint key is another.
    let again = host.tpm().clone().provision(None).await.unwrap();
    let adopted = TpmState {
        checkpoint_key: first.checkpoint_key.clone(),
        ..again.state().clone()
    };
    assert_eq!(adopted, first);

    // Kept state: the same, over a restart and a round through its stored form.
    let host = host.reboot().await;
    assert_eq!(*host.provisioned.state(), first);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn another_tpm_is_refused() {
    let first = Host::new().await;
    let second = Swtpm::start();
    let (tpm, _owner) = second.open().await;
    let state = first.provisioned.state().clone();
    let refused = tpm.provision(Some(state)).await.unwrap_err();
    assert!(matches!(refused, TpmError::Changed { .. }), "{refused}");
}

#[tokio::test]
async fn a_set_authorization_is_named_and_then_works() {
    for hierarchy in [Hierarchy::Owner, Hierarchy::Endorsement] {
        let swtpm = Swtpm::start();
        straight::set_hierarchy_auth(&swtpm, hierarchy, b"secret");

        let (tpm, owner) = swtpm.open().await;
        let refused = tpm.provision(None).await.unwrap_err();
        let TpmError::HierarchyAuth {
            hierarchy: named,
            rc,
        } = refused
        else {
            panic!("{refused}");
        };
        assert_eq!(named, hierarchy);
        assert!(matches!(rc.value(), 0x9a2 | 0x98e), "{rc}");
        owner.close();

        let mut config = swtpm.config();
        let auth = AuthValue::new(Zeroizing::new(b"secret".to_vec())).unwrap();
        match hierarchy {
            Hierarchy::Owner => config.auths.owner = auth,
            Hierarchy::Endorsement => config.auths.endorsement = auth,
        }
        let (tpm, owner) = Tpm::open(config).await.unwrap();
        let provisioned = tpm.provision(None).await.unwrap();
        let host = Host {
            swtpm,
            provisioned,
            owner,
        };
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn every_kind_of_ek_and_ak_opens_its_challenge_and_no_other() {
    for (endorsement_key, attestation_key) in [
        (EndorsementKey::EccP256, AttestationKey::EccP256),
        (EndorsementKey::Rsa2048, AttestationKey::Rsa2048),
        (EndorsementKey::EccP384, AttestationKey::EccP256),
        (EndorsementKey::Rsa3072, AttestationKey::Rsa2048),
    ] {
        let swtpm = Swtpm::start();
        let (tpm, owner) = Tpm::open(TpmConfig {
            endorsement_key,
            attestation_key,
            ..swtpm.config()
        })
        .await
        .unwrap();
        let provisioned = tpm.provision(None).await.unwrap();
        let host = Host {
            swtpm,
            provisioned,
            owner,
        };
        let ek = host.provisioned.ek().await.unwrap();
        assert_eq!(ek.certificate, None);
        let ak = host.provisioned.state().attestation_key.name();
        let secret = [7; 32];
        let challenge = make_credential(&ek.public, &ak, &secret).unwrap();
        let opened = host
            .provisioned
            .activate_credential(
                challenge.credential_blob.clone(),
                challenge.encrypted_secret.clone(),
            )
            .await
            .unwrap();
        assert_eq!(opened.as_slice(), secret);
        // An AK that an earlier run left is known again as a child of this EK.
        let again = host.tpm().clone().provision(None).await.unwrap();
        assert_eq!(again.state().attestation_key.name(), ak);

        let stranger = host.provisioned.state().checkpoint_key.public().name();
        let challenge = make_credential(&ek.public, &stranger, &secret).unwrap();
        let refused = host
            .provisioned
            .activate_credential(
                challenge.credential_blob.clone(),
                challenge.encrypted_secret.clone(),
            )
            .await
            .unwrap_err();
        // TPM_RC_INTEGRITY
        let rc = refused.response_code().unwrap();
        assert_eq!(rc.base().value(), 0x09f, "{refused}");
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn deprovisioning_gives_everything_back_and_counters_do_not_rewind() {
    let host = Host::new().await;
    let before = host
        .provisioned
        .increment(CounterRole::Epoch)
        .await
        .unwrap();
    host.provisioned.clone().deprovision().await.unwrap();
    let listed = host.provisioned.read_counter(CounterRole::Epoch).await;
    assert!(matches!(listed, Err(TpmError::Changed { .. })));
    let again = host.tpm().clone().provision(None).await.unwrap();
    assert!(again.read_counter(CounterRole::Epoch).await.unwrap() > before);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn without_a_tpm_the_error_says_where_it_was_looked_for() {
    let config = {
        let swtpm = Swtpm::start();
        swtpm.config()
    };
    let refused = Tpm::open(config).await.unwrap_err();
    assert!(matches!(refused, TpmError::Unreachable { .. }));
    assert!(refused.to_string().contains("simulator at"), "{refused}");
}

#[tokio::test]
async fn an_outage_is_said_and_then_over() {
    let mut host = Host::new().await;
    host.swtpm.stop();
    for _ in 0..2 {
        let refused = host.tpm().clock().await.unwrap_err();
        assert!(matches!(refused, TpmError::Unreachable { .. }), "{refused}");
    }
    host.swtpm.restart();
    host.provisioned
        .sign_checkpoint(Sha256Digest::new([1; 32]))
        .await
        .unwrap();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_software_tpm_is_reached_over_tcp_too() {
    let mut swtpm = Swtpm::start();
    let address = swtpm.listen_on_tcp();
    let config = TpmConfig {
        transport: Transport::Swtpm(SwtpmAddress::Tcp(address)),
        ..swtpm.config()
    };
    let (tpm, _owner) = Tpm::open(config).await.unwrap();
    tpm.provision(None).await.unwrap();
}

#[tokio::test]
async fn a_closed_tpm_refuses_and_its_thread_ends() {
    let Host {
        swtpm: _swtpm,
        provisioned,
        owner,
    } = Host::new().await;
    owner.close();
    let refused = provisioned
        .sign_checkpoint(Sha256Digest::new([1; 32]))
        .await
        .unwrap_err();
    assert!(matches!(refused, TpmError::Closed));
}

#[tokio::test]
async fn a_tpm_without_p256_is_refused_in_words() {
    let swtpm = Swtpm::start();
    // As a TPM answers that knows no such curve: TPM_RC_CURVE for the template (parameter 2), or TPM_RC_ASYMMETRIC.
    for code in [0x2e6_u32, 0x2c1] {
        let folder = swtpm.folder().join("wire");
        let _ = std::fs::remove_file(folder.with_extension("ctrl"));
        let _ = std::fs::remove_file(folder);
        let wire = Wire::tamper(
            &swtpm,
            Box::new(move |passed, _| {
                const CREATE_PRIMARY: u32 = 0x131;
                if passed.code() == CREATE_PRIMARY {
                    passed.response =
                        [&[0x80, 0x01, 0, 0, 0, 10][..], &code.to_be_bytes()].concat();
                }
            }),
        );
        let config = TpmConfig {
            transport: wire.transport(),
            ..swtpm.config()
        };
        let (tpm, owner) = Tpm::open(config).await.unwrap();
        let refused = tpm.provision(None).await.unwrap_err();
        assert!(
            matches!(refused, TpmError::Unsupported { .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().contains("no elliptic curve P-256"),
            "{refused}"
        );
        owner.close();
    }
}
