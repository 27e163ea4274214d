//! What was decided about a call, and in whose words.
//!
//! A decision is made in one place (the `authorize-calls` job); this module must never make one.

use serde::{Deserialize, Serialize};

use crate::grade::Tier;

/// What policy says of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It may happen.
    Allow {
        /// The rule that says so.
        because: Reason,
    },
    /// It may happen once a human has proven consent.
    StepUp {
        /// How much proof.
        tier: Tier,
        /// Why a human is asked.
        because: Reason,
    },
    /// It may not happen.
    Deny {
        /// Who says no.
        by: DeniedBy,
        /// Why.
        because: Reason,
    },
}

/// Who said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeniedBy {
    /// A policy rule.
    Policy,
    /// A policy that could not be evaluated.
    PolicyError,
    /// The human.
    Human,
    /// Nobody answered in time.
    Silence,
    /// The record could not be written.
    Audit,
    /// The session is revoked, ended or frozen.
    Session,
}

/// Why, in one sentence that is fit for the agent, the human and the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule or mechanism (`default/push-protected`), stable enough to search for.
    pub rule: String,
    /// One sentence without a final period.
    pub text: String,
}

impl Reason {
    /// A reason from its rule and its sentence.
    pub fn new(rule: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            text: text.into(),
        }
    }
}
