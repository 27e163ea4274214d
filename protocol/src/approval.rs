//! Questions to a human, as they are shown, and the answers.
//!
//! Every word of a question comes from the call's effects and from policy, never from the agent.

use serde::{Deserialize, Serialize};

use crate::call::HumanUid;
use crate::grade::Tier;
use crate::id::{AgentKind, CallId, SessionId};
use crate::secret::Secret;
use crate::{Sha256Digest, Timestamp};

/// A question that waits for its human.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The call that is asked about; also the question's name.
    pub call: CallId,
    /// Which session asks.
    pub session: SessionId,
    /// What kind of agent it is.
    pub agent: AgentKind,
    /// Who is asked.
    pub human: HumanUid,
    /// The most serious effect, in words.
    pub headline: String,
    /// Every effect, in words, the most serious first.
    pub effects: Vec<String>,
    /// How much proof it takes.
    pub tier: Tier,
    /// Why a human is asked.
    pub why: String,
    /// The call in the agent's own words: its tool, and its arguments as JSON, cut where they are
    /// long. To be shown apart from everything above, as a quotation.
    pub quoted: Quoted,
    /// Where relative paths start, inside the session.
    pub directory: String,
    /// SHA-256 over the call's canonical JSON.
    pub digest: Sha256Digest,
    /// Its place among the human's questions, from 1, oldest first.
    pub position: usize,
    /// Whether the agent still waits.
    pub waits: Waits,
    /// What this host declares of PINs that are typed into a window on X11.
    #[serde(default)]
    pub pin_on_x11: PinOnX11,
}

/// Whether a PIN may be typed where every other program can watch: what the host's configuration declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinOnX11 {
    /// No.
    #[default]
    Refuse,
    /// Yes: somebody has declared it, and each use is recorded.
    Allow,
}

/// A call in the agent's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// The tool.
    pub tool: String,
    /// Its arguments, JSON, at most [`Quoted::MAX`] characters.
    pub arguments: String,
    /// How many characters more there are.
    pub omitted: usize,
}

impl Quoted {
    /// The most characters of arguments that are quoted.
    pub const MAX: usize = 4096;
}

/// Whether the agent still waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Waits {
    /// It does; without an answer, the call is denied then.
    Until {
        /// When.
        deadline: Timestamp,
    },
    /// It was told no already; an approval lets the same call through once, until the card goes.
    Late {
        /// When it goes.
        gone: Timestamp,
    },
}

/// What a recovery code does to the PIN that it was shown with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinRecovery {
    /// The wrong tries are forgotten.
    Unlock,
    /// The approval key behind it is given up, so that another can be made behind another PIN.
    Remove,
}

/// A human's answer, as it comes over the management socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HumanAnswer {
    /// No.
    Deny,
    /// Yes, without a proof of presence: enough for R1.
    Click,
    /// Yes, with the PIN that the TPM checks: enough for R2.
    Pin {
        /// What was typed.
        pin: Secret,
        /// Where it was typed.
        surface: Surface,
    },
}

/// Where a PIN was typed, as the program that took it says: it tells honest programs apart, no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// A terminal of the human's.
    Terminal,
    /// A file that a script names.
    File,
    /// A window on a Wayland compositor, which keeps keys from other programs.
    WaylandWindow,
    /// A window on an X11 server, where every other program can watch the keys.
    X11Window,
}
