//! What a session changed that runs by itself, in a few lines.
//!
//! It must never print what a file is called without making it harmless.

use std::collections::BTreeMap;
use std::fmt::Write;

use holdfast_protocol::id::SessionId;
use serde::Serialize;

use super::{Trigger, Triggers, keys};
use crate::render::printable;
use crate::snapshot::entry::Entry;
use crate::snapshot::manifest::Entries;
use crate::snapshot::path::RelPath;
use crate::undo::state::{Change, ChangeKind};

/// The most lines of files that are printed.
const LINES: usize = 11;

/// The most files of one line.
const FILES: usize = 3;

/// When a file runs that is no trigger, and that could not be run before.
const PROGRAM: &str = "when somebody starts it by its name: it can be run now";

/// A change that runs by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Runs {
    /// Where.
    pub path: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// When it runs.
    pub when: String,
}

/// What files hold, before and after: for those that count only if a part of them changed.
pub trait Texts {
    /// What it held before.
    fn before(&self, path: &RelPath) -> Option<Vec<u8>>;
    /// What it holds now; none if that is not known.
    fn after(&self, path: &RelPath) -> Option<Vec<u8>>;
}

/// When a changed file runs by itself, if it does.
pub fn runs(
    triggers: &Triggers,
    change: &Change,
    before: &Entries,
    after: &Entries,
    texts: &impl Texts,
) -> Option<Runs> {
    let path = &change.path;
    // What is gone, and folders, run nothing.
    let now = after.get(path).filter(|now| !now.is_folder())?;
    let when = match triggers.find(path) {
        Some(trigger) if counts(trigger, path, before, texts) => &trigger.when,
        Some(_) | None => {
            let could = runnable(before.get(path));
            if !runnable(Some(now)) || could {
                return None;
            }
            PROGRAM
        }
    };
    Some(Runs {
        path: path.to_string(),
        change: change.kind,
        when: when.to_owned(),
    })
}

fn runnable(entry: Option<&Entry>) -> bool {
    matches!(entry, Some(Entry::File { mode, .. }) if mode.runs())
}

fn counts(trigger: &Trigger, path: &RelPath, before: &Entries, texts: &impl Texts) -> bool {
    let format = keys::Format::of(path.name());
    let (Some(format), false) = (format, trigger.keys.is_empty()) else {
        return true;
    };
    let was = match before.get(path) {
        None => None,
        Some(_) => match texts.before(path) {
            Some(text) => Some(text),
            None => return true,
        },
    };
    let is = texts.after(path);
    is.is_none_or(|is| keys::changed(format, &trigger.keys, was.as_deref(), &is))
}

/// A few lines for the human; none if nothing runs.
pub fn text(runs: &[Runs], session: SessionId) -> Option<String> {
    if runs.is_empty() {
        return None;
    }
    let mut occasions: BTreeMap<&str, Vec<&Runs>> = BTreeMap::new();
    for run in runs {
        occasions.entry(&run.when).or_default().push(run);
    }
    let mut text = format!(
        "holdfast: this session changed what runs by itself; look at it first: {}\n",
        match runs.len() {
            1 => "one file".to_owned(),
            many => format!("{many} files"),
        }
    );
    // An occasion for which there is no line counts as more.
    let shown = if occasions.len() > LINES {
        LINES - 1
    } else {
        LINES
    };
    for (when, files) in occasions.iter().take(shown) {
        let named: Vec<String> = files.iter().take(FILES).map(|run| named(run)).collect();
        let more = match files.len().saturating_sub(FILES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = writeln!(text, "  {}{more}: runs {when}", named.join(", "));
    }
    let more: usize = occasions.values().skip(shown).map(Vec::len).sum();
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    let _ = write!(
        text,
        "  next: `holdfast undo {session} --show` lists all; `holdfast undo {session}` takes it back"
    );
    Some(text)
}

fn named(run: &Runs) -> String {
    let path = printable(&run.path);
    match run.change {
        ChangeKind::Added => format!("{path} (new)"),
        ChangeKind::Removed | ChangeKind::Changed | ChangeKind::Mode => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(path: &str, when: &str, change: ChangeKind) -> Runs {
        Runs {
            path: path.to_owned(),
            change,
            when: when.to_owned(),
        }
    }

    #[test]
    fn a_few_lines_say_what_runs() {
        let id = SessionId::from_random([2; 16]);
        assert_eq!(text(&[], id), None);
        let mut runs = vec![
            run("build.rs", "at cargo", ChangeKind::Changed),
            run("a/build.rs", "at cargo", ChangeKind::Added),
            run("b\u{1b}[2J/build.rs", "at cargo", ChangeKind::Added),
            run("c/build.rs", "at cargo", ChangeKind::Added),
        ];
        insta::assert_snapshot!(text(&runs, id).unwrap());
        runs.extend((0..20).map(|n| run("x", &format!("at {n:02}"), ChangeKind::Changed)));
        let long = text(&runs, id).unwrap();
        assert_eq!(long.lines().count(), 2 + LINES);
        assert!(long.contains("\n  and 14 more\n"), "{long}");
    }
}
