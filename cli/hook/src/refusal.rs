//! Why the shim could not get an answer, and the denial that the agent gets instead.
//!
//! It must never read as an answer that policy or a human gave.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use holdfast_protocol::frame::FrameError;
use holdfast_protocol::hook::{HookExit, HookResponse};
use serde_json::json;

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Whoever configured the hook.
    #[error("the hook is configured wrongly: its only argument is the agent, `claude`")]
    Usage,
    /// The environment.
    #[error("the hook's input cannot be read")]
    Input(#[source] io::Error),
    /// The agent.
    #[error("the hook's input is too long")]
    InputTooLong,
    /// The agent.
    #[error("the hook's input is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The environment: no broker listens.
    #[error("the broker cannot be reached at `{}`", path.display())]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The environment.
    #[error("the exchange with the broker failed")]
    Socket(#[source] io::Error),
    /// The broker.
    #[error("the broker hung up without an answer")]
    HungUp,
    /// The broker.
    #[error("the broker did not answer in time")]
    Silence,
    /// The broker, or a call that no frame can hold.
    #[error("a message between hook and broker is not valid")]
    Frame(#[source] FrameError),
}

impl Refusal {
    /// The whole story, on one line.
    pub fn with_causes(&self) -> String {
        let mut story = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            story.push_str(": ");
            story.push_str(&error.to_string());
            cause = error.source();
        }
        story
    }

    /// The denial, in Claude Code's words, which the other agents that take JSON understand too.
    pub fn response(&self) -> HookResponse {
        HookResponse {
            stdout: json!({
                "hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "deny",
                    "permissionDecisionReason": format!("Holdfast could not decide this, so it is denied: {}", self.with_causes()),
                }
            }),
            exit: HookExit::Block,
        }
    }
}
