//! Why the shim could not get an answer, and the denial that the agent gets instead.
//!
//! It must never read as an answer that policy or a human gave.

use std::io;
use std::path::PathBuf;

use holdfast_protocol::frame::FrameError;
use holdfast_protocol::hook::{HookExit, HookResponse};
use holdfast_protocol::words::with_causes;
use serde_json::json;

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Whoever configured the hook.
    #[error("the hook is configured wrongly: its only argument is the agent, `claude`")]
    Usage,
    /// Whoever configured the credential helper.
    #[error(
        "the credential helper is configured wrongly: its arguments are `git` and an operation"
    )]
    CredentialUsage,
    /// Whoever called `sub`.
    #[error("{what}; usage: {}", crate::sub::USAGE)]
    SubUsage {
        /// What is wrong with it.
        what: String,
    },
    /// The environment: the kernel lacks a wall that the sub-agent was to have.
    #[error("the sub-agent's walls cannot be put up here, so it does not run")]
    Wall(#[source] landlock::RulesetError),
    /// The environment: the kernel has no Landlock.
    #[error(
        "this kernel has no Landlock, so a sub-agent that has less than its parent does not run"
    )]
    NoWall,
    /// The sub-agent's program.
    #[error("the program cannot be run")]
    NotRun(#[source] io::Error),
    /// The environment.
    #[error("the input cannot be read")]
    Input(#[source] io::Error),
    /// The agent, or git.
    #[error("the input is too long")]
    InputTooLong,
    /// The agent.
    #[error("the hook's input is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// Git.
    #[error("the credential helper's input is not UTF-8")]
    NotText,
    /// Policy or a human: the broker's own words.
    #[error("{}", printable(why))]
    Broker {
        /// Why.
        why: String,
    },
    /// The broker.
    #[error("the broker's answer is not a credential that git could read")]
    NotACredential,
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
    /// The denial, in Claude Code's words, which the other agents that take JSON understand too.
    pub fn response(&self) -> HookResponse {
        HookResponse {
            stdout: json!({
                "hookSpecificOutput": {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "deny",
                    "permissionDecisionReason": format!("Holdfast could not decide this, so it is denied: {}", with_causes(self)),
                }
            }),
            exit: HookExit::Block,
        }
    }
}

/// Words that come from elsewhere, as one line.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
