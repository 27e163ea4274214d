//! What the window shows and when it is there: the pure core.
//!
//! Inputs are what the broker said and what the human did; the caller carries out the [`Effect`]s
//! in their order. It must never do I/O or read a clock, and never give an answer that the human
//! did not give to the very question on the screen.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::approval::{Question, Waits};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::management::SessionStatus;
use holdfast_protocol::secret::Secret;

/// How long it is said that a question is gone, before the window goes on.
pub const GONE_FOR: Duration = Duration::from_secs(6);

/// How long to wait between two looks at a question whose time is up.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// Whether the program outlives its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It waits in the background for the next question.
    Resident,
    /// It ends with its window.
    Once,
}

/// A refusal or a trouble, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened, and why.
    pub message: String,
    /// What to do next.
    pub advice: String,
}

/// What the human wants done with a question.
#[derive(Clone, Debug)]
pub enum Deed {
    /// No.
    Deny,
    /// No, and the session stops until it is let go on.
    DenyAndPause,
    /// Yes, by a click.
    Click,
    /// Yes, with this PIN.
    Pin(Secret),
}

/// What is being done to the question on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing: it waits for the human.
    Waiting,
    /// An approval is on its way.
    Approving,
    /// A denial is on its way.
    Denying,
    /// The last answer was not taken.
    Refused(Notice),
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// The broker lists what waits.
    Questions(Vec<Question>),
    /// The broker lists the sessions.
    Sessions(Vec<SessionStatus>),
    /// The broker cannot be asked.
    Lost(Notice),
    /// The human wants to see what waits.
    Show,
    /// The human wants to see the next question; this one waits on.
    Next(CallId),
    /// The human answers the question that they see.
    Decide(CallId, Deed),
    /// The broker took the answer, or did not.
    Answered(CallId, Result<(), Notice>),
    /// The window is to go, or has gone; what it showed waits on.
    Close,
    /// The program is to end.
    Quit,
    /// Time passes.
    Tick,
}

/// Something to be done.
#[derive(Debug)]
pub enum Effect {
    /// Bring the window up, with what is to be shown.
    Open,
    /// Show what is to be shown, in the window that is there.
    Refresh,
    /// Take the window down, and its web view with it.
    Close,
    /// Carry an answer to the broker.
    Send {
        /// The question.
        call: CallId,
        /// Whose it is.
        session: SessionId,
        /// The answer.
        deed: Deed,
    },
    /// Ask the broker for its list now: time has changed it.
    Look,
    /// End the program.
    Quit,
}

/// What the window shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is no window.
    Hidden,
    /// A question.
    Asking(Box<Question>, Act),
    /// That the question that was here is gone.
    Gone {
        /// What it was.
        headline: String,
        /// When the window goes on.
        until: Timestamp,
    },
    /// That nothing waits, because somebody asked.
    Nothing,
}

/// The core. See the module.
#[derive(Debug)]
pub struct Core {
    life: Life,
    stage: Stage,
    questions: Vec<Question>,
    sessions: Vec<SessionStatus>,
    lost: Option<Notice>,
    /// Those that the human put aside: they wait, and open no window.
    aside: BTreeSet<CallId>,
    /// Those that were answered here and may still be in a list that was made before.
    answered: BTreeSet<CallId>,
    /// Not before this is the broker asked out of turn again.
    look_after: Timestamp,
}

impl Core {
    /// Before anything is known.
    pub fn new(life: Life) -> Self {
        Self {
            life,
            stage: Stage::Hidden,
            questions: Vec::new(),
            sessions: Vec::new(),
            lost: None,
            aside: BTreeSet::new(),
            answered: BTreeSet::new(),
            look_after: Timestamp::from_millis(0),
        }
    }

    /// What the window shows.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What waits for the human, oldest first.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The sessions of this host.
    pub fn sessions(&self) -> &[SessionStatus] {
        &self.sessions
    }

    /// Why the broker cannot be asked, where it cannot.
    pub fn lost(&self) -> Option<&Notice> {
        self.lost.as_ref()
    }

