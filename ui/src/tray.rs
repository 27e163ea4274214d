//! The tray: how many questions wait, and the sessions, with what stops them.
//!
//! A StatusNotifierItem over D-Bus (freedesktop.org's StatusNotifierItem), where the desktop shows such
//! items; its absence is no error. Approving is not in it: that takes the window.

use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{SessionAct, SessionPhase, SessionStatus};
use holdfast_ui::state::{Core, Input};
use ksni::menu::{MenuItem, StandardItem, SubMenu};
use ksni::{Handle, Status, ToolTip, TrayMethods};

use crate::controller::{Controls, Message};

/// The most sessions that are listed: a menu is no list.
const MOST: usize = 12;

/// The tray's icon, where there is one.
pub struct Tray(Option<Handle<Item>>);

impl Tray {
    /// Puts the icon there, if somebody shows it.
    pub async fn start(controls: Controls) -> Self {
        let item = Item {
            controls,
            questions: 0,
            sessions: Vec::new(),
            broker: Reach::Unknown,
        };
        match item.spawn().await {
            Ok(handle) => Self(Some(handle)),
            Err(error) => {
                tracing::info!(%error, "no tray on this desktop; questions open their window all the same");
                Self(None)
            }
        }
    }

    /// Brings it up to date.
    pub async fn show(&self, core: &Core) {
        let Some(handle) = &self.0 else { return };
        let questions = core.questions().len();
        let own = rustix::process::getuid().as_raw();
        let sessions: Vec<_> = core
            .sessions()
            .iter()
            .filter(|session| session.human == own && session.phase != SessionPhase::Ended)
            .take(MOST)
            .cloned()
            .collect();
        let broker = if core.lost().is_some() {
            Reach::Lost
        } else {
            Reach::Reached
        };
        let update = |item: &mut Item| {
            item.questions = questions;
            item.sessions = sessions;
            item.broker = broker;
        };
        // A tray that has gone is shown nothing.
        let _ = handle.update(update).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Unknown,
    Reached,
    Lost,
}

/// What the desktop asks for.
struct Item {
    controls: Controls,
    questions: usize,
    sessions: Vec<SessionStatus>,
    broker: Reach,
}

impl Item {
    fn summary(&self) -> String {
        match (self.broker, self.questions) {
            (Reach::Unknown, _) => "Looking for the broker".to_owned(),
            (Reach::Lost, _) => "The broker does not answer".to_owned(),
            (Reach::Reached, 0) => "Nothing waits for you".to_owned(),
            (Reach::Reached, 1) => "1 question waits for you".to_owned(),
            (Reach::Reached, more) => format!("{more} questions wait for you"),
        }
    }
}

impl ksni::Tray for Item {
    fn id(&self) -> String {
        "holdfast".to_owned()
    }

    fn title(&self) -> String {
        "Holdfast".to_owned()
    }

    fn status(&self) -> Status {
        if self.questions > 0 || self.broker == Reach::Lost {
            Status::NeedsAttention
        } else {
            Status::Active
        }
    }

    fn icon_name(&self) -> String {
        "security-high".to_owned()
    }

    fn attention_icon_name(&self) -> String {
        "security-medium".to_owned()
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip {
            title: self.summary(),
            ..ToolTip::default()
        }
    }

    fn activate(&mut self, _: i32, _: i32) {
        self.controls.hint(Input::Show);
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        let mut items = vec![
            note(self.summary()),
            act("Show questions", |item| item.controls.hint(Input::Show)),
            MenuItem::Separator,
        ];
        if self.sessions.is_empty() {
            items.push(note("No agent runs".to_owned()));
        }
        items.extend(self.sessions.iter().map(session));
        items.push(MenuItem::Separator);
        items.push(act("Quit", |item| item.controls.hint(Input::Quit)));
        items
    }
}

fn session(status: &SessionStatus) -> MenuItem<Item> {
    let id = status.session;
    let state = match status.phase {
        SessionPhase::Starting => "starting",
        SessionPhase::Running => "running",
        SessionPhase::Frozen => "paused",
        SessionPhase::Ended => "ended",
    };
    let start: String = id.to_string().chars().take(8).collect();
    let stop = match status.phase {
        SessionPhase::Frozen => control("Resume", id, SessionAct::Resume),
        SessionPhase::Starting | SessionPhase::Running | SessionPhase::Ended => {
            control("Pause", id, SessionAct::Pause)
        }
    };
    SubMenu {
        label: format!("{} {start} ({state})", status.kind).replace('_', "__"),
        submenu: vec![stop, control("End", id, SessionAct::End)],
        ..SubMenu::default()
    }
    .into()
}

fn control(label: &str, session: SessionId, what: SessionAct) -> MenuItem<Item> {
    act(label, move |item| {
        item.controls.offer(Message::Control(session, what));
    })
}

fn act(label: &str, activate: impl Fn(&mut Item) + Send + 'static) -> MenuItem<Item> {
    StandardItem {
        label: label.to_owned(),
        activate: Box::new(activate),
        ..StandardItem::default()
    }
    .into()
}

fn note(label: String) -> MenuItem<Item> {
    StandardItem {
        label,
        enabled: false,
        ..StandardItem::default()
    }
    .into()
}

#[cfg(test)]
mod tests;
