//! The services over real TLS on loopback: who gets what, and who does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod client;
mod fixture;
mod fleet;
mod load;
mod mirror;
mod watch;

use holdfast_proof::svid::Svid;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use holdfast_protocol::token::JoinToken;
use holdfast_protocol::wire::MAX_SVIDS;
use holdfast_protocol::wire::attestor::{
    BeginAttestation, BeginEnrollment, FetchBundleRequest, SignJwtSvidRequest, SignX509SvidRequest,
    SignX509SvidsRequest,
};
use tonic::Code;

use super::now;
use crate::certify::{Authority, KeyFolder};
use crate::config::Explain;
use crate::enroll_host::UnknownHosts;
use crate::registry::{EkFingerprint, Judged, Outcome};
use crate::software_tpm::{SoftwareTpm, key_with_request};
use crate::store::{Found, Store, WaitingStore};
use client::{Client, Identity};
use fixture::Fixture;

#[tokio::test]
async fn a_host_joins_attests_and_names_its_agents() {
    let fixture = Fixture::start(Explain::Reason).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;
    let host = client.join(&tpm, &token).await.unwrap();

    let (key, svid) = client.attest(&tpm, host).await.unwrap();
    let parsed = Svid::parse(&svid).unwrap();
    assert_eq!(
        parsed.spiffe_id.to_string(),
        format!("spiffe://example.org/host/{host}")
    );

    let mut node = fixture.connect(Some(&Identity::new(svid, &key))).await;
    let bundle = node
        .host
        .fetch_bundle(FetchBundleRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bundle.x509_authorities, [fixture.door.root.to_vec()]);
    let name = format!("spiffe://example.org/host/{host}/agent/claude/x");
    let (agent_key, csr) = key_with_request();
    let request = SignX509SvidRequest {
        spiffe_id: name.clone(),
        csr,
    };
    let signed = node
        .host
        .sign_x509_svid(request)
        .await
        .unwrap()
        .into_inner();
    let agent = Svid::parse(&signed.chain[0]).unwrap();
    assert_eq!(agent.spiffe_id.to_string(), name);
    assert!(
        agent.not_after <= parsed.not_after,
        "no agent outlives its host's SVID"
    );
    assert_eq!(
        agent.public_key,
        rcgen::PublicKeyData::subject_public_key_info(&agent_key)
    );

    let request = SignJwtSvidRequest {
        spiffe_id: name,
        audience: vec!["db".to_owned()],
    };
    let jwt = node.host.sign_jwt_svid(request).await.unwrap().into_inner();
    assert_eq!(jwt.token.split('.').count(), 3);
    let ttl = jwt.expires_at - now().as_secs();
    assert!((290..=300).contains(&ttl), "{ttl}");

    let verdicts = fixture.store.verdicts(host, 9).await.unwrap();
    let outcomes: Vec<_> = verdicts.iter().map(|verdict| verdict.outcome).collect();
    assert_eq!(outcomes, [Outcome::Accepted; 2], "attestation, enrollment");
    fixture.stop().await;
}

#[tokio::test]
async fn evidence_is_accepted_once_and_only_on_its_own_connection() {
    let fixture = Fixture::start(Explain::Reason).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;
    let host = client.join(&tpm, &token).await.unwrap();

    let evidence = client.evidence(&tpm, host).await.unwrap().1;
    client.attestation.attest(evidence.clone()).await.unwrap();
    let replayed = client.attestation.attest(evidence).await.unwrap_err();
    assert_eq!(replayed.code(), Code::PermissionDenied);
    assert_eq!(replayed.message(), "evidence refused: nonce");

    // Made for one connection, sent on another: what a relay would do.
    let evidence = client.evidence(&tpm, host).await.unwrap().1;
    let mut relay = fixture.connect(None).await;
    let relayed = relay
        .attestation
        .attest(evidence.clone())
        .await
        .unwrap_err();
    assert_eq!(relayed.message(), "evidence refused: binding");
    // The relay has used the nonce up.
    let late = client.attestation.attest(evidence).await.unwrap_err();
    assert_eq!(late.message(), "evidence refused: nonce");

    // A nonce of one host in the evidence of another.
    let other_tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let other = client.join(&other_tpm, &token).await.unwrap();
    let mut evidence = client.evidence(&tpm, host).await.unwrap().1;
    evidence.host_id = other.to_string();
    let crossed = client.attestation.attest(evidence).await.unwrap_err();
    assert_eq!(crossed.message(), "evidence refused: nonce");
    fixture.stop().await;
}

