//! Questions to the broker over its management socket: one connection, one request, one answer.
//!
//! Every answer is bounded in size ([`frame`]) and in time. It must never retry by itself: an
//! answer to a question is given once, by a human.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::approval::{HumanAnswer, Question};
use holdfast_protocol::frame::{self, FrameError};
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::management::{
    Failure, Request, Response, SessionAct, SessionStatus, Status,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The longest that the broker may take: longer than it holds [`Request::AwaitApprovals`] (25 s),
/// and long enough for a slow TPM to sign.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The broker, by its socket. Clones are the same.
#[derive(Clone, Debug)]
pub struct Broker {
    socket: Arc<Path>,
}

/// The broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Environment: nobody listens, or this user may not come near.
    #[error("no broker answers at `{}`", socket.display())]
    NoBroker {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Environment: the connection ended early, or nothing came in time.
    #[error("the broker did not answer")]
    Interrupted(#[source] std::io::Error),
    /// Peer: what came is no answer.
    #[error("the broker's answer cannot be read")]
    Frame(#[source] FrameError),
    /// Peer: it answered something else; it is of another version.
    #[error("the broker's answer does not belong to the question")]
    Unexpected,
    /// The broker said no, in words.
    #[error("{}", .0.message)]
    Refused(Failure),
}

impl ClientError {
    /// What to do next, in words for a human.
    pub fn advice(&self) -> String {
        match self {
            Self::NoBroker { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "your user may not reach the socket's folder".to_owned()
            }
            Self::NoBroker { .. } => {
                "start holdfastd (`systemctl start holdfastd`), or name its socket with --socket"
                    .to_owned()
            }
            Self::Interrupted(_) => {
                "see its log (`journalctl -u holdfastd`), then try again".to_owned()
            }
            Self::Frame(_) | Self::Unexpected => {
                "use programs of the same version as holdfastd".to_owned()
            }
            Self::Refused(failure) => failure.advice.clone(),
        }
    }
}

impl Broker {
    /// The broker that listens at `socket`.
    pub fn at(socket: &Path) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// How it is.
    ///
    /// # Errors
    /// [`ClientError`], as for every request.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let Response::Status(status) = self.ask(&Request::Status).await? else {
            return Err(ClientError::Unexpected);
        };
        Ok(*status)
    }

    /// The questions that wait for the caller, now.
    ///
    /// # Errors
    /// [`ClientError`], as for every request.
    pub async fn questions(&self) -> Result<Vec<Question>, ClientError> {
        self.listed(&Request::Approvals).await
    }

    /// The same, once they are other than `known`, or after at most half a minute.
    ///
    /// # Errors
    /// [`ClientError`], as for every request.
    pub async fn news(&self, known: Vec<CallId>) -> Result<Vec<Question>, ClientError> {
        self.listed(&Request::AwaitApprovals { known }).await
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`ClientError`], as for every request.
    pub async fn answer(&self, call: CallId, answer: HumanAnswer) -> Result<(), ClientError> {
        let Response::Answered = self.ask(&Request::AnswerCall { call, answer }).await? else {
            return Err(ClientError::Unexpected);
        };
        Ok(())
    }

    /// The sessions of this host.
    ///
    /// # Errors
    /// [`ClientError`], as for every request.
    pub async fn sessions(&self) -> Result<Vec<SessionStatus>, ClientError> {
        let Response::Sessions(sessions) = self.ask(&Request::Sessions).await? else {
            return Err(ClientError::Unexpected);
        };
        Ok(sessions)
    }

    /// Freezes a session, lets it go on, or ends it.
    ///
    /// # Errors
    /// [`ClientError`], as for every request.
    pub async fn control(&self, session: SessionId, act: SessionAct) -> Result<(), ClientError> {
        let Response::Sessions(_) = self.ask(&Request::ControlSession { session, act }).await?
        else {
            return Err(ClientError::Unexpected);
        };
        Ok(())
    }

    async fn listed(&self, request: &Request) -> Result<Vec<Question>, ClientError> {
        let Response::Approvals(questions) = self.ask(request).await? else {
            return Err(ClientError::Unexpected);
        };
        Ok(questions)
    }

    async fn ask(&self, request: &Request) -> Result<Response, ClientError> {
        let stream =
            UnixStream::connect(&self.socket)
                .await
                .map_err(|source| ClientError::NoBroker {
                    socket: self.socket.to_path_buf(),
                    source,
                })?;
        let late = |_| ClientError::Interrupted(ErrorKind::TimedOut.into());
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange(stream, request))
            .await
            .map_err(late)??;
        if let Response::Failed(failure) = answer {
            return Err(ClientError::Refused(failure));
        }
        Ok(answer)
    }
}

async fn exchange(mut stream: UnixStream, request: &Request) -> Result<Response, ClientError> {
    let frame = zeroize::Zeroizing::new(frame::encode(request).map_err(ClientError::Frame)?);
    let sent = stream.write_all(&frame).await;
    let mut prefix = [0; frame::PREFIX];
    // A broker that refuses the caller answers before it reads, and may have hung up by now: its
    // answer says more than the broken pipe.
    if let Err(error) = stream.read_exact(&mut prefix).await {
        return Err(ClientError::Interrupted(sent.err().unwrap_or(error)));
    }
    let mut body = vec![0; frame::body_length(prefix).map_err(ClientError::Frame)?];
    stream
        .read_exact(&mut body)
        .await
        .map_err(ClientError::Interrupted)?;
    frame::decode(&body).map_err(ClientError::Frame)
}

#[cfg(test)]
mod tests;