    /// Takes an input; gives what is to be done.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        match input {
            Input::Questions(questions) => self.listed(now, questions),
            Input::Sessions(sessions) => {
                self.sessions = sessions;
                Vec::new()
            }
            Input::Lost(notice) => {
                self.lost = Some(notice);
                self.refresh()
            }
            Input::Show => {
                self.aside.clear();
                match self.stage {
                    Stage::Asking(..) => {}
                    Stage::Hidden | Stage::Gone { .. } | Stage::Nothing => {
                        self.stage = self.upcoming().unwrap_or(Stage::Nothing);
                    }
                }
                vec![Effect::Open]
            }
            Input::Next(call) => self.next(call),
            Input::Decide(call, deed) => self.decide(call, deed),
            Input::Answered(call, result) => self.taken(call, result),
            Input::Close => self.close(),
            Input::Quit => vec![Effect::Close, Effect::Quit],
            Input::Tick => self.tick(now),
        }
    }

    fn listed(&mut self, now: Timestamp, mut questions: Vec<Question>) -> Vec<Effect> {
        self.lost = None;
        let waits = |call: &CallId| questions.iter().any(|question| question.call == *call);
        self.aside.retain(&waits);
        self.answered.retain(&waits);
        questions.retain(|question| !self.answered.contains(&question.call));
        self.questions = questions;
        match &self.stage {
            Stage::Hidden => match self.upcoming() {
                Some(stage) => {
                    self.stage = stage;
                    vec![Effect::Open]
                }
                None => Vec::new(),
            },
            Stage::Asking(shown, act) => {
                let (call, act) = (shown.call, act.clone());
                match self.questions.iter().find(|question| question.call == call) {
                    Some(question) => self.stage = Stage::Asking(Box::new(question.clone()), act),
                    // What was sent is answered in a moment.
                    None if matches!(act, Act::Approving | Act::Denying) => {}
                    None => {
                        self.stage = Stage::Gone {
                            headline: shown.headline.clone(),
                            until: now + GONE_FOR,
                        }
                    }
                }
                self.refresh()
            }
            // It is read for a moment; the next question comes after.
            Stage::Gone { .. } => self.refresh(),
            Stage::Nothing => {
                self.stage = self.upcoming().unwrap_or(Stage::Nothing);
                self.refresh()
            }
        }
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        match &self.stage {
            Stage::Gone { until, .. } if now >= *until => self.go_on(),
            Stage::Asking(question, _) => match question.waits {
                // The broker tells of questions that come and go, and not of one that turns late.
                Waits::Until { deadline } if now >= deadline && now >= self.look_after => {
                    self.look_after = now + LOOK_PAUSE;
                    vec![Effect::Look]
                }
                Waits::Until { .. } | Waits::Late { .. } => Vec::new(),
            },
            Stage::Gone { .. } | Stage::Hidden | Stage::Nothing => Vec::new(),
        }
    }

    fn next(&mut self, call: CallId) -> Vec<Effect> {
        if !self.asks(call) {
            return Vec::new();
        }
        let at = self
            .questions
            .iter()
            .position(|question| question.call == call);
        let after = at.map_or(0, |at| at + 1);
        let question = self.questions.get(after).or(self.questions.first());
        if let Some(question) = question {
            self.stage = Stage::Asking(Box::new(question.clone()), Act::Waiting);
        }
        self.refresh()
    }

    fn decide(&mut self, call: CallId, deed: Deed) -> Vec<Effect> {
        let Stage::Asking(question, act) = &mut self.stage else {
            return Vec::new();
        };
        let free = matches!(act, Act::Waiting | Act::Refused(_));
        let enough = match (&deed, question.tier) {
            (Deed::Deny | Deed::DenyAndPause, _) | (Deed::Click, Tier::R0 | Tier::R1) => true,
            (Deed::Pin(_), tier) => tier < Tier::R3,
            (Deed::Click, Tier::R2 | Tier::R3) => false,
        };
        if question.call != call || !free || !enough || self.lost.is_some() {
            return Vec::new();
        }
        *act = match deed {
            Deed::Deny | Deed::DenyAndPause => Act::Denying,
            Deed::Click | Deed::Pin(_) => Act::Approving,
        };
        let session = question.session;
        vec![
            Effect::Send {
                call,
                session,
                deed,
            },
            Effect::Refresh,
        ]
    }

    fn taken(&mut self, call: CallId, result: Result<(), Notice>) -> Vec<Effect> {
        if result.is_ok() {
            self.questions.retain(|question| question.call != call);
            self.answered.insert(call);
        }
        let Stage::Asking(question, act) = &mut self.stage else {
            return Vec::new();
        };
        if question.call != call {
            return Vec::new();
        }
        match result {
            Ok(()) => self.go_on(),
            Err(notice) => {
                *act = Act::Refused(notice);
                vec![Effect::Refresh]
            }
        }
    }

    fn close(&mut self) -> Vec<Effect> {
        match self.stage {
            Stage::Hidden => Vec::new(),
            Stage::Asking(..) | Stage::Gone { .. } | Stage::Nothing => {
                self.aside = self
                    .questions
                    .iter()
                    .map(|question| question.call)
                    .collect();
                self.hide()
            }
        }
    }

    /// To the next question, or away.
    fn go_on(&mut self) -> Vec<Effect> {
        match self.upcoming() {
            Some(stage) => {
                self.stage = stage;
                vec![Effect::Refresh]
            }
            None => self.hide(),
        }
    }

    fn hide(&mut self) -> Vec<Effect> {
        self.stage = Stage::Hidden;
        match self.life {
            Life::Resident => vec![Effect::Close],
            Life::Once => vec![Effect::Close, Effect::Quit],
        }
    }

    fn upcoming(&self) -> Option<Stage> {
        self.questions
            .iter()
            .find(|question| !self.aside.contains(&question.call))
            .map(|question| Stage::Asking(Box::new(question.clone()), Act::Waiting))
    }

    fn asks(&self, call: CallId) -> bool {
        match &self.stage {
            Stage::Asking(question, act) => {
                question.call == call && matches!(act, Act::Waiting | Act::Refused(_))
            }
            Stage::Hidden | Stage::Gone { .. } | Stage::Nothing => false,
        }
    }

    fn refresh(&self) -> Vec<Effect> {
        match self.stage {
            Stage::Hidden => Vec::new(),
            Stage::Asking(..) | Stage::Gone { .. } | Stage::Nothing => vec![Effect::Refresh],
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
