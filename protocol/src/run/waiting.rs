//! That a session waits for its human before it begins.
//!
//! Values only: the question itself is put and answered elsewhere.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::grade::Tier;
use crate::id::CallId;

/// What a session waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunWaiting {
    /// The question's name.
    pub call: CallId,
    /// What it is about, in a line.
    pub headline: String,
    /// Everything that is asked for, in words.
    pub effects: Vec<String>,
    /// Why a human is asked, in words.
    pub why: String,
    /// How much proof it takes.
    pub tier: Tier,
    /// Without an answer, the answer is no then.
    pub deadline: Timestamp,
}
