//! What the window is told to show: view models, made from the core's state.
//!
//! Every text goes through [`visible`](crate::visible). The TypeScript types are made from these
//! (`web/view.ts`; a test says when they are stale). Nothing here must hold a PIN.

use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::approval::{PinOnX11, Question, Surface, Waits};
use holdfast_protocol::grade::Tier;
use serde::Serialize;

use crate::state::{Act, Core, Notice, Stage};
use crate::visible::{Piece, pieces};
use crate::words;

/// The whole window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Screen {
    /// A question.
    Question(Box<QuestionView>),
    /// The question that was here has gone.
    Gone {
        /// What it was.
        headline: Vec<Piece>,
        /// How many others wait.
        others: u32,
    },
    /// Nothing waits.
    Nothing,
    /// The broker cannot be asked, and there is nothing else to show.
    NoBroker {
        /// Why, and what to do.
        notice: NoticeView,
    },
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct QuestionView {
    /// Its name.
    pub call: String,
    /// The most serious effect.
    pub headline: Vec<Piece>,
    /// Every effect, the most serious first.
    pub effects: Vec<Vec<Piece>>,
    /// The agent's kind.
    pub agent: String,
    /// Its session.
    pub session: String,
    /// Where relative paths start.
    pub directory: Vec<Piece>,
    /// SHA-256 over the call.
    pub digest: String,
    /// `R0` to `R3`.
    pub tier: String,
    /// What the tier takes.
    pub tier_means: String,
    /// Why a human is asked.
    pub why: Vec<Piece>,
    /// Whether Holdfast understands all of it.
    pub sight: Sight,
    /// Its place in the queue, from 1.
    pub position: u32,
    /// How long the queue is.
    pub of: u32,
    /// What the agent does meanwhile.
    pub waits: WaitsView,
    /// The call in the agent's own words.
    pub quoted: QuotedView,
    /// How it is approved here.
    pub approval: Approval,
    /// What is being done to it.
    pub act: ActView,
    /// Why the broker cannot be asked, where it cannot.
    pub lost: Option<NoticeView>,
}

/// Whether Holdfast understands what a call would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// It does.
    Clear,
    /// Not all of it.
    Uninspectable,
}

/// What the agent does while a question is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum WaitsView {
    /// It waits so many milliseconds more; then the answer is no.
    Until {
        /// Milliseconds.
        left: u32,
    },
    /// It was told no; an approval lets the same call through once, so many milliseconds more.
    Late {
        /// Milliseconds.
        left: u32,
    },
}

/// A call in the agent's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct QuotedView {
    /// The tool.
    pub tool: Vec<Piece>,
    /// Its arguments, JSON.
    pub arguments: Vec<Piece>,
    /// How many characters more there are.
    pub omitted: u32,
}

/// How a question is approved in this window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// By a click.
    Click,
    /// With a PIN that only this window sees.
    Pin,
    /// With a PIN that every program of the desktop can watch (X11), which this host declares to be right.
    WatchedPin,
    /// With a PIN, in a terminal: every program of this desktop could watch it here (X11).
    InTerminal,
    /// Not here.
    Elsewhere,
}

/// What is being done to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum ActView {
    /// It waits for the human.
    Waiting,
    /// An approval is on its way.
    Approving,
    /// A denial is on its way.
    Denying,
    /// The last answer was not taken.
    Refused {
        /// Why, and what to do.
        notice: NoticeView,
    },
}

/// A refusal or a trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct NoticeView {
    /// What happened.
    pub message: Vec<Piece>,
    /// What to do next.
    pub advice: Vec<Piece>,
}

/// What the window is to show, on a desktop where a PIN is typed on `surface`.
pub fn screen(core: &Core, now: Timestamp, surface: Surface) -> Screen {
    match core.stage() {
        Stage::Asking(question, act) => Screen::Question(Box::new(QuestionView {
            act: ActView::of(act),
            lost: core.lost().map(NoticeView::of),
            ..QuestionView::of(question, now, surface, core.questions().len())
        })),
        Stage::Gone { headline, .. } => Screen::Gone {
            headline: pieces(headline),
            others: count(core.questions().len()),
        },
        Stage::Hidden | Stage::Nothing => {
            core.lost()
                .map_or(Screen::Nothing, |notice| Screen::NoBroker {
                    notice: NoticeView::of(notice),
                })
        }
    }
}

impl QuestionView {
    fn of(question: &Question, now: Timestamp, surface: Surface, queue: usize) -> Self {
        Self {
            call: question.call.to_string(),
            headline: pieces(&question.headline),
            effects: question
                .effects
                .iter()
                .map(|effect| pieces(effect))
                .collect(),
            agent: question.agent.to_string(),
            session: question.session.to_string(),
            directory: pieces(&question.directory),
            digest: question.digest.to_string(),
            tier: words::tier_name(question.tier).to_owned(),
            tier_means: words::tier(question.tier).to_owned(),
            why: pieces(&question.why),
            sight: if words::opaque(question) {
                Sight::Uninspectable
            } else {
                Sight::Clear
            },
            position: count(question.position),
            of: count(queue.max(question.position)),
            waits: match question.waits {
                Waits::Until { deadline } => WaitsView::Until {
                    left: millis(deadline.since(now)),
                },
                Waits::Late { gone } => WaitsView::Late {
                    left: millis(gone.since(now)),
                },
            },
            quoted: QuotedView {
                tool: pieces(&question.quoted.tool),
                arguments: pieces(&question.quoted.arguments),
                omitted: count(question.quoted.omitted),
            },
            approval: match (question.tier, surface) {
                (Tier::R0 | Tier::R1, _) => Approval::Click,
                (Tier::R2, Surface::X11Window) => match question.pin_on_x11 {
                    PinOnX11::Allow => Approval::WatchedPin,
                    PinOnX11::Refuse => Approval::InTerminal,
                },
                (Tier::R2, Surface::WaylandWindow | Surface::Terminal | Surface::File) => {
                    Approval::Pin
                }
                (Tier::R3, _) => Approval::Elsewhere,
            },
            act: ActView::Waiting,
            lost: None,
        }
    }
}

impl ActView {
    fn of(act: &Act) -> Self {
        match act {
            Act::Waiting => Self::Waiting,
            Act::Approving => Self::Approving,
            Act::Denying => Self::Denying,
            Act::Refused(notice) => Self::Refused {
                notice: NoticeView::of(notice),
            },
        }
    }
}

impl NoticeView {
    fn of(notice: &Notice) -> Self {
        Self {
            message: pieces(&notice.message),
            advice: pieces(&notice.advice),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn millis(left: Duration) -> u32 {
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
