//! A session hands an open connection out of its walls: identity does not go along.

use std::sync::atomic::Ordering;

use holdfast_hardware_tests::world::World;
use holdfast_issue_credentials::workload::api::{JwtsvidRequest, X509svidRequest};
use tonic::{Code, Request, Status};

use crate::support::{Handed, secured, session_with_accomplice};

fn jwt(audience: &str) -> Request<JwtsvidRequest> {
    secured(JwtsvidRequest {
        audience: vec![audience.to_owned()],
        spiffe_id: String::new(),
    })
}

fn assert_no_identity(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(status.message(), "no identity issued");
}

#[tokio::test]
async fn a_connection_that_a_session_hands_on_takes_no_identity_along() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let mut session = session_with_accomplice(&world, &project);

    // Fresh from the session: root outside writes its first byte.
    let (mut client, outside) = {
        let handed = Handed::take(&project);
        handed.outside.store(true, Ordering::SeqCst);
        handed.client().await
    };
    assert!(outside.load(Ordering::SeqCst));
    assert_no_identity(
        &client
            .fetch_jwtsvid(jwt("fresh.example"))
            .await
            .unwrap_err(),
    );
    let refused = client.fetch_x509svid(secured(X509svidRequest {})).await;
    assert_no_identity(&refused.unwrap_err());

    // One on which the session has fetched, and has a stream open.
    let (mut client, outside) = Handed::take(&project).client().await;
    let stream = client.fetch_x509svid(secured(X509svidRequest {})).await;
    let mut stream = stream.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.svids[0].spiffe_id.contains("/agent/shell/"));
    client.fetch_jwtsvid(jwt("own.example")).await.unwrap();
    outside.store(true, Ordering::SeqCst);
    for audience in ["own.example", "used.example"] {
        assert_no_identity(&client.fetch_jwtsvid(jwt(audience)).await.unwrap_err());
    }
    assert_no_identity(&stream.message().await.unwrap_err());

    // A hook's frame: the session is answered, the outsider is not.
    let handed = Handed::take(&project);
    assert!(!handed.ask_as_hook("true").await.is_empty());
    let handed = Handed::take(&project);
    handed.outside.store(true, Ordering::SeqCst);
    assert_eq!(handed.ask_as_hook("true").await, b"");

    // The session goes on as before, and nothing else was issued than what it asked for.
    let (mut client, _) = Handed::take(&project).client().await;
    client.fetch_jwtsvid(jwt("again.example")).await.unwrap();
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    for issued in ["own.example", "again.example"] {
        assert!(record.contains(issued), "{issued} is missing:\n{record}");
    }
    for refused in ["fresh.example", "used.example"] {
        assert!(!record.contains(refused), "{refused}:\n{record}");
    }
    session.kill().unwrap();
    session.wait().unwrap();
}