#[tokio::test]
async fn a_challenge_is_answered_once_and_by_its_tpm() {
    let fixture = Fixture::start(Explain::Reason).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;

    // Another TPM cannot open it; a wrong secret uses it up.
    let challenge = client.begin(&tpm, &token).await.unwrap();
    let other = SoftwareTpm::new();
    let opened = other.activate_credential(&challenge.credential_blob, &challenge.encrypted_secret);
    assert_eq!(opened, None);
    let wrong = client.answer(&tpm, &challenge, vec![0; 32]);
    let refused = client.enrollment.finish(wrong).await.unwrap_err();
    assert_eq!(refused.message(), "enrollment refused: secret");
    let secret = tpm
        .activate_credential(&challenge.credential_blob, &challenge.encrypted_secret)
        .unwrap();
    let right = client.answer(&tpm, &challenge, secret);
    let late = client.enrollment.finish(right).await.unwrap_err();
    assert_eq!(late.message(), "enrollment refused: challenge");

    // The token was not lost to that.
    let host = client.join(&tpm, &token).await.unwrap();
    let used = client.begin(&SoftwareTpm::new(), &token).await.unwrap_err();
    assert_eq!(used.message(), "enrollment refused: token");

    // The same TPM, by another token, is the same host.
    let token = fixture.token(None).await;
    assert_eq!(client.join(&tpm, &token).await.unwrap(), host);
    fixture.stop().await;
}

#[tokio::test]
async fn without_token_list_or_certificate_nobody_joins() {
    let fixture = Fixture::start(Explain::Reason).await;
    let mut client = fixture.connect(None).await;
    let refused = client.begin(&SoftwareTpm::new(), "").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "enrollment refused: ek-trust");
    let refused = client
        .begin(&SoftwareTpm::new(), "hft1.x")
        .await
        .unwrap_err();
    assert_eq!(refused.message(), "enrollment refused: token");

    // A token of another authority, even with a secret that we know.
    let mut token: JoinToken = fixture.token(None).await.parse().unwrap();
    token.authority = holdfast_protocol::Sha256Digest::new([0; 32]);
    let refused = client
        .begin(&SoftwareTpm::new(), &token.reveal())
        .await
        .unwrap_err();
    assert_eq!(refused.message(), "enrollment refused: token");

    let token = fixture.token(Some("laptop")).await;
    let refused = client.begin(&SoftwareTpm::new(), &token).await.unwrap_err();
    assert_eq!(refused.message(), "enrollment refused: token");
    fixture.stop().await;
}

#[tokio::test]
async fn an_unknown_host_waits_until_it_is_approved() {
    let fixture = Fixture::start_with(Explain::Reason, UnknownHosts::Pending).await;
    let mut client = fixture.connect(None).await;
    let (tpm, other) = (SoftwareTpm::new(), SoftwareTpm::new());
    let told = client.begin(&tpm, "").await.unwrap_err();
    assert_eq!(told.code(), Code::PermissionDenied);
    let ek = EkFingerprint::of(&tpm.ek_public.key().unwrap());
    let waits = "enrollment waits: an operator of `example.org` has to approve `workstation`";
    assert_eq!(
        told.message(),
        format!("{waits}, ek {ek}; then enroll again")
    );
    client.begin(&other, "").await.unwrap_err();
    client.begin(&tpm, "").await.unwrap_err();
    let waiting = fixture.store.waiting(now()).await.unwrap();
    assert_eq!(waiting.len(), 2);
    let host = waiting.iter().find(|host| host.ek == ek).unwrap();
    assert!(host.why.contains("no token came along"), "{}", host.why);

    let approved = fixture.store.approve(host, now()).await.unwrap();
    assert_eq!(approved, Found::Changed);
    client.join(&tpm, "").await.unwrap();
    // Nobody else by that.
    client.begin(&other, "").await.unwrap_err();
    fixture.stop().await;
}

#[tokio::test]
async fn a_stranger_learns_nothing_where_policy_says_so() {
    let fixture = Fixture::start(Explain::Nothing).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;
    let host = client.join(&tpm, &token).await.unwrap();
    let mut evidence = client.evidence(&tpm, host).await.unwrap().1;
    evidence.pcrs[0].value[0] ^= 1;
    let messages = [
        client.attestation.attest(evidence).await.unwrap_err(),
        client.begin(&SoftwareTpm::new(), "").await.unwrap_err(),
        client
            .challenge(HostId::from_random([9; 16]))
            .await
            .unwrap_err(),
    ];
    for status in messages {
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "not accepted")
        );
    }
    // The operator does.
    let verdicts = fixture.store.verdicts(host, 1).await.unwrap();
    let Judged::Attestation { appraisal } = &verdicts[0].judged else {
        panic!("the newest verdict is of the attestation")
    };
    assert_eq!(appraisal.refusal().unwrap().check.to_string(), "pcr-digest");
    fixture.stop().await;
}

