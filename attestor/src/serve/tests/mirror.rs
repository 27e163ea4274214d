//! Audit logs over the wire: whose they are, and what they say about the next attestation.

use holdfast_proof::merkle::Frontier;
use holdfast_protocol::wire::attestor::AuditUpload;
use tonic::Code;

use super::super::now;
use super::client::Identity;
use super::fixture::Fixture;
use crate::config::Explain;
use crate::mirror_audit::{CosignedCheckpoint, LogKeys};
use crate::software_tpm::SoftwareTpm;
use crate::store::{MirrorStore, Store};

#[tokio::test]
async fn a_host_writes_into_its_own_log_and_nobody_else_does() {
    let fixture = Fixture::start(Explain::Nothing).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;
    let host = client.join(&tpm, &token).await.unwrap();
    let (key, svid) = client.attest(&tpm, host).await.unwrap();
    let keys = LogKeys::of(&fixture.store.host(host).await.unwrap().unwrap().enrolled).unwrap();
    let upload = AuditUpload {
        origin: keys.origin.to_string(),
        first: 0,
        records: vec![b"{}".to_vec(); 3],
        checkpoint: String::new(),
    };

    let refused = client.mirror.upload(upload.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let (_, other) = fixture.node().await;
    let mut other = fixture.connect(Some(&other)).await;
    let answer = other
        .mirror
        .upload(upload.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.refused.as_str(), answer.detail.as_str()),
        ("origin", "")
    );

    let mut node = fixture.connect(Some(&Identity::new(svid, &key))).await;
    let answer = node
        .mirror
        .upload(upload.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.size, answer.refused.as_str()), (3, ""));
    let too_many = AuditUpload {
        records: vec![b"{}".to_vec(); 257],
        ..upload.clone()
    };
    let refused = node.mirror.upload(too_many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    // Revoked, on a connection that stands.
    fixture.store.revoke(host, "lost", now()).await.unwrap();
    let refused = node.mirror.upload(upload).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    fixture.stop().await;
}

#[tokio::test]
async fn a_counter_that_stands_before_its_own_evidence_attests_nobody() {
    let fixture = Fixture::start(Explain::Reason).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;
    let host = client.join(&tpm, &token).await.unwrap();
    client.attest(&tpm, host).await.unwrap();

    let keys = LogKeys::of(&fixture.store.host(host).await.unwrap().unwrap().enrolled).unwrap();
    let log = fixture.store.mirrored_log(host, &keys).await.unwrap();
    let counted = CosignedCheckpoint {
        tree: Frontier::empty(),
        note: "judged before it came here".to_owned(),
        value: Some(tpm.audit_value + 1),
        cosignature: "line".to_owned(),
        at: now(),
    };
    let kept = fixture
        .store
        .keep_mirrored(&log, None, Some(&counted), now());
    kept.await.unwrap();
    let refused = client.attest(&tpm, host).await.unwrap_err();
    assert_eq!(refused.message(), "evidence refused: audit-counter");
    fixture.stop().await;
}
