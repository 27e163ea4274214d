//! Attestation: everything that the TPM signs verifies with the verifier's own code.

use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::{Attested, HashAlg, NvPublic, PcrSelection, pcr_digest};
use holdfast_protocol::Sha256Digest;
use holdfast_tpm::{Attestation, CounterRole, Priority};

use crate::swtpm::{Host, measurement, pcrs};

fn verify(host: &Host, attestation: &Attestation, extra_data: &Sha256Digest) {
    let ak = host.provisioned.state().attestation_key.key().unwrap();
    let statement = &attestation.statement;
    ak.verify(statement.as_bytes(), &attestation.signature)
        .unwrap();
    assert_eq!(statement.extra_data(), extra_data.as_bytes());
}

#[tokio::test]
async fn evidence_verifies_and_covers_the_key_that_signed_the_request() {
    let host = Host::new().await;
    host.tpm()
        .extend_pcr(7.try_into().unwrap(), [measurement()])
        .await
        .unwrap();
    let node_key = host.provisioned.create_node_key().await.unwrap();
    let request = b"a certificate request";
    let signature = node_key.sign(sha256(request)).await.unwrap();
    let public = node_key.public().clone();
    public.key().unwrap().verify(request, &signature).unwrap();
    assert!(public.attributes().is_bound_signing_key());

    let extra_data = sha256(b"nonce, exporter, request, log");
    let all: Vec<u8> = (0..24).collect();
    let selection = pcrs(&all);
    let evidence = host
        .provisioned
        .evidence(&node_key, selection.clone(), extra_data)
        .await
        .unwrap();

    for attestation in [&evidence.quote, &evidence.node_key, &evidence.audit_counter] {
        verify(&host, attestation, &extra_data);
    }
    let Attested::Quote(quoted) = evidence.quote.statement.attested() else {
        panic!("not a quote");
    };
    assert_eq!(quoted.selection, selection);
    let digest = pcr_digest(HashAlg::Sha256, &selection, &evidence.pcr_values).unwrap();
    assert_eq!(quoted.pcr_digest.as_bytes(), digest.as_bytes());
    let Attested::Certify(certified) = evidence.node_key.statement.attested() else {
        panic!("not a certification");
    };
    assert_eq!(certified.name, public.name());
    let Attested::NvCertify(counter) = evidence.audit_counter.statement.attested() else {
        panic!("not a certified counter");
    };
    let audit: &NvPublic = &host.provisioned.state().audit_counter;
    assert_eq!(counter.index_name, audit.name());
    assert_eq!(
        counter.counter_value(),
        Some(
            host.provisioned
                .read_counter(CounterRole::Audit)
                .await
                .unwrap()
        )
    );

    // The AK is a child of the EK, so that what it signs about clock and resets is plain.
    let clock = host.tpm().clock().await.unwrap();
    let signed = evidence.quote.statement.clock();
    assert_eq!(signed.reset_count, clock.reset_count);
    assert!(signed.clock_ms <= clock.clock_ms);

    assert_eq!(host.tpm().transient_handles().await.unwrap(), 1);
    let blob = node_key.blob().clone();
    drop(node_key);
    host.nothing_is_left().await;

    // The key still signs, for TLS handshakes, from its blob; also where a thread must block.
    let signature = host
        .provisioned
        .sign(&blob, sha256(request), Priority::Interactive)
        .await
        .unwrap();
    public.key().unwrap().verify(request, &signature).unwrap();
    let signature = host
        .provisioned
        .sign_blocking(&blob, sha256(request))
        .unwrap();
    public.key().unwrap().verify(request, &signature).unwrap();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn several_banks_are_quoted_in_the_order_asked_for() {
    let host = Host::new().await;
    let node_key = host.provisioned.create_node_key().await.unwrap();
    let index = |number: u8| number.try_into().unwrap();
    let selection = PcrSelection::of(HashAlg::Sha384, [index(0), index(4)])
        .with(HashAlg::Sha256, [index(7)])
        .with(HashAlg::Sha1, [index(1)]);
    for _ in 0..8 {
        let evidence = host
            .provisioned
            .evidence(&node_key, selection.clone(), sha256(b"x"))
            .await
            .unwrap();
        let Attested::Quote(quoted) = evidence.quote.statement.attested() else {
            panic!("not a quote");
        };
        assert_eq!(quoted.selection, selection);
    }
    drop(node_key);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn checkpoints_are_signed_and_counted() {
    let host = Host::new().await;
    let body = b"origin\n1\nroot\n";
    let signature = host
        .provisioned
        .sign_checkpoint(sha256(body))
        .await
        .unwrap();
    let key = host.provisioned.state().checkpoint_key.public();
    key.key().unwrap().verify(body, &signature).unwrap();

    let extra_data = sha256(b"enrollment");
    let certified = host
        .provisioned
        .certify_checkpoint_key(extra_data)
        .await
        .unwrap();
    verify(&host, &certified, &extra_data);

    let mut values = Vec::new();
    for _ in 0..3 {
        let certified = host
            .provisioned
            .certify_counter(CounterRole::Audit, sha256(body))
            .await
            .unwrap();
        verify(&host, &certified, &sha256(body));
        let Attested::NvCertify(counter) = certified.statement.attested() else {
            panic!("not a certified counter");
        };
        values.push(counter.counter_value().unwrap());
        let next = host
            .provisioned
            .increment(CounterRole::Audit)
            .await
            .unwrap();
        assert_eq!(next, values.last().unwrap() + 1);
    }
    assert!(values.windows(2).all(|pair| pair[1] == pair[0] + 1));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_loaded_key_dies_with_a_restart_and_says_so() {
    let mut host = Host::new().await;
    let node_key = host.provisioned.create_node_key().await.unwrap();
    host.swtpm.restart();
    let first = node_key.sign(sha256(b"x")).await;
    assert!(first.is_err());
    // The broken connection was noticed and is opened again.
    let clock = host.tpm().clock().await.unwrap();
    assert!(clock.reset_count > 0);
    let second = node_key.sign(sha256(b"x")).await.unwrap_err();
    assert!(second.to_string().contains("loaded key"), "{second}");
    drop(node_key);
    host.nothing_is_left().await;
    host.provisioned
        .sign_checkpoint(sha256(b"x"))
        .await
        .unwrap();
}
