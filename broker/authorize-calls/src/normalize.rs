//! From what an agent's channel says to a [`ToolCall`](holdfast_protocol::call::ToolCall).
//!
//! One adapter for every dialect. It must never drop what it does not understand: an unknown tool is uninspectable.

pub mod claude;

use std::path::PathBuf;

use holdfast_protocol::Timestamp;
use holdfast_protocol::call::{Caller, Channel, Effect, Reach, ToolCall, ToolName};
use holdfast_protocol::id::CallId;
use serde_json::Value;

/// What the broker knows of a call before it reads it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The call's name, drawn by the broker.
    pub id: CallId,
    /// Who asks, by the socket that it came over.
    pub caller: Caller,
    /// When.
    pub received: Timestamp,
}

/// The agent's words cannot be understood. The agent is to blame.
#[derive(Debug, thiserror::Error)]
pub enum NotUnderstood {
    /// The message lacks what every message of its dialect has.
    #[error("the hook's message is not one of this agent's")]
    Message(#[source] serde_json::Error),
    /// The tool's name is empty, too long, or has control characters.
    #[error("the tool's name is not one")]
    Tool(#[source] holdfast_protocol::call::InvalidToolName),
    /// The working folder is not an absolute path of at most 4,096 bytes.
    #[error("the working folder is not an absolute path")]
    Folder,
}

fn tool_call(
    arrival: Arrival,
    tool: String,
    arguments: Value,
    cwd: PathBuf,
    effects: Vec<Effect>,
) -> Result<ToolCall, NotUnderstood> {
    Ok(ToolCall {
        id: arrival.id,
        caller: arrival.caller,
        channel: Channel::Hook,
        tool: ToolName::try_from(tool).map_err(NotUnderstood::Tool)?,
        arguments,
        cwd,
        effects,
        received: arrival.received,
    })
}

fn uninspectable(why: impl Into<String>) -> Vec<Effect> {
    vec![Effect::Uninspectable {
        why: why.into(),
        reach: Reach::Outward,
    }]
}
