//! The hook shim's messages: what an agent's hook said, and what the broker answers.
//!
//! The shim passes the agent's own JSON on untouched; it must never interpret it.

use serde::{Deserialize, Serialize};

/// One hook invocation, shim to broker, over the session socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    /// Whose dialect `payload` is in.
    pub dialect: Dialect,
    /// What the agent wrote to the hook's standard input.
    pub payload: serde_json::Value,
}

/// A hook's dialect of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Claude Code.
    Claude,
}

/// The broker's answer, broker to shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookResponse {
    /// What the shim writes to its standard output.
    pub stdout: serde_json::Value,
    /// How the shim exits.
    pub exit: HookExit,
}

/// How a shim ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookExit {
    /// Status 0: the answer is in the output.
    Answered,
    /// Status 2: the agent must not go on.
    Block,
}
