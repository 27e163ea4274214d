//! Frames on a session's socket: an agent's hook asks before a tool runs, git asks for a credential.
//!
//! Every frame gets an answer, and the answer to what is late, malformed or unknown is no. Who asks
//! is known from the socket, never from the frame.

use std::borrow::Cow;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use holdfast_authorize_calls::hook;
use holdfast_authorize_calls::normalize::claude::Heard;
use holdfast_authorize_calls::normalize::{Arrival, NotUnderstood, claude};
use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_authorize_calls::world::World;
use holdfast_issue_credentials::bridge::credential;
use holdfast_issue_credentials::decide::{Asked, Decide, Decision};
use holdfast_issue_credentials::{FrameHandler, FrameStream, SessionIdentity};
use holdfast_policy::Taint;
use holdfast_protocol::call::{Channel, Effect, ToolCall};
use holdfast_protocol::decision::{DeniedBy, Reason};
use holdfast_protocol::frame::{self, FrameError};
use holdfast_protocol::hook::{Dialect, HookRequest, HookResponse};
use holdfast_protocol::id::CallId;
use holdfast_protocol::session::{GitCredentialRequest, GitCredentialResponse, SessionRequest};
use holdfast_protocol::sub::SubPath;
use holdfast_protocol::words::with_causes;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::calls::{SessionCalls, pushes};
use super::known::Known;
use super::subs::{Parent, Subs};
use super::unable::unable;
use super::vitals::Pulse;
use crate::ambient::random_bits;

/// How long a shim may take to say what is wanted: it has it in hand.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers one session's frames.
pub struct Frames {
    authorizer: Authorizer,
    known: Arc<Known>,
    bridge: NonZeroU16,
    subs: Subs,
    own: Option<SubPath>,
    pulse: Pulse,
}

