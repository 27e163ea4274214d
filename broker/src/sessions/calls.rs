//! A session's requests and uses of secrets, put to the deciding job as calls like any other.
//!
//! Who asks is known from the socket that the request came by. It must never answer by itself.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_authorize_calls::world::World;
use holdfast_authorize_calls::world::repository::branch;
use holdfast_issue_credentials::decide::{Asked, Decide, Decision};
use holdfast_policy::Taint;
use holdfast_protocol::call::{Effect, ToolCall, ToolName};
use holdfast_protocol::decision::Reason;
use holdfast_protocol::id::CallId;

use super::known::Known;
use super::vitals::Pulse;
use crate::ambient::random_bits;

/// Whether any of these changes something at a git remote.
pub fn pushes(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Pushes { .. }))
}

/// Decides what one session's bridge and credential helper ask.
#[derive(Clone)]
pub struct SessionCalls {
    authorizer: Authorizer,
    known: Arc<Known>,
    pulse: Pulse,
}

impl SessionCalls {
    /// For the session that `known` is of.
    pub fn new(authorizer: Authorizer, known: Arc<Known>, pulse: Pulse) -> Self {
        Self {
            authorizer,
            known,
            pulse,
        }
    }

    /// What the session may touch, seen from where its requests leave: a branch that a push creates
    /// is its own, whatever its project says; one that is there already is not.
    async fn world(&self, asked: &Asked) -> Cow<'_, World> {
        if !pushes(&asked.effects) {
            return Cow::Borrowed(self.known.world());
        }
        let known = Arc::clone(&self.known);
        let world = tokio::task::spawn_blocking(move || known.world_now()).await;
        // Without one nothing is known, and so nothing is allowed alone.
        let mut world = world.unwrap_or_default();
        let before = world.branches.made.clone();
        world.branches.made = self.known.pushed();
        let new = asked
            .creates
            .iter()
            .filter_map(|reference| branch(reference));
        world
            .branches
            .made
            .extend(new.filter(|name| before.contains(name)));
        Cow::Owned(world)
    }
}

impl SessionCalls {
    /// What was asked, as a call of this session's; in words what stands in the way.
    fn call(&self, asked: Asked, cwd: PathBuf) -> Result<ToolCall, &'static str> {
        let bits = random_bits().map_err(|_| "no randomness is to be had")?;
        Ok(ToolCall {
            id: CallId::from_random(bits),
            caller: self.known.caller.clone(),
            channel: asked.channel,
            tool: ToolName::try_from(asked.tool.to_owned())
                .map_err(|_| "the tool's name is not one")?,
            arguments: asked.arguments,
            cwd,
            effects: asked.effects,
            received: self.authorizer.clock().now(),
        })
    }
}

#[tonic::async_trait]
impl Decide for SessionCalls {
    async fn decide(&self, mut asked: Asked) -> Decision {
        self.pulse.beat();
        let world = self.world(&asked).await;
        let creates = std::mem::take(&mut asked.creates);
        let call = match self.call(asked, world.project.clone()) {
            Ok(call) => call,
            Err(why) => {
                return Decision::Deny {
                    why: why.to_owned(),
                };
            }
        };
        let id = call.id;
        match self.authorizer.decide(call, &world, Taint::Clean).await {
            Final::Allow { .. } => {
                for reference in creates {
                    if let Some(name) = branch(&reference) {
                        self.known.pushes_new(&name);
                    }
                }
                Decision::Allow { call: id }
            }
            Final::Deny { because, .. } => Decision::Deny { why: because.text },
        }
    }

    async fn refused(&self, asked: Asked, why: String) {
        // Refused it is, also where no record of that can be made.
        if let Ok(call) = self.call(asked, self.known.world().project.clone()) {
            let because = Reason::new("bridge/no-way", why);
            self.authorizer.refuse(call, because).await;
        }
    }

    async fn ended(&self, call: CallId, outcome: String, seen: Vec<Effect>) {
        self.authorizer.ended(call, outcome, seen).await;
    }
}
