//! What this job asks the deciding one before a secret leaves or a request goes out.
//!
//! A contract: the broker hands in the implementation, which knows the session that asks. It must
//! never be asked after the fact.

use holdfast_protocol::call::{Channel, Effect};
use holdfast_protocol::id::CallId;
use tonic::async_trait;

/// A call that this job saw coming.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The way it came: [`Channel::Egress`] or [`Channel::Credential`].
    pub channel: Channel,
    /// The tool, in the words of Holdfast (`git-push`, `model-api`, …).
    pub tool: &'static str,
    /// What there is to say of it, for the record; never a secret.
    pub arguments: serde_json::Value,
    /// What it would do.
    pub effects: Vec<Effect>,
    /// Full names of the refs that a push makes anew at its remote, by what is really sent.
    pub creates: Vec<String>,
}

/// Decides calls of one session.
#[async_trait]
pub trait Decide: Send + Sync + 'static {
    /// Decides, waiting for a human where that is needed; the decision is on record when it returns.
    async fn decide(&self, asked: Asked) -> Decision;

    /// Puts on record that a call was refused whatever anybody would say of it: its session has no such way.
    async fn refused(&self, asked: Asked, why: String);

    /// Says what became of a call that was let through.
    async fn ended(&self, call: CallId, outcome: String, seen: Vec<Effect>);
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may, as this call.
    Allow {
        /// The call's name on record.
        call: CallId,
    },
    /// It may not.
    Deny {
        /// Why, in words for the agent.
        why: String,
    },
}