/// A frame was not answered by a decision.
#[derive(Debug, thiserror::Error)]
enum NotDecided {
    /// The shim was too slow, or went away.
    #[error("the shim's words did not come whole")]
    Read(#[source] std::io::Error),
    /// They are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// They are not the agent's words.
    #[error(transparent)]
    Words(#[from] NotUnderstood),
    /// The session is not one whose calls are decided.
    #[error("the session has ended")]
    Ended,
    /// No name could be drawn for the call.
    #[error("no randomness is to be had")]
    Randomness(#[source] std::io::Error),
}

impl Frames {
    /// For the session that `known` is of, or for its sub-agent `own`; its bridge is on port `bridge`
    /// of the session's loopback.
    pub fn new(
        authorizer: Authorizer,
        known: Arc<Known>,
        bridge: NonZeroU16,
        subs: Subs,
        own: Option<SubPath>,
        pulse: Pulse,
    ) -> Self {
        Self {
            authorizer,
            known,
            bridge,
            subs,
            own,
            pulse,
        }
    }

    async fn hook(&self, request: &HookRequest) -> Result<HookResponse, NotDecided> {
        let arrival = Arrival {
            id: CallId::from_random(random_bits().map_err(NotDecided::Randomness)?),
            caller: self.known.caller.clone(),
            received: self.authorizer.clock().now(),
        };
        let hear = |world: &World| match request.dialect {
            Dialect::Claude => claude::hear(&request.payload, arrival.clone(), world),
        };
        let mut world = Cow::Borrowed(self.known.world());
        let mut heard = hear(&world)?;
        if let Heard::Call { call, .. } = &heard
            && pushes(&call.effects)
        {
            world = Cow::Owned(self.world_now().await?);
            heard = hear(&world)?;
        }
        match heard {
            Heard::Call { call, tool_use_id } => {
                let id = call.id;
                let way = way_around(&world, &call);
                let mut decision = self.authorizer.decide(*call, &world, Taint::Clean).await;
                if let (Final::Deny { because, .. }, Some(way)) = (&mut decision, way) {
                    because.text = format!("{}; {way}", because.text);
                }
                if let (Final::Allow { .. }, Some(name)) = (&decision, tool_use_id)
                    && let Some(forgotten) = self.known.began(name, id)
                {
                    self.ended(forgotten, "not heard of again").await;
                }
                Ok(hook::claude(&decision))
            }
            Heard::Ended { tool_use_id } => {
                if let Some(call) = self.known.ended(&tool_use_id) {
                    self.ended(call, "the tool has run").await;
                }
                Ok(hook::claude_heard())
            }
            Heard::Nothing => Ok(hook::claude_heard()),
        }
    }

    /// What the session may touch, as its repository stands now.
    async fn world_now(&self) -> Result<World, NotDecided> {
        let known = Arc::clone(&self.known);
        tokio::task::spawn_blocking(move || known.world_now())
            .await
            .map_err(|_| NotDecided::Ended)
    }

    async fn ended(&self, call: CallId, outcome: &str) {
        self.authorizer
            .ended(call, outcome.to_owned(), vec![])
            .await;
    }

    /// Git gets a placeholder; that too is a use of the secret, and so a call.
    async fn credential(&self, request: &GitCredentialRequest) -> GitCredentialResponse {
        let wanted = match credential::wanted(&self.known.granted, self.bridge, request) {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        let name = wanted.granted.name.to_string();
        let asked = Asked {
            channel: Channel::Credential,
            tool: "git-credential",
            arguments: json!({ "secret": name }),
            effects: vec![Effect::UsesSecret { name }],
            creates: vec![],
        };
        let calls = SessionCalls::new(
            self.authorizer.clone(),
            Arc::clone(&self.known),
            self.pulse.clone(),
        );
        match calls.decide(asked).await {
            Decision::Allow { .. } => wanted.placeholder(),
            Decision::Deny { why } => GitCredentialResponse::Refused { why },
        }
    }

    async fn answer(&self, stream: &mut FrameStream) -> Result<Vec<u8>, NotDecided> {
        let request = tokio::time::timeout(PATIENCE, read(stream))
            .await
            .map_err(|_| NotDecided::Read(std::io::ErrorKind::TimedOut.into()))??;
        match request {
            SessionRequest::Hook(request) => encoded(&self.hook(&request).await?),
            SessionRequest::GitCredential(request) => encoded(&self.credential(&request).await),
            SessionRequest::Sub(wish) => {
                let parent = Parent {
                    sub: self.own,
                    known: &self.known,
                    bridge: self.bridge,
                };
                encoded(&self.subs.answer(parent, wish, stream.socket()).await)
            }
        }
    }
}

#[tonic::async_trait]
impl FrameHandler for Frames {
    async fn handle(
        &self,
        session: &SessionIdentity,
        mut stream: FrameStream,
        stop: CancellationToken,
    ) {
        let answer = tokio::select! {
            () = stop.cancelled() => Err(NotDecided::Ended),
            answer = self.answer(&mut stream) => answer,
        };
        let bytes = answer.or_else(|error| {
            let why = with_causes(&error);
            tracing::warn!(session = %session.session, why, "a frame was denied unheard");
            // A shim of another kind does not understand it, which serves as well.
            encoded(&hook::claude(&Final::Deny {
                by: DeniedBy::PolicyError,
                because: Reason::new("broker/not-understood", why),
            }))
        });
        let told = async {
            stream
                .write_all(&bytes.map_err(std::io::Error::other)?)
                .await?;
            stream.shutdown().await
        };
        if let Err(error) = told.await {
            // The shim treats silence as no.
            tracing::debug!(%error, "a shim went away before it was answered");
        }
    }
}

/// What an agent is told besides, where a call of its is denied.
fn way_around(world: &World, call: &ToolCall) -> Option<String> {
    let runs = call.effects.iter().find_map(|effect| {
        let Effect::Runs { program } = effect else {
            return None;
        };
        unable(program)
    });
    let advice = || world.advice(&call.effects, &call.cwd);
    runs.map(str::to_owned).or_else(advice)
}

fn encoded(answer: &impl Serialize) -> Result<Vec<u8>, NotDecided> {
    Ok(frame::encode(answer)?)
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
