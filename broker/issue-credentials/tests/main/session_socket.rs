//! The socket itself: who is let in, what is told apart, and that it ends with everything in it.

use std::time::Duration;

use futures::StreamExt;
use holdfast_issue_credentials::MAX_CONNECTIONS;
use holdfast_issue_credentials::workload::api;
use spiffe::WorkloadApiError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tonic::Code;

use crate::support;
use crate::support::{Door, Served, SoftwareAuthority, TRUST_DOMAIN, secured};

/// What comes back until the server closes.
async fn answer(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a close, too.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

#[tokio::test]
async fn frames_and_the_workload_api_share_the_socket() {
    let served = Served::start();
    served.client().await.fetch_x509_svid().await.unwrap();
    let mut frames = served.connect().await;
    frames.write_all(b"\0\0\0\x02{}").await.unwrap();
    frames.shutdown().await.unwrap();
    let name = served.session.identity().session;
    let expected = [name.to_string().as_bytes(), b"\0\0\0\x02{}"].concat();
    assert_eq!(answer(&mut frames).await, expected);
    served.client().await.fetch_x509_svid().await.unwrap();
}

#[tokio::test]
async fn any_other_language_is_closed() {
    let served = Served::start();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\x16\x03\x01", b"{}"] {
        let mut stream = served.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(answer(&mut stream).await, b"");
    }
    // A preface that is none ends the connection, and nothing else.
    let mut stream = served.connect().await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        .await
        .unwrap();
    answer(&mut stream).await;
    served.client().await.fetch_x509_svid().await.unwrap();
}

#[tokio::test]
async fn a_process_that_is_not_admitted_has_no_identity() {
    let authority = SoftwareAuthority::new(TRUST_DOMAIN);
    let served = Served::with(authority, 1, Door::Shut);
    let client = served.client().await;
    let denied = |error| matches!(error, WorkloadApiError::NoIdentityIssued);
    assert!(denied(client.fetch_x509_svid().await.unwrap_err()));
    assert!(denied(
        client.fetch_jwt_svid(["a"], None).await.unwrap_err()
    ));
    assert!(denied(client.fetch_jwt_bundles().await.unwrap_err()));
    assert!(denied(
        client.validate_jwt_token("a", "b").await.unwrap_err()
    ));
    assert_eq!(served.memory.count(), 0);

    let mut frames = served.connect().await;
    frames.write_all(b"\0\0\0\x02{}").await.unwrap();
    assert_eq!(answer(&mut frames).await, b"");
}

#[tokio::test]
async fn connections_are_bounded() {
    let served = Served::start();
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        open.push(served.connect().await);
    }
    let mut one_more = served.connect().await;
    assert_eq!(answer(&mut one_more).await, b"");
    // One that ends makes room.
    open.pop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.client().await.fetch_x509_svid().await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_everything_in_order() {
    let before = Handle::current().metrics().num_alive_tasks();
    let mut served = Served::start();
    let client = served.client().await;
    let mut contexts = client.stream_x509_contexts().await.unwrap();
    contexts.next().await.unwrap().unwrap();

    served.stop.cancel();
    // The client is told to come back; its identity is not taken away.
    match contexts.next().await.unwrap() {
        Err(WorkloadApiError::Transport(error)) => {
            assert!(error.to_string().contains("unavailable"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    served.ended(Duration::from_millis(500)).await.unwrap();
    assert!(UnixStream::connect(&served.path).await.is_err());
    drop((contexts, client));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_outlive_the_socket() {
    let before = Handle::current().metrics().num_alive_tasks();
    let mut served = Served::start();
    // A preface and no more; and one that never even begins.
    let mut preface = served.connect().await;
    preface
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let silent = served.connect().await;
    // A frame that never ends, whose handler does not look at the token.
    let mut frames = served.connect().await;
    frames.write_all(b"\0\0").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;

    served.stop.cancel();
    served.ended(Duration::from_secs(3)).await.unwrap();
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
    drop((preface, silent, frames));
}

#[tokio::test]
async fn a_request_that_waits_is_answered_when_the_socket_stops() {
    let mut served = Served::start();
    served.authority.set_conduct(support::Conduct::Silent);
    let mut raw = served.raw().await;
    let request = secured(api::JwtsvidRequest {
        audience: vec!["a".to_owned()],
        spiffe_id: String::new(),
    });
    let stop = served.stop.clone();
    let (answer, ()) = tokio::join!(raw.fetch_jwtsvid(request), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    });
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    served.ended(Duration::from_secs(1)).await.unwrap();
}
