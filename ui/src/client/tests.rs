#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use holdfast_protocol::management::FailureKind;
use tokio::net::UnixListener;

use super::*;

/// A broker of one answer: these bytes, whatever is asked.
async fn answering(bytes: Vec<u8>) -> Result<Vec<Question>, ClientError> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let peer = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; frame::PREFIX];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    };
    let broker = Broker::at(&socket);
    tokio::join!(peer, broker.questions()).1
}

#[tokio::test]
async fn an_answer_is_taken_and_a_refusal_keeps_its_advice() {
    let none = frame::encode(&Response::Approvals(Vec::new())).unwrap();
    assert!(answering(none).await.unwrap().is_empty());
    let failure = Failure {
        kind: FailureKind::Failed,
        message: "no".to_owned(),
        advice: "ask another".to_owned(),
    };
    let error = answering(frame::encode(&Response::Failed(failure)).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (error.to_string(), error.advice()),
        ("no".to_owned(), "ask another".to_owned())
    );
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    let other = frame::encode(&Response::Answered).unwrap();
    assert!(matches!(
        answering(other).await,
        Err(ClientError::Unexpected)
    ));
    let huge = u32::MAX.to_be_bytes().to_vec();
    assert!(matches!(answering(huge).await, Err(ClientError::Frame(_))));
    let short = vec![0, 0, 0, 9, b'{'];
    assert!(matches!(
        answering(short).await,
        Err(ClientError::Interrupted(_))
    ));
    let folder = tempfile::tempdir().unwrap();
    let nobody = Broker::at(&folder.path().join("nobody")).questions().await;
    assert!(matches!(nobody, Err(ClientError::NoBroker { .. })));
}
