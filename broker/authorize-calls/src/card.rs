//! What a human is shown about a question.
//!
//! Every word but the quotation comes from the call's effects and the policy, never from the agent. Text that the agent chose
//! inside an effect (a path, a host) stands in back quotes, shortened, with nothing invisible in it.

use holdfast_protocol::approval::Quoted;
use holdfast_protocol::call::{Channel, Effect, History, HumanUid, Manner, Reach, ToolCall};
use holdfast_protocol::decision::Reason;
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::{AgentKind, CallId, SessionId};
use holdfast_protocol::receipt::Consent;
use holdfast_protocol::widening::Widening;
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest piece of an agent's text that is shown whole, in characters.
const MAX_QUOTED: usize = 72;

/// A question as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalCard {
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
    pub why: Reason,
    /// The call in the agent's own words, to be shown as a quotation.
    pub quoted: Quoted,
    /// Where relative paths start, inside the session.
    pub directory: String,
    /// SHA-256 over the call's canonical JSON.
    pub digest: Sha256Digest,
    /// What a proof signs.
    pub consent: Consent,
    /// Its place among the human's questions, from 1, oldest first.
    pub position: usize,
    /// Whether the agent still waits.
    pub waiting: Waiting,
}

/// Whether the agent still waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Waiting {
    /// It does; without an answer, the call is denied then.
    Until {
        /// When.
        deadline: Timestamp,
    },
    /// It was told no already; an approval lets the same call through once. The card goes away then.
    Late {
        /// When.
        gone: Timestamp,
    },
}

/// A call as its agent put it.
pub fn quotation(call: &ToolCall) -> Quoted {
    let text = call.arguments.to_string();
    let mut characters = text.chars();
    let arguments: String = characters.by_ref().take(Quoted::MAX).collect();
    Quoted {
        tool: call.tool.as_str().to_owned(),
        arguments,
        omitted: characters.count(),
    }
}

/// The most serious effect of `call`, in words.
pub fn headline(call: &ToolCall) -> String {
    match call.channel {
        // Its human knows a session that begins by what it is and where, not by what it does.
        Channel::Launch => {
            let project = quoted(&call.cwd.to_string_lossy());
            summary(&call.effects, &format!("{} in {project}", call.caller.kind))
        }
        Channel::Hook | Channel::Mcp | Channel::Egress | Channel::Credential => {
            summary(&call.effects, "")
        }
    }
}

/// The most serious of `effects`, in words; `whom` it is for, where that is to be said.
fn summary(effects: &[Effect], whom: &str) -> String {
    let mut lines = lines(effects).into_iter();
    let first = lines.next().map(|first| match whom {
        "" => first,
        whom if first.starts_with("Lend ") => format!("{first} to {whom}"),
        whom => format!("{first}, for {whom}"),
    });
    match (first, lines.len()) {
        (None, _) => "Do something that changes nothing outside the agent".to_owned(),
        (Some(first), 0) => first,
        (Some(first), 1) => format!("{first}, and 1 more thing"),
        (Some(first), more) => format!("{first}, and {more} more things"),
    }
}

