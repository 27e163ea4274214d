//! Hook frames: an agent asks before it acts.
//!
//! Every frame gets an answer, and the answer to what is late, malformed or unknown is no. Who asks
//! is known from the socket, never from the frame.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_authorize_calls::hook;
use holdfast_authorize_calls::normalize::claude::Heard;
use holdfast_authorize_calls::normalize::{Arrival, NotUnderstood, claude};
use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_authorize_calls::world::World;
use holdfast_issue_credentials::{FrameHandler, FrameStream, SessionIdentity};
use holdfast_policy::Taint;
use holdfast_protocol::call::Caller;
use holdfast_protocol::decision::{DeniedBy, Reason};
use holdfast_protocol::frame::{self, FrameError};
use holdfast_protocol::hook::{Dialect, HookResponse};
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::session::SessionRequest;
use holdfast_protocol::words::with_causes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::ambient::{now, random_bits};

/// How long a shim may take to say what the agent wants: it has it in hand.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the broker knows of a session whose calls it decides.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who it is.
    pub caller: Caller,
    /// What it may touch.
    pub world: World,
}

/// Answers hooks.
#[derive(Clone)]
pub struct Hooks {
    authorizer: Authorizer,
    known: Arc<Mutex<HashMap<SessionId, Arc<Known>>>>,
}

/// A frame was not answered by a decision.
#[derive(Debug, thiserror::Error)]
enum NotDecided {
    /// The shim was too slow, or went away.
    #[error("the hook's words did not come whole")]
    Read(#[source] std::io::Error),
    /// They are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// They are not the agent's words.
    #[error(transparent)]
    Words(#[from] NotUnderstood),
    /// The session is not one whose calls are decided.
    #[error("the session has ended")]
    Unknown,
    /// No name could be drawn for the call.
    #[error("no randomness is to be had")]
    Randomness(#[source] std::io::Error),
}

impl Hooks {
    /// Hooks that `authorizer` decides.
    pub fn new(authorizer: Authorizer) -> Self {
        Self {
            authorizer,
            known: Arc::default(),
        }
    }

    /// A session begins: from now on its calls are decided.
    pub fn begin(&self, session: SessionId, known: Known) {
        self.lock().insert(session, Arc::new(known));
    }

    /// A session has ended: what it asked is answered no, and it asks no more.
    pub async fn end(&self, session: SessionId) {
        self.lock().remove(&session);
        self.authorizer.session_gone(session).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Arc<Known>>> {
        // Every change of the map is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(
        &self,
        session: SessionId,
        stream: &mut FrameStream,
    ) -> Result<HookResponse, NotDecided> {
        let request = tokio::time::timeout(PATIENCE, read(stream))
            .await
            .map_err(|_| NotDecided::Read(std::io::ErrorKind::TimedOut.into()))??;
        let known = self
            .lock()
            .get(&session)
            .map(Arc::clone)
            .ok_or(NotDecided::Unknown)?;
        let arrival = Arrival {
            id: CallId::from_random(random_bits().map_err(NotDecided::Randomness)?),
            caller: known.caller.clone(),
            received: now(),
        };
        let request = match request {
            SessionRequest::Hook(request) => request,
            SessionRequest::GitCredential(_) => return Err(NotDecided::Unknown),
        };
        match request.dialect {
            Dialect::Claude => match claude::hear(&request.payload, arrival, &known.world)? {
                Heard::Call(call) => {
                    let decision = self
                        .authorizer
                        .decide(*call, &known.world, Taint::Clean)
                        .await;
                    Ok(hook::claude(&decision))
                }
                Heard::Ended { .. } | Heard::Nothing => Ok(hook::claude_heard()),
            },
        }
    }
}

#[tonic::async_trait]
impl FrameHandler for Hooks {
    async fn handle(
        &self,
        session: &SessionIdentity,
        mut stream: FrameStream,
        stop: CancellationToken,
    ) {
        let answer = tokio::select! {
            () = stop.cancelled() => Err(NotDecided::Unknown),
            answer = self.answer(session.session, &mut stream) => answer,
        };
        let response = answer.unwrap_or_else(|error| {
            let why = with_causes(&error);
            tracing::warn!(session = %session.session, why, "a hook was denied unheard");
            hook::claude(&Final::Deny {
                by: DeniedBy::PolicyError,
                because: Reason::new("broker/not-understood", why),
            })
        });
        let told = async {
            let bytes = frame::encode(&response).map_err(std::io::Error::other)?;
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        };
        if let Err(error) = told.await {
            // The shim treats silence as no.
            tracing::debug!(%error, "a hook went away before it was answered");
        }
    }
}

async fn read(stream: &mut FrameStream) -> Result<SessionRequest, NotDecided> {
    let mut prefix = [0; frame::PREFIX];
    stream
        .read_exact(&mut prefix)
        .await
        .map_err(NotDecided::Read)?;
    let mut body = vec![0; frame::body_length(prefix)?];
    stream
        .read_exact(&mut body)
        .await
        .map_err(NotDecided::Read)?;
    Ok(frame::decode(&body)?)
}
