//! Which banks are active, by the TPM's own signed word.

use std::collections::BTreeSet;

use holdfast_proof::audit::banks_digest;
use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::{Attested, HashAlg, PcrIndex, PcrSelection};
use holdfast_tpm::{AuthValue, Hierarchy, Provisioned, QuotedPcrs, TpmError};
use zeroize::Zeroizing;

use crate::straight;
use crate::swtpm::{Host, Swtpm};

fn active(indices: &[u8]) -> QuotedPcrs {
    let indices: BTreeSet<PcrIndex> = indices
        .iter()
        .map(|index| PcrIndex::new(*index).unwrap())
        .collect();
    QuotedPcrs::Active {
        unproven: PcrSelection::of(HashAlg::Sha256, indices.iter().copied()),
        indices,
    }
}

/// Evidence over every active bank, whose proof is right.
async fn proven(host: &Provisioned) {
    let extra_data = sha256(b"nonce");
    let key = host.create_node_key().await.unwrap();
    let evidence = host.evidence(&key, active(&[0, 7]), extra_data).await;
    let evidence = evidence.unwrap();
    let proven = evidence.banks.unwrap();
    // swtpm has all four, unless somebody turned one off.
    let banks = [
        HashAlg::Sha1,
        HashAlg::Sha256,
        HashAlg::Sha384,
        HashAlg::Sha512,
    ];
    assert!(proven.banks.known().eq(banks));
    let ak = host.state().attestation_key.key().unwrap();
    let statement = &proven.audited.statement;
    ak.verify(statement.as_bytes(), &proven.audited.signature)
        .unwrap();
    assert_eq!(statement.extra_data(), extra_data.as_bytes());
    let Attested::SessionAudit(audited) = statement.attested() else {
        panic!("not a session's audit");
    };
    let expected = banks_digest(&proven.banks);
    assert_eq!(audited.session_digest.as_bytes(), expected.as_bytes());
    let Attested::Quote(quoted) = evidence.quote.statement.attested() else {
        panic!("not a quote");
    };
    assert!(quoted.selection.banks().map(|(bank, _)| bank).eq(banks));
    assert_eq!(evidence.pcr_values.iter().count(), 8);
}

#[tokio::test]
async fn every_active_bank_is_proven_and_quoted() {
    let host = Host::new().await;
    proven(&host.provisioned).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn banks_are_proven_where_the_endorsement_hierarchy_has_an_authorization() {
    let swtpm = Swtpm::start();
    straight::set_hierarchy_auth(&swtpm, Hierarchy::Endorsement, b"secret");
    let mut config = swtpm.config();
    config.auths.endorsement = AuthValue::new(Zeroizing::new(b"secret".to_vec())).unwrap();
    let (tpm, _owner) = holdfast_tpm::Tpm::open(config).await.unwrap();
    let host = tpm.provision(None).await.unwrap();
    proven(&host).await;
    assert_eq!(host.tpm().loaded_sessions().await.unwrap(), 0);
}

#[tokio::test]
async fn an_authorization_that_was_set_later_is_named() {
    let host = Host::new().await;
    let state = host.provisioned.state().clone();
    let swtpm = host.close();
    straight::set_hierarchy_auth(&swtpm, Hierarchy::Endorsement, b"secret");
    let (tpm, _owner) = swtpm.open().await;
    let host = tpm.provision(Some(state)).await.unwrap();
    let key = host.create_node_key().await.unwrap();
    let refused = host.evidence(&key, active(&[0]), sha256(b"x")).await;
    assert!(
        matches!(
            refused,
            Err(TpmError::HierarchyAuth {
                hierarchy: Hierarchy::Endorsement,
                ..
            })
        ),
        "{refused:?}"
    );
    drop(key);
    assert_eq!(host.tpm().transient_handles().await.unwrap(), 0);
    assert_eq!(host.tpm().loaded_sessions().await.unwrap(), 0);
}