/// Every effect in words, the most serious first.
pub fn lines(effects: &[Effect]) -> Vec<String> {
    let mut sorted: Vec<&Effect> = effects.iter().collect();
    sorted.sort_by_key(|effect| weight(effect));
    sorted.into_iter().map(line).collect()
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Publishes { registry } => format!("Publish or deploy with {}", quoted(registry)),
        Effect::Pushes {
            remote,
            refspec,
            history,
        } => {
            let what = match refspec.as_deref() {
                None => "the current branch".to_owned(),
                Some("refs/heads/*") => "every branch".to_owned(),
                Some("refs/tags/*") => "every tag".to_owned(),
                Some("refs/*") => "everything".to_owned(),
                Some(refspec) => match refspec
                    .split_once("/")
                    .and_then(|(_, rest)| rest.split_once("/"))
                {
                    Some(("tags", name)) => format!("tag {}", quoted(name)),
                    Some(("heads", name)) => quoted(name),
                    Some(_) | None => quoted(refspec),
                },
            };
            let to = match remote {
                Some(remote) => quoted(remote),
                None => "the default remote".to_owned(),
            };
            match history {
                History::Kept => format!("Push {what} to {to}"),
                History::Overwritten => format!("Push {what} to {to}, overwriting history"),
            }
        }
        Effect::Deletes { path } => format!("Delete {}", quoted(&path.to_string_lossy())),
        Effect::Spends { what } => format!("Spend money on {}", quoted(what)),
        Effect::Widens { widening } => match widening {
            Widening::Reach(reach) => {
                format!("Begin with a way to {}", quoted(&reach.to_string()))
            }
            Widening::Host(host) => format!("Begin with leave to reach {}", quoted(host.as_str())),
            Widening::Publish(publish) => format!(
                "Begin with its port {} shown on this machine as {}",
                publish.inside, publish.outside
            ),
            Widening::Read(path) => format!("Lend {} for reading", quoted(path.as_str())),
            Widening::Write(path) => format!("Lend {} writable", quoted(path.as_str())),
            Widening::Unguard(path) => format!(
                "Let {} be changed, which decides what runs outside the session",
                quoted(path.as_str())
            ),
        },
        Effect::UsesSecret { name } => format!("Use the secret {}", quoted(name)),
        Effect::Reaches { host, manner } => match manner {
            Manner::Send => format!("Send something to {}", quoted(host)),
            Manner::Fetch => format!("Fetch something from {}", quoted(host)),
        },
        Effect::Uninspectable { why, reach } => match reach {
            Reach::Outward => format!(
                "Do something that Holdfast cannot see through: {}",
                plain(why)
            ),
            Reach::Local => format!(
                "Do something inside the session that Holdfast cannot see through: {}",
                plain(why)
            ),
        },
        Effect::Writes { path } => format!("Write {}", quoted(&path.to_string_lossy())),
        Effect::Runs { program } => format!("Run {}", quoted(program)),
        Effect::Reads { path } => format!("Read {}", quoted(&path.to_string_lossy())),
    }
}

/// Lower is more serious.
fn weight(effect: &Effect) -> u8 {
    match effect {
        Effect::Publishes { .. } => 0,
        Effect::Pushes {
            history: History::Overwritten,
            ..
        } => 1,
        Effect::Pushes {
            history: History::Kept,
            ..
        } => 2,
        Effect::Spends { .. } => 3,
        Effect::Deletes { .. } => 4,
        Effect::Widens { widening } => match widening {
            Widening::Write(_) | Widening::Unguard(_) => 4,
            Widening::Reach(_) | Widening::Host(_) | Widening::Publish(_) | Widening::Read(_) => 5,
        },
        Effect::UsesSecret { .. } => 5,
        Effect::Uninspectable {
            reach: Reach::Outward,
            ..
        } => 6,
        Effect::Reaches {
            manner: Manner::Send,
            ..
        } => 7,
        Effect::Reaches {
            manner: Manner::Fetch,
            ..
        } => 8,
        Effect::Writes { .. } => 9,
        Effect::Runs { .. } => 10,
        Effect::Uninspectable {
            reach: Reach::Local,
            ..
        } => 11,
        Effect::Reads { .. } => 12,
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", plain(text).replace('`', "\\u{60}"))
}

/// Text without anything that could hide or reorder it: whatever is not a plain letter, digit, mark or space is spelled
/// out. Long text keeps its ends, where a path or an address says what it is.
fn plain(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let spell = |c: &char| -> String {
        if c.is_alphanumeric() || c.is_ascii_graphic() || *c == ' ' {
            c.to_string()
        } else {
            c.escape_unicode().to_string()
        }
    };
    if characters.len() <= MAX_QUOTED {
        return characters.iter().map(spell).collect();
    }
    let half = MAX_QUOTED / 2;
    let head: String = characters.iter().take(half).map(spell).collect();
    let tail: String = characters
        .iter()
        .skip(characters.len() - half)
        .map(spell)
        .collect();
    format!("{head} … {tail}")
}

#[cfg(test)]
mod tests;
