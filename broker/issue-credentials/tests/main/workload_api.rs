//! The Workload API as clients meet it: the Rust `spiffe` crate, and a raw client for what no
//! conforming client does.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use holdfast_issue_credentials::workload::MAX_STREAMS;
use holdfast_issue_credentials::workload::api;
use holdfast_issue_credentials::{Audiences, Authority, JwtError};
use holdfast_protocol::audit::What;
use spiffe::{JwtSvid, WorkloadApiError};
use tonic::{Code, Request, Status};

use crate::support::{Conduct, Door, Served, SoftwareAuthority, TRUST_DOMAIN, secured};

#[tokio::test]
async fn an_x509_svid_comes_with_its_key_and_bundle() {
    let served = Served::start();
    let context = served.client().await.fetch_x509_context().await.unwrap();
    let svid = context.default_svid().unwrap();
    assert_eq!(svid.spiffe_id().to_string(), served.spiffe_id());
    assert_eq!(svid.cert_chain().len(), 1);

    // The key is the certified one: what it signs, the certificate verifies.
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    let key = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        svid.private_key().as_bytes(),
    )
    .unwrap();
    key.sign(&SystemRandom::new(), b"x").unwrap();
    let leaf = holdfast_proof::svid::Svid::parse(svid.leaf().as_bytes()).unwrap();
    assert!(leaf.public_key.ends_with(key.public_key().as_ref()));

    let bundles = served.client().await.fetch_x509_bundles().await.unwrap();
    let bundle = bundles.get(&TRUST_DOMAIN.try_into().unwrap()).unwrap();
    assert_eq!(bundle.authorities().len(), 1);
    assert_eq!(
        bundle.authorities()[0].as_bytes(),
        served.authority.ca_der()
    );
}

#[tokio::test]
async fn a_jwt_svid_is_valid_for_an_independent_verifier_and_cached() {
    let served = Served::start();
    let client = served.client().await;
    let svid = client.fetch_jwt_svid(["b", "a"], None).await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), served.spiffe_id());
    let bundles = client.fetch_jwt_bundles().await.unwrap();
    JwtSvid::parse_and_validate(svid.token(), &bundles, &["a"]).unwrap();
    assert!(JwtSvid::parse_and_validate(svid.token(), &bundles, &["c"]).is_err());

    let again = client.fetch_jwt_svid(["a", "b", "a"], None).await.unwrap();
    assert_eq!(again.token(), svid.token());
    assert_eq!(served.authority.jwt_signed.load(Ordering::SeqCst), 1);
    let other = client.fetch_jwt_svid(["a"], None).await.unwrap();
    assert_ne!(other.token(), svid.token());
}

