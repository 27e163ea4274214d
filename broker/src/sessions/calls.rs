//! A session's requests and uses of secrets, put to the deciding job as calls like any other.
//!
//! Who asks is known from the socket that the request came by. It must never answer by itself.

use std::borrow::Cow;
use std::sync::Arc;

use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_authorize_calls::world::World;
use holdfast_authorize_calls::world::repository::branch;
use holdfast_issue_credentials::decide::{Asked, Decide, Decision};
use holdfast_policy::Taint;
use holdfast_protocol::call::{Effect, ToolCall, ToolName};
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

#[tonic::async_trait]
impl Decide for SessionCalls {
    async fn decide(&self, asked: Asked) -> Decision {
        self.pulse.beat();
        let deny = |why: &str| Decision::Deny {
            why: why.to_owned(),
        };
        let Ok(bits) = random_bits() else {
            return deny("no randomness is to be had");
        };
        let Ok(tool) = ToolName::try_from(asked.tool.to_owned()) else {
            return deny("the tool's name is not one");
        };
        let world = self.world(&asked).await;
        let id = CallId::from_random(bits);
        let call = ToolCall {
            id,
            caller: self.known.caller.clone(),
            channel: asked.channel,
            tool,
            arguments: asked.arguments,
            cwd: world.project.clone(),
            effects: asked.effects,
            received: self.authorizer.clock().now(),
        };
        match self.authorizer.decide(call, &world, Taint::Clean).await {
            Final::Allow { .. } => {
                for reference in asked.creates {
                    if let Some(name) = branch(&reference) {
                        self.known.pushes_new(&name);
                    }
                }
                Decision::Allow { call: id }
            }
            Final::Deny { because, .. } => deny(&because.text),
        }
    }

    async fn ended(&self, call: CallId, outcome: String, seen: Vec<Effect>) {
        self.authorizer.ended(call, outcome, seen).await;
    }
}
