//! What git is told to ignore, as it stood when a session began.
//!
//! Kept with the snapshot, so that nothing an agent writes into a `.gitignore` hides what it did.

use std::collections::BTreeMap;

use gix_glob::Pattern;
use gix_glob::pattern::Case;
use gix_glob::wildmatch::Mode;

use super::path::RelPath;

/// The most bytes of one `.gitignore` that count.
pub const MAX_RULES: usize = 256 << 10;

/// The file whose lines are rules for the folder that it lies in.
pub const FILE: &[u8] = b".gitignore";

/// The rules of one project.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    places: BTreeMap<Place, Vec<(Vec<u8>, Pattern)>>,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The project's own list beside git's.
    Exclude,
    /// A folder's `.gitignore`; none is the root's.
    Folder(Option<RelPath>),
}

impl Rules {
    /// Adds the lines of a file; what is no rule is passed over, as git does.
    pub fn add(&mut self, place: Place, text: &[u8]) {
        let text = text.get(..MAX_RULES).unwrap_or(text);
        let rule = |line: &[u8]| {
            let line = trimmed(line.strip_suffix(b"\r").unwrap_or(line));
            let comment = line.first() == Some(&b'#');
            let pattern = Pattern::from_bytes(line).filter(|_| !comment)?;
            Some((line.to_vec(), pattern))
        };
        let lines = text.split(|byte| *byte == b'\n').filter_map(rule);
        self.places.insert(place, lines.collect());
    }

    /// All lines, with where they are from.
    pub fn lines(&self) -> impl Iterator<Item = (&Place, &[u8])> {
        self.places
            .iter()
            .flat_map(|(place, rules)| rules.iter().map(move |(line, _)| (place, line.as_slice())))
    }

    /// Whether git is told to ignore what lies there. What lies in an ignored folder is not asked about.
    pub fn ignore(&self, path: &RelPath, folder: Folder) -> bool {
        // The nearest place that says something counts, and of it the last line.
        let folders = path.ancestors().map(Some).chain(std::iter::once(None));
        let places = folders.map(Place::Folder).chain([Place::Exclude]);
        places
            .filter_map(|place| {
                let base = match &place {
                    Place::Folder(Some(base)) => base.as_bytes().len() + 1,
                    Place::Folder(None) | Place::Exclude => 0,
                };
                let rest = path.as_bytes().get(base..)?;
                let rules = self.places.get(&place)?.iter().rev();
                let mut said = rules.filter(|(_, rule)| matches(rule, rest, folder));
                said.next().map(|(_, rule)| !rule.is_negative())
            })
            .next()
            .unwrap_or(false)
    }
}

fn matches(rule: &Pattern, path: &[u8], folder: Folder) -> bool {
    let name = path.iter().rposition(|byte| *byte == b'/');
    rule.matches_repo_relative_path(
        path.into(),
        name.map(|slash| slash + 1),
        Some(folder == Folder::Yes),
        Case::Sensitive,
        Mode::NO_MATCH_SLASH_LITERAL,
    )
}

/// Without spaces at its end, but for one that is quoted: gitignore(5).
fn trimmed(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_suffix(b" ") {
        if rest.last() == Some(&b'\\') {
            break;
        }
        line = rest;
    }
    line
}

/// Whether something is a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// It is.
    Yes,
    /// It is something else.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_that_says_something_counts() {
        let path = |text: &str| RelPath::parse(text.as_bytes()).unwrap();
        let mut rules = Rules::default();
        rules.add(Place::Exclude, b"private\n");
        rules.add(
            Place::Folder(None),
            b"# all\ntarget/\n*.log\n/only-here\r\n!kept.log\n",
        );
        rules.add(Place::Folder(Some(path("sub"))), b"!*.log\n/own\n");
        let ignored = |text: &str, folder| rules.ignore(&path(text), folder);
        assert!(ignored("target", Folder::Yes) && ignored("a/target", Folder::Yes));
        assert!(!ignored("target", Folder::No));
        assert!(ignored("x.log", Folder::No) && !ignored("kept.log", Folder::No));
        assert!(!ignored("sub/x.log", Folder::No) && ignored("other/x.log", Folder::No));
        assert!(ignored("sub/own", Folder::No) && !ignored("own", Folder::No));
        assert!(ignored("only-here", Folder::No) && !ignored("sub/only-here", Folder::No));
        assert!(ignored("private", Folder::No));
    }
}