#[tokio::test]
async fn a_jwt_svid_is_validated_for_the_caller_with_its_claims() {
    let served = Served::start();
    let client = served.client().await;
    let svid = client.fetch_jwt_svid(["us"], None).await.unwrap();
    client.validate_jwt_token("us", svid.token()).await.unwrap();

    let mut raw = served.raw().await;
    let mut judge = async |audience: &str, svid: &str| {
        let message = api::ValidateJwtsvidRequest {
            audience: audience.to_owned(),
            svid: svid.to_owned(),
        };
        raw.validate_jwtsvid(secured(message)).await
    };
    let answer = judge("us", svid.token()).await.unwrap().into_inner();
    assert_eq!(answer.spiffe_id, served.spiffe_id());
    let claims = answer.claims.unwrap().fields;
    for claim in ["sub", "aud", "exp", "iat", "jti"] {
        assert!(claims.contains_key(claim), "{claim}");
    }
    let forged = served.authority.jwt(
        serde_json::json!({"alg": "ES256", "kid": "jwt-1", "jku": "https://elsewhere"}),
        serde_json::json!({"sub": served.spiffe_id(), "aud": "us", "exp": 4_000_000_000_u64}),
    );
    for (audience, token) in [
        ("them", svid.token()),
        ("us", "not a token"),
        ("us", forged.as_str()),
        ("", svid.token()),
        ("us", ""),
    ] {
        let refused = judge(audience, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{audience} {token}");
    }
}

#[tokio::test]
async fn every_method_wants_the_security_header() {
    let served = Served::start();
    let mut raw = served.raw().await;
    let mut refusals: Vec<Status> = Vec::new();
    let jwt = api::JwtsvidRequest {
        audience: vec!["a".to_owned()],
        spiffe_id: String::new(),
    };
    let validate = api::ValidateJwtsvidRequest::default();
    refusals.extend(raw.fetch_x509svid(api::X509svidRequest {}).await.err());
    refusals.extend(
        raw.fetch_x509_bundles(api::X509BundlesRequest {})
            .await
            .err(),
    );
    refusals.extend(raw.fetch_jwtsvid(jwt.clone()).await.err());
    refusals.extend(raw.fetch_jwt_bundles(api::JwtBundlesRequest {}).await.err());
    refusals.extend(raw.validate_jwtsvid(validate).await.err());
    let mut wrong = Request::new(jwt);
    let header = "TRUE".parse().unwrap();
    wrong.metadata_mut().insert("workload.spiffe.io", header);
    refusals.extend(raw.fetch_jwtsvid(wrong).await.err());

    assert_eq!(refusals.len(), 6);
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(refusal.message(), "security header missing from request");
    }
    assert_eq!(served.memory.count(), 0);
}

