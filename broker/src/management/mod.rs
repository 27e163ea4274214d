//! The management socket: questions of the command line and the window, answered by the daemon.
//!
//! One request, one answer, one connection at a time per peer. A peer is known by the kernel's word
//! alone, and a stranger is refused before its request is read.

mod answer;
mod approvals;
mod peer;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::frame;
use holdfast_protocol::management::{Failure, FailureKind, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub use self::answer::Answers;
pub use self::peer::Managers;

/// How long a peer may take to send its request or to take the answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections served at once: people and scripts, not services; more wait in the kernel's queue.
const CONNECTIONS: usize = 32;

/// Serves the socket until `stop`; requests under way are finished first.
pub async fn serve(
    listener: UnixListener,
    managers: Managers,
    answers: Arc<Answers>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let answers = Arc::clone(&answers);
                let managers = managers.clone();
                connections.spawn(async move {
                    let _place = place;
                    if let Err(error) = converse(stream, &managers, &answers).await {
                        tracing::debug!(%error, "a management connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the management socket does not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn converse(
    mut stream: UnixStream,
    managers: &Managers,
    answers: &Answers,
) -> std::io::Result<()> {
    let response = match managers.admit(&stream) {
        Ok(caller) => match timeout(PEER_TIMEOUT, read_request(&mut stream)).await? {
            Ok(Some(request)) => answers.answer(request, caller).await,
            Ok(None) => return Ok(()),
            Err(error) => malformed(&error),
        },
        Err(refused) => Response::Failed(Failure {
            kind: FailureKind::Failed,
            message: refused.to_string(),
            advice: "run it as root, or have your uid added to `management.uids` in holdfastd.toml"
                .to_owned(),
        }),
    };
    let bytes = frame::encode(&response).or_else(|error| frame::encode(&unspeakable(&error)));
    let bytes = bytes.map_err(std::io::Error::other)?;
    timeout(PEER_TIMEOUT, stream.write_all(&bytes)).await??;
    stream.shutdown().await
}

/// A request; nothing if the peer only looked whether somebody listens.
async fn read_request(stream: &mut UnixStream) -> Result<Option<Request>, frame::FrameError> {
    let mut prefix = [0; frame::PREFIX];
    if stream.read_exact(&mut prefix).await.is_err() {
        return Ok(None);
    }
    // It can hold a PIN or a secret.
    let mut body = Zeroizing::new(vec![0; frame::body_length(prefix)?]);
    if stream.read_exact(&mut body).await.is_err() {
        return Ok(None);
    }
    frame::decode(&body).map(Some)
}

fn malformed(error: &frame::FrameError) -> Response {
    Response::Failed(Failure {
        kind: FailureKind::Usage,
        message: format!("the request was not understood: {error}"),
        advice: "use a `holdfast` of the same version as holdfastd".to_owned(),
    })
}

fn unspeakable(error: &frame::FrameError) -> Response {
    Response::Failed(Failure {
        kind: FailureKind::Failed,
        message: format!("the answer does not fit a frame: {error}"),
        advice: "ask for less at a time".to_owned(),
    })
}
