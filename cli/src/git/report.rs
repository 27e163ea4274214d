//! What came back and what did not, in words for the end of a session.

use std::fmt::Write;
use std::path::Path;

use super::config::Change;
use super::land::{Step, Why};
use super::names::{Oid, RefName, Value};
use super::traps::Quarantined;
use crate::render::printable;

/// The most refs that are named one by one.
const MAX_NAMED: usize = 8;

/// The most lines of one kind: a session can make as many occasions for them as it likes.
const MAX_LINES: usize = 40;

/// What became of one session's git.
#[derive(Debug, Default)]
pub struct Report {
    came: Vec<String>,
    renamed: Vec<String>,
    told: Vec<String>,
    /// Why its folder stays, where not everything could be brought back.
    kept: Option<String>,
}

impl Report {
    /// Lines for standard error, without line ends; none where nothing happened.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.came.is_empty() {
            let mut text = self
                .came
                .iter()
                .take(MAX_NAMED)
                .cloned()
                .collect::<Vec<_>>()
                .join("; ");
            if let Some(more) = self
                .came
                .len()
                .checked_sub(MAX_NAMED)
                .filter(|more| *more > 0)
            {
                let _ = write!(text, "; and {more} more");
            }
            lines.push(format!("git: {text}"));
        }
        for (told, rest) in [
            (&self.renamed, "find . -name '*.holdfast-quarantine-*'"),
            (&self.told, "git for-each-ref refs/holdfast/"),
        ] {
            lines.extend(told.iter().take(MAX_LINES).cloned());
            if let Some(more) = told.get(MAX_LINES..).filter(|more| !more.is_empty()) {
                lines.push(format!("git: and {} more; see: {rest}", more.len()));
            }
        }
        lines.extend(self.kept.clone());
        lines
    }

    /// Whether everything is back.
    pub fn is_whole(&self) -> bool {
        self.kept.is_none()
    }

    /// A ref that came, with how many commits it has more.
    pub fn moved(
        &mut self,
        name: &RefName,
        old: Option<&Oid>,
        new: &Oid,
        commits: Option<usize>,
        rewritten: bool,
    ) {
        let short = said(name.short());
        let counted = match commits {
            Some(1) => "1 commit".to_owned(),
            Some(count) => format!("{count} commits"),
            None => new.short().to_owned(),
        };
        self.came.push(match (old, rewritten) {
            (None, _) => format!("{short}: new, {counted}"),
            (Some(old), true) => format!("{short}: rewritten, {counted} (was {})", old.short()),
            (Some(_), false) => format!("{short}: {counted}"),
        });
    }

    /// A ref that went.
    pub fn deleted(&mut self, name: &RefName, old: &Oid) {
        let short = said(name.short());
        self.came.push(format!("{short}: deleted (was {old})"));
    }

    /// Something that came, in words of ours.
    pub fn came(&mut self, what: impl Into<String>) {
        self.came.push(what.into());
    }

    /// Something that its human should know, in words of ours.
    pub fn tell(&mut self, what: impl Into<String>) {
        let line = format!("git: {}", what.into());
        // Work trees of one repository have the same to say.
        if !self.told.iter().take(MAX_LINES).any(|told| *told == line) {
            self.told.push(line);
        }
    }

    /// A ref that is kept aside.
    pub fn aside(&mut self, step: &Step) {
        let Step::Aside { name, at, why, .. } = step else {
            return;
        };
        let (name, at) = (said(name.short()), said(at.as_str()));
        let why = match why {
            Why::Changed => "you changed it meanwhile",
            Why::Elsewhere => "another work tree of yours stands on it",
            Why::Odd => "its name or kind is one that does not come back by itself",
            Why::Refused => "git does not take it beside what is there",
            Why::Deleted => return self.tell(format!("what `{name}` was is `{at}`")),
        };
        self.tell(format!(
            "`{name}` stays as it is ({why}); the session's is `{at}`"
        ));
    }

    /// Objects that are not let in.
    pub fn refused(&mut self, names: &[&str], tip: &Oid, why: &str) {
        let what = if names.is_empty() {
            tip.short().to_owned()
        } else {
            said(&names.join(", "))
        };
        self.tell(format!("`{what}` is refused: {}", said(why)));
    }

    /// `HEAD` went along.
    pub fn head(&mut self, head: &Value) {
        self.came.push(match head {
            Value::Symbolic(name) => format!("now on {}", said(name.short())),
            Value::Object(oid) => format!("now at {}, on no branch", oid.short()),
        });
    }

    /// A setting that the human may want.
    pub fn setting(&mut self, change: &Change) {
        if let Change::Remote { name, url } = change {
            self.tell(format!(
                "the session added the remote `{name}`; to have it: git remote add {name} {}",
                quoted(url)
            ));
        }
    }

    /// A work tree that the session added is the human's now.
    pub fn added(&mut self, pointer: &Path) {
        let folder = pointer.parent().unwrap_or(pointer);
        self.came.push(format!("work tree {}", path(folder)));
    }

    /// Something was put under another name.
    pub fn quarantined(&mut self, what: &Quarantined) {
        let (was, is) = (path(&what.was), path(&what.is));
        let head = if what.defused {
            format!(" && mv {is}/HEAD.holdfast-quarantine {is}/HEAD")
        } else {
            String::new()
        };
        self.renamed.push(format!(
            "git: the session made or changed {was}, whose settings would run as you: it is {is} now; \
             to have it back, look at its settings first, then: mv {is} {was}{}",
            head.replace(&is, &was)
        ));
    }

    /// The session changed what the human's own settings make git run.
    pub fn hooks(&mut self, folder: &Path) {
        self.tell(format!(
            "the session changed hooks in {}, which your settings make git run: look at them before your next commit",
            path(folder)
        ));
    }

    /// Not everything could be brought back.
    pub fn keep(&mut self, folder: &Path, why: &str) {
        self.kept = Some(format!(
            "git: not all is back: {}; the session's git folder stays at {}, and `holdfast git recover` tries again",
            said(why),
            path(folder)
        ));
    }
}

/// Foreign words, in one line that no terminal takes for orders.
fn said(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    printable(&line).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    let text = printable(text).to_string();
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