#[tokio::test]
async fn nobody_without_a_node_svid_gets_a_name() {
    let fixture = Fixture::start(Explain::Reason).await;
    let mut client = fixture.connect(None).await;
    let requests = [
        client
            .host
            .fetch_bundle(FetchBundleRequest {})
            .await
            .map(|_| ()),
        client
            .host
            .sign_x509_svid(SignX509SvidRequest::default())
            .await
            .map(|_| ()),
        client
            .host
            .sign_x509_svids(SignX509SvidsRequest::default())
            .await
            .map(|_| ()),
        client
            .host
            .sign_jwt_svid(SignJwtSvidRequest::default())
            .await
            .map(|_| ()),
    ];
    for result in requests {
        assert_eq!(result.unwrap_err().code(), Code::Unauthenticated);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_host_gets_no_name_of_another() {
    let fixture = Fixture::start(Explain::Reason).await;
    let (host, identity) = fixture.node().await;
    let (other, _) = fixture.node().await;
    let mut node = fixture.connect(Some(&identity)).await;
    for name in [
        format!("spiffe://example.org/host/{other}/agent/claude/x"),
        format!("spiffe://example.org/host/{other}"),
        format!("spiffe://example.org/host/{host}"),
        format!("spiffe://example.com/host/{host}/agent/claude/x"),
        "spiffe://example.org/attestor".to_owned(),
        "spiffe://example.org".to_owned(),
        String::new(),
    ] {
        let (_, csr) = key_with_request();
        let request = SignX509SvidRequest {
            spiffe_id: name.clone(),
            csr,
        };
        let refused = node.host.sign_x509_svid(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{name}");
        let request = SignJwtSvidRequest {
            spiffe_id: name.clone(),
            audience: vec!["db".to_owned()],
        };
        let refused = node.host.sign_jwt_svid(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{name}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn several_names_are_signed_at_once_or_none_of_them() {
    let fixture = Fixture::start(Explain::Reason).await;
    let (host, identity) = fixture.node().await;
    let mut node = fixture.connect(Some(&identity)).await;
    let ask = |name: String| SignX509SvidRequest {
        spiffe_id: name,
        csr: key_with_request().1,
    };
    let own = |number: usize| format!("spiffe://example.org/host/{host}/agent/claude/{number}");
    let requests: Vec<_> = (0..MAX_SVIDS).map(|number| ask(own(number))).collect();
    let request = SignX509SvidsRequest {
        requests: requests.clone(),
    };
    let signed = node.host.sign_x509_svids(request).await.unwrap();
    for (number, svid) in signed.into_inner().svids.iter().enumerate() {
        let leaf = Svid::parse(&svid.chain[0]).unwrap();
        assert_eq!(leaf.spiffe_id.to_string(), own(number));
    }
    // The host's own is one more.
    assert_eq!(fixture.store.issued_svids().await, MAX_SVIDS + 1);

    // One that is not the host's own, one that is no request, one too many: nothing is signed.
    let other = ask("spiffe://example.org/attestor".to_owned());
    let broken = SignX509SvidRequest {
        csr: vec![0x30],
        ..ask(own(1))
    };
    for (more, code) in [
        (vec![ask(own(0)), other], Code::PermissionDenied),
        (vec![ask(own(0)), broken], Code::InvalidArgument),
        (
            [requests, vec![ask(own(99))]].concat(),
            Code::InvalidArgument,
        ),
    ] {
        let request = SignX509SvidsRequest { requests: more };
        let refused = node.host.sign_x509_svids(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    assert_eq!(fixture.store.issued_svids().await, MAX_SVIDS + 1);
    fixture.store.ban(host, "lost", now()).await.unwrap();
    let request = SignX509SvidsRequest {
        requests: vec![ask(own(0))],
    };
    let refused = node.host.sign_x509_svids(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    fixture.stop().await;
}

#[tokio::test]
async fn a_revoked_host_gets_nothing_even_on_an_open_connection() {
    let fixture = Fixture::start(Explain::Reason).await;
    let tpm = SoftwareTpm::new();
    let token = fixture.token(None).await;
    let mut client = fixture.connect(None).await;
    let host = client.join(&tpm, &token).await.unwrap();
    let (key, svid) = client.attest(&tpm, host).await.unwrap();
    let mut node = fixture.connect(Some(&Identity::new(svid, &key))).await;
    node.host.fetch_bundle(FetchBundleRequest {}).await.unwrap();

    let evidence = client.evidence(&tpm, host).await.unwrap().1;
    fixture.store.revoke(host, "lost", now()).await.unwrap();
    let refused = node
        .host
        .fetch_bundle(FetchBundleRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = client.attestation.attest(evidence).await.unwrap_err();
    assert_eq!(refused.message(), "evidence refused: registration");
    let refused = client.challenge(host).await.unwrap_err();
    assert_eq!(refused.message(), "evidence refused: registration");
    let token = fixture.token(None).await;
    let refused = client.join(&tpm, &token).await.unwrap_err();
    assert_eq!(refused.message(), "enrollment refused: revoked");
    fixture.stop().await;
}

#[tokio::test]
async fn only_a_hosts_own_svid_opens_a_connection() {
    let fixture = Fixture::start(Explain::Reason).await;
    let (host, identity) = fixture.node().await;
    let mut node = fixture.connect(Some(&identity)).await;

    // An agent's SVID is no host's.
    let (key, csr) = key_with_request();
    let request = SignX509SvidRequest {
        spiffe_id: format!("spiffe://example.org/host/{host}/agent/claude/x"),
        csr,
    };
    let chain = node
        .host
        .sign_x509_svid(request)
        .await
        .unwrap()
        .into_inner()
        .chain;
    let agent = Identity::new(chain[0].clone(), &key);
    assert!(fixture.door.try_bundle(Some(&agent)).await.is_err());

    // Nor is that of an authority which calls itself ours.
    let folder = tempfile::tempdir().unwrap();
    let foreign = Authority::open(
        &KeyFolder::plain(folder.path()),
        &"example.org".parse().unwrap(),
        now(),
    )
    .unwrap();
    let (key, csr) = key_with_request();
    let csr = crate::csr::Csr::parse(&csr).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let signed = foreign.sign_node(host, &csr, hour, now()).unwrap();
    let forged = Identity::new(signed.chain[0].clone(), &key);
    assert!(fixture.door.try_bundle(Some(&forged)).await.is_err());
    assert!(fixture.door.try_bundle(Some(&identity)).await.is_ok());
    fixture.stop().await;
}

#[tokio::test]
async fn messages_are_bounded() {
    let fixture = Fixture::start(Explain::Reason).await;
    let mut client = fixture.connect(None).await;
    let message = BeginEnrollment {
        ek_public: vec![0; 17 * 1024],
        host_name: "h".to_owned(),
        grade: "hardware".to_owned(),
        ..BeginEnrollment::default()
    };
    let refused = client.enrollment.begin(message).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let message = BeginEnrollment {
        ek_intermediates: vec![vec![]; 9],
        ..BeginEnrollment::default()
    };
    let refused = client.enrollment.begin(message).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let message = BeginAttestation {
        host_id: "A".repeat(26),
    };
    let refused = client.attestation.begin(message).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let message = BeginEnrollment {
        ek_certificate: vec![0; 3 << 20],
        ..BeginEnrollment::default()
    };
    assert!(client.enrollment.begin(message).await.is_err());
    fixture.stop().await;
}

#[tokio::test]
async fn it_speaks_tls_1_3_only_and_resumes_nothing() {
    let fixture = Fixture::start(Explain::Reason).await;
    assert!(
        fixture
            .door
            .handshake(&[&rustls::version::TLS12])
            .await
            .is_err()
    );
    assert!(
        fixture
            .door
            .handshake(&[&rustls::version::TLS13])
            .await
            .is_ok()
    );
    // Two connections have two bindings.
    let (one, two) = (fixture.connect(None).await, fixture.connect(None).await);
    assert_ne!(one.binding, two.binding);
    fixture.stop().await;
}

#[tokio::test]
async fn it_stops_while_a_client_holds_its_connection() {
    let fixture = Fixture::start(Explain::Reason).await;
    let (_, identity) = fixture.node().await;
    let held: Client = fixture.connect(Some(&identity)).await;
    // A peer that connects and says nothing.
    let silent = tokio::net::TcpStream::connect(fixture.door.address)
        .await
        .unwrap();
    let started = std::time::Instant::now();
    fixture.stop().await;
    assert!(started.elapsed() < super::GRACE + std::time::Duration::from_secs(2));
    drop((held, silent));
}

#[test]
fn the_clock_is_this_centurys() {
    assert!(now() > Timestamp::from_secs(1_700_000_000));
}