#[tokio::test]
async fn the_optional_wit_profile_is_unimplemented() {
    let served = Served::start();
    let mut grpc = tonic::client::Grpc::new(served.channel().await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<api::X509svidRequest, api::X509svidResponse>::default();
    let path = "/SpiffeWorkloadAPI/FetchWITSVID".try_into().unwrap();
    let request = secured(api::X509svidRequest {});
    let refused = grpc.server_streaming(request, path, codec).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_request_that_is_not_the_sessions_is_refused() {
    let served = Served::start();
    let mut raw = served.raw().await;
    let mut ask = async |audience: Vec<String>, spiffe_id: &str| {
        let message = api::JwtsvidRequest {
            audience,
            spiffe_id: spiffe_id.to_owned(),
        };
        raw.fetch_jwtsvid(secured(message)).await.map(|_| ())
    };
    let a = || vec!["a".to_owned()];
    assert!(ask(a(), &served.spiffe_id()).await.is_ok());
    let other = ask(a(), "spiffe://example.org/other").await.unwrap_err();
    assert_eq!(other.code(), Code::PermissionDenied);
    for bad in [
        vec![],
        vec![String::new()],
        vec!["a".repeat(5000)],
        (0..9).map(|i| i.to_string()).collect(),
    ] {
        let refused = ask(bad, "").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_rotation_pushes_a_whole_new_message() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    authority.set_ttl(Duration::from_secs(3));
    let served = Served::with(authority, 1, Door::Open);
    let client = served.client().await;
    let mut contexts = client.stream_x509_contexts().await.unwrap();
    let first = contexts.next().await.unwrap().unwrap();
    served.authority.set_ttl(Duration::from_secs(3600));
    let second = contexts.next().await.unwrap().unwrap();
    let (first, second) = (
        first.default_svid().unwrap(),
        second.default_svid().unwrap(),
    );
    assert_ne!(first.leaf(), second.leaf());
    assert_ne!(
        first.private_key().as_bytes(),
        second.private_key().as_bytes()
    );
    // Both were recorded, and nothing else was sent.
    assert_eq!(served.memory.count(), 2);

    // A bundle that changes is a new message, too, on every stream that carries it.
    let mut bundles = client.stream_x509_bundles().await.unwrap();
    bundles.next().await.unwrap().unwrap();
    let more = SoftwareAuthority::new(TRUST_DOMAIN).ca_der();
    served.authority.publish(&[more]);
    let bundles = bundles.next().await.unwrap().unwrap();
    let context = contexts.next().await.unwrap().unwrap();
    let trust_domain = TRUST_DOMAIN.try_into().unwrap();
    let authorities = bundles.get(&trust_domain).unwrap().authorities().len();
    assert_eq!(authorities, 2);
    assert_eq!(context.default_svid().unwrap().leaf(), second.leaf());
}

#[tokio::test]
async fn a_trust_domain_vouches_for_its_own_names_alone() {
    let served = Served::start();
    let client = served.client().await;
    let mut contexts = client.stream_x509_contexts().await.unwrap();
    contexts.next().await.unwrap().unwrap();
    // Somebody of another trust domain, whom nobody here knows yet.
    let other = SoftwareAuthority::new("other.example");
    let audiences = Audiences::new(vec!["us".to_owned()]).unwrap();
    let theirs = "spiffe://other.example/x".parse().unwrap();
    let token = other.sign_jwt(&theirs, &audiences).await.unwrap();
    let judge = |token: &str| served.session.validate(token, "us");
    assert!(matches!(judge(&token), Err(JwtError::TrustDomain)));

    // Every stream says it at once, with what was there before.
    served.authority.federate("other.example", &other);
    let context = contexts.next().await.unwrap().unwrap();
    let [ours, name] = [TRUST_DOMAIN, "other.example"].map(|name| name.try_into().unwrap());
    let fetched = client.fetch_x509_bundles().await.unwrap();
    for bundles in [context.bundle_set().as_ref(), &fetched] {
        let foreign = bundles.get(&name).unwrap();
        assert_eq!(foreign.authorities()[0].as_bytes(), other.ca_der());
        assert_eq!(
            bundles.get(&ours).unwrap().authorities()[0].as_bytes(),
            served.authority.ca_der()
        );
    }
    let jwts = client.fetch_jwt_bundles().await.unwrap();
    assert!(jwts.get(&name).is_some() && jwts.get(&ours).is_some());
    assert_eq!(judge(&token).unwrap().spiffe_id, theirs);

    // Its keys sign nothing of ours, nor ours of it: the same `kid`, and another key.
    let ours = served.spiffe_id().parse().unwrap();
    let stolen = other.sign_jwt(&ours, &audiences).await.unwrap();
    assert!(matches!(judge(&stolen), Err(JwtError::Signature)));
    let stolen = served
        .authority
        .sign_jwt(&theirs, &audiences)
        .await
        .unwrap();
    assert!(matches!(judge(&stolen), Err(JwtError::Signature)));
}

#[tokio::test]
async fn a_revocation_ends_streams_and_requests_at_once() {
    let served = Served::start();
    let client = served.client().await;
    let mut contexts = client.stream_x509_contexts().await.unwrap();
    let mut bundles = client.stream_jwt_bundles().await.unwrap();
    contexts.next().await.unwrap().unwrap();
    bundles.next().await.unwrap().unwrap();
    let svid = client.fetch_jwt_svid(["a"], None).await.unwrap();

    let begun = Instant::now();
    served.session.revoke();
    let ended = contexts.next().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(100));
    assert!(matches!(ended, Err(WorkloadApiError::NoIdentityIssued)));
    assert!(contexts.next().await.is_none());
    let ended = bundles.next().await.unwrap();
    assert!(matches!(ended, Err(WorkloadApiError::NoIdentityIssued)));

    let denied = |error| matches!(error, WorkloadApiError::NoIdentityIssued);
    assert!(denied(client.fetch_x509_svid().await.unwrap_err()));
    assert!(denied(client.fetch_x509_bundles().await.unwrap_err()));
    assert!(denied(
        client.fetch_jwt_svid(["a"], None).await.unwrap_err()
    ));
    assert!(denied(client.fetch_jwt_bundles().await.unwrap_err()));
    assert!(denied(
        client
            .validate_jwt_token("a", svid.token())
            .await
            .unwrap_err()
    ));
}

#[tokio::test]
async fn nothing_leaves_without_its_record() {
    let served = Served::start();
    served.memory.set_broken(Some(()));
    let mut raw = served.raw().await;
    let mut stream = (raw.fetch_x509svid(secured(api::X509svidRequest {})).await)
        .unwrap()
        .into_inner();
    let refused = stream.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let jwt = api::JwtsvidRequest {
        audience: vec!["a".to_owned()],
        spiffe_id: String::new(),
    };
    let refused = raw.fetch_jwtsvid(secured(jwt.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    // Once the log works again, so does the session: each SVID is recorded once.
    served.memory.set_broken(None);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..3 {
        raw.fetch_jwtsvid(secured(jwt.clone())).await.unwrap();
        served.client().await.fetch_x509_svid().await.unwrap();
    }
    let records = served.memory.records.lock().unwrap();
    let mut issued = Vec::new();
    for what in records.iter() {
        let What::SvidIssued {
            session,
            spiffe_id,
            audience,
            ..
        } = what
        else {
            panic!("{what:?}")
        };
        assert_eq!(*session, served.session.identity().session);
        assert_eq!(spiffe_id.to_string(), served.spiffe_id());
        issued.push(audience.as_str());
    }
    issued.sort();
    assert_eq!(issued, ["a", "x509"]);
}

#[tokio::test]
async fn an_authority_that_fails_or_lies_issues_nothing() {
    for (conduct, code) in [
        (Conduct::Unreachable, Code::Unavailable),
        (Conduct::Refusing, Code::PermissionDenied),
        (Conduct::OtherName, Code::Unavailable),
        (Conduct::OtherKey, Code::Unavailable),
        (Conduct::Malformed, Code::Unavailable),
    ] {
        let authority = SoftwareAuthority::new(TRUST_DOMAIN);
        authority.set_conduct(conduct);
        let served = Served::with(authority, 1, Door::Open);
        let mut raw = served.raw().await;
        let stream = raw.fetch_x509svid(secured(api::X509svidRequest {})).await;
        let refused = stream.unwrap().into_inner().message().await.unwrap_err();
        assert_eq!(refused.code(), code, "{conduct:?}");
        let jwt = api::JwtsvidRequest {
            audience: vec!["a".to_owned()],
            spiffe_id: String::new(),
        };
        let refused = raw.fetch_jwtsvid(secured(jwt)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{conduct:?}");
        assert_eq!(served.memory.count(), 0, "{conduct:?}");
    }
}

#[tokio::test]
async fn an_unknown_bundle_is_unavailable() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    authority.forget_bundle();
    let served = Served::with(authority, 1, Door::Open);
    let mut raw = served.raw().await;
    let stream = raw
        .fetch_jwt_bundles(secured(api::JwtBundlesRequest {}))
        .await;
    let refused = stream.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    served.authority.publish(&[]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.client().await.fetch_jwt_bundles().await.unwrap();
}

#[tokio::test]
async fn each_session_has_its_own_identity_and_key() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    let one = Served::with(authority.clone(), 1, Door::Open);
    let two = Served::with(authority, 2, Door::Open);
    let first = one.client().await.fetch_x509_svid().await.unwrap();
    let second = two.client().await.fetch_x509_svid().await.unwrap();
    assert_eq!(first.spiffe_id().to_string(), one.spiffe_id());
    assert_eq!(second.spiffe_id().to_string(), two.spiffe_id());
    assert_ne!(
        first.private_key().as_bytes(),
        second.private_key().as_bytes()
    );
}

#[tokio::test]
async fn streams_are_bounded() {
    let served = Served::start();
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS / 32 {
        let mut raw = served.raw().await;
        for _ in 0..32 {
            let stream = raw
                .fetch_x509_bundles(secured(api::X509BundlesRequest {}))
                .await;
            let mut stream = stream.unwrap().into_inner();
            stream.message().await.unwrap().unwrap();
            open.push(stream);
        }
    }
    let mut raw = served.raw().await;
    let refused = raw
        .fetch_x509_bundles(secured(api::X509BundlesRequest {}))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    // One that ends makes room.
    open.pop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.client().await.fetch_x509_bundles().await.unwrap();
}
