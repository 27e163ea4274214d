//! What a session's shims say to the broker over the session socket, and what it answers.
//!
//! One [`SessionRequest`] frame; the answer is a frame of the type that the request names. Who asks
//! is known from the socket: no field names a session. An answer must never hold a vault's secret.

use serde::{Deserialize, Serialize};

use crate::hook::HookRequest;
use crate::secret::Secret;
use crate::sub::SubRequest;

/// A question from inside a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum SessionRequest {
    /// An agent's hook; the answer is a [`crate::hook::HookResponse`].
    Hook(HookRequest),
    /// Git's credential helper; the answer is a [`GitCredentialResponse`].
    GitCredential(GitCredentialRequest),
    /// To become a sub-agent; the answer is a [`crate::sub::SubResponse`].
    Sub(SubRequest),
}

/// What git asked its helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitCredentialRequest {
    /// Which operation.
    pub operation: GitCredentialOperation,
    /// What git wrote to the helper, as it came: `key=value` lines (gitcredentials(7)).
    pub attributes: String,
}

/// The helper's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitCredentialOperation {
    /// Git wants a credential.
    Get,
    /// Git has used one and wants it kept.
    Store,
    /// Git was refused and wants it dropped.
    Erase,
}

/// What the helper says to git.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum GitCredentialResponse {
    /// A credential that is good at this session's bridge and nowhere else.
    Placeholder {
        /// The user's name.
        username: String,
        /// The placeholder (`hf_…`).
        password: Secret,
    },
    /// Nothing to say: not ours, or nothing to do.
    Nothing,
    /// It is not given, and git is to ask nobody else.
    Refused {
        /// Why, in words.
        why: String,
    },
}
