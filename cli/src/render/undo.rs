//! What can be undone, what would be, and what was: for people and for scripts.

use std::fmt::Write;
use std::path::PathBuf;

use holdfast_protocol::id::SessionId;
use holdfast_protocol::time::Timestamp;
use serde::Serialize;

use super::{printable, time};
use crate::snapshot::entry::{Entry, NotKept};
use crate::snapshot::path::RelPath;
use crate::snapshot::store::{About, Origin};
use crate::undo::state::ChangeKind;

/// The most changes that are printed; JSON has all.
const LINES: usize = 1000;

/// A session or undo that can be undone.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// Its id.
    pub session: SessionId,
    /// What ran, or what was undone.
    pub what: String,
    /// When it began.
    pub began: Timestamp,
    /// Where it stands.
    pub state: State,
    /// How many files and folders it changed, where that was seen.
    pub changes: Option<u64>,
    /// Guarded files that it could change.
    pub unguarded: Vec<String>,
}

/// Where a session or undo stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It goes on.
    Running,
    /// It is over.
    Ended,
    /// It is over, and nobody saw how it left the project.
    Unseen,
}

impl Listed {
    /// Of what is said about a snapshot.
    pub fn of(about: &About, alive: bool) -> Self {
        Self {
            session: about.name(),
            what: match &about.origin {
                Origin::Session { program, .. } => program.clone(),
                Origin::Undo { of } => format!("undo of {of}"),
            },
            began: about.began,
            state: match (&about.ended, alive) {
                (Some(_), _) => State::Ended,
                (None, true) => State::Running,
                (None, false) => State::Unseen,
            },
            changes: about.ended.as_ref().map(|ended| ended.changes),
            unguarded: about.unguarded.clone(),
        }
    }
}

/// What a session changed.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Which.
    pub session: SessionId,
    /// Where.
    pub project: PathBuf,
    /// Whether it was seen how the session left the project; if not, this is how it is now.
    pub end_was_seen: bool,
    /// What.
    pub changes: Vec<Changed>,
    /// What no snapshot holds, and why.
    pub not_looked_into: Vec<LeftAlone>,
}

/// A change.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// Where.
    pub path: String,
    /// What.
    pub change: ChangeKind,
    /// Whether what it was is kept.
    pub can_go_back: bool,
    /// When it runs by itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
}

/// What stays as it is, and why.
#[derive(Debug, Serialize)]
pub struct LeftAlone {
    /// Where.
    pub path: String,
    /// Why.
    pub why: String,
}

/// What was put back.
#[derive(Debug, Serialize)]
pub struct Undone {
    /// What was undone.
    pub session: SessionId,
    /// What undoes this, if anything was done.
    pub undo: Option<SessionId>,
    /// How many acts that took.
    pub steps: usize,
    /// What stays as it is.
    pub left: Vec<LeftAlone>,
}

/// What a snapshot does not hold, if this is such.
pub fn skipped(path: &RelPath, entry: &Entry) -> Option<LeftAlone> {
    match entry {
        Entry::Unkept { why, .. } if *why != NotKept::Special => Some(LeftAlone {
            path: path.to_string(),
            why: why.to_string(),
        }),
        Entry::Unkept { .. } | Entry::Folder(_) | Entry::File { .. } | Entry::Link(_) => None,
    }
}

/// What can be undone, a line each.
pub fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no session of this project can be undone".to_owned();
    }
    let head = format!("{:<28}{:<22}{:<16}WHAT\n", "SESSION", "BEGAN", "CHANGED");
    listed.iter().fold(head, |mut text, one| {
        let state = match (one.state, one.changes) {
            (State::Running, _) => "still runs".to_owned(),
            (State::Ended, Some(changes)) => changes.to_string(),
            (State::Ended, None) | (State::Unseen, _) => "not known".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:<28}{:<22}{state:<16}{}",
            one.session.to_string(),
            time(one.began),
            printable(&one.what)
        );
        text
    })
}

/// What a session changed, a line each.
pub fn changes(shown: &Shown) -> String {
    let mut text = String::new();
    if !shown.end_was_seen {
        text.push_str("its end was not seen: this is what is different now, whoever changed it\n");
    }
    if shown.changes.is_empty() {
        text.push_str("it changed nothing\n");
    }
    for changed in shown.changes.iter().take(LINES) {
        let kind = match changed.change {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
            ChangeKind::Mode => "mode",
        };
        let _ = write!(text, "{kind:<9}{}", printable(&changed.path));
        if let Some(when) = &changed.runs {
            let _ = write!(text, "   (runs {when})");
        }
        if !changed.can_go_back {
            text.push_str("   (cannot be put back)");
        }
        text.push('\n');
    }
    let more = shown.changes.len().saturating_sub(LINES);
    if more > 0 {
        let _ = writeln!(text, "and {more} more: --json has all");
    }
    if !shown.not_looked_into.is_empty() {
        let named = shown.not_looked_into.iter().take(8);
        let named: Vec<String> = named.map(|left| printable(&left.path)).collect();
        let more = shown.not_looked_into.len().saturating_sub(8);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let _ = writeln!(text, "not looked into: {}{more}", named.join(", "));
    }
    text
}

/// What was put back.
pub fn undone(undone: &Undone) -> String {
    let mut text = String::new();
    match undone.undo {
        None => text.push_str("nothing was put back: all is as it was before, or stays\n"),
        Some(own) => {
            let _ = writeln!(text, "what {} changed is undone", undone.session);
            let _ = writeln!(text, "`holdfast undo {own}` undoes this");
        }
    }
    for left in undone.left.iter().take(LINES) {
        let _ = writeln!(
            text,
            "stays    {}: {}",
            printable(&left.path),
            printable(&left.why)
        );
    }
    text
}

/// So many files and folders.
pub fn counted(files: usize) -> String {
    match files {
        1 => "one file or folder".to_owned(),
        many => format!("{many} files and folders"),
    }
}
