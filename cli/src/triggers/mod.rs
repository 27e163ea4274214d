//! Files that run by themselves, as data: which, when, and which of them a session gets read-only.
//!
//! Somebody builds, opens or enters the project, and what an agent wrote runs as that human. It must never pass over
//! a file for what it says of itself.

mod keys;
pub mod report;

use holdfast_protocol::triggers::TABLE;
use serde::Deserialize;

use crate::snapshot::path::RelPath;

/// The table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is no table.
    #[error("the table of files that run by themselves is not valid")]
    Syntax(#[source] toml::de::Error),
    /// An entry's path is none.
    #[error("`{0}` is no path in the table of files that run by themselves")]
    Path(String),
}

/// All of them.
#[derive(Debug)]
pub struct Triggers(Vec<Trigger>);

/// Some that run at the same occasion.
#[derive(Debug)]
pub struct Trigger {
    paths: Vec<Pattern>,
    /// When they run, in words.
    pub when: String,
    keys: Vec<Vec<String>>,
    guard: Guard,
}

/// What a session gets of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// It, to read.
    ReadOnly,
    /// It, as all of the project.
    None,
}

/// Which paths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    components: Vec<String>,
    at: Depth,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    Root,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The path itself.
    Itself,
    /// A folder, and everything in it.
    AllWithin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    trigger: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    paths: Vec<String>,
    when: String,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    guarded: bool,
}

impl Triggers {
    /// The table that comes with Holdfast.
    pub fn built_in() -> Result<Self, TableError> {
        Self::parse(TABLE)
    }

    /// A table.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let file: File = toml::from_str(text).map_err(TableError::Syntax)?;
        let trigger = |row: Row| {
            let guard = if row.guarded {
                Guard::ReadOnly
            } else {
                Guard::None
            };
            let pattern = |path: &String| {
                let pattern = Pattern::parse(path).filter(|pattern| {
                    guard == Guard::None
                        || pattern.components.iter().all(|part| !part.contains('*'))
                });
                pattern.ok_or_else(|| TableError::Path(path.clone()))
            };
            let key = |key: &String| key.split('.').map(str::to_owned).collect();
            Ok(Trigger {
                paths: row.paths.iter().map(pattern).collect::<Result<_, _>>()?,
                keys: row.keys.iter().map(key).collect(),
                when: row.when,
                guard,
            })
        };
        let triggers = file.trigger.into_iter().map(trigger);
        triggers.collect::<Result<_, _>>().map(Self)
    }

    /// The one that this file is of.
    pub fn find(&self, path: &RelPath) -> Option<&Trigger> {
        let is_of = |trigger: &&Trigger| trigger.paths.iter().any(|own| own.matches(path));
        self.0.iter().find(is_of)
    }

    /// Whether one of them may be this, or lie in it.
    pub fn lead_through(&self, path: &RelPath) -> bool {
        let through = |pattern: &Pattern| pattern.matches(path) || pattern.leads_through(path);
        self.0
            .iter()
            .any(|trigger| trigger.paths.iter().any(through))
    }

    /// The places of what is guarded, below any folder that counts as a root.
    pub fn guarded(&self) -> impl Iterator<Item = RelPath> {
        let guarded = self
            .0
            .iter()
            .filter(|trigger| trigger.guard == Guard::ReadOnly);
        guarded
            .flat_map(|trigger| &trigger.paths)
            .filter_map(|pattern| RelPath::parse(pattern.components.join("/").as_bytes()))
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (at, text) = match text.strip_prefix('/') {
            Some(text) => (Depth::Root, text),
            None => (Depth::Any, text),
        };
        let (what, text) = match text.strip_suffix('/') {
            Some(text) => (What::AllWithin, text),
            None => (What::Itself, text),
        };
        RelPath::parse(text.as_bytes())?;
        let components: Vec<String> = text.split('/').map(str::to_owned).collect();
        let one_star = |part: &String| part.matches('*').count() <= 1;
        components.iter().all(one_star).then_some(Self {
            components,
            at,
            what,
        })
    }

    /// Where in the path it may begin.
    fn beginnings<'p>(&self, path: &'p RelPath) -> impl Iterator<Item = Vec<&'p [u8]>> {
        let components: Vec<&[u8]> = path.components().collect();
        let beginnings = match self.at {
            Depth::Root => 1,
            Depth::Any => components.len(),
        };
        (0..beginnings).map(move |begin| components.iter().skip(begin).copied().collect())
    }

    fn matches(&self, path: &RelPath) -> bool {
        self.beginnings(path).any(|rest| {
            let long_enough = match self.what {
                What::Itself => rest.len() == self.components.len(),
                What::AllWithin => rest.len() >= self.components.len(),
            };
            long_enough && self.agrees(&rest)
        })
    }

    /// Whether the path is of a folder that something of this lies in.
    fn leads_through(&self, path: &RelPath) -> bool {
        self.beginnings(path)
            .any(|rest| rest.len() < self.components.len() && self.agrees(&rest))
    }

    fn agrees(&self, rest: &[&[u8]]) -> bool {
        let mut pairs = self.components.iter().zip(rest);
        pairs.all(|(own, name)| is_named(own, name))
    }
}

/// Whether a name is as the pattern of one name has it.
fn is_named(pattern: &str, name: &[u8]) -> bool {
    match pattern.split_once('*') {
        None => pattern.as_bytes() == name,
        Some((before, after)) => {
            let rest = name.strip_prefix(before.as_bytes());
            rest.is_some_and(|rest| rest.ends_with(after.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn each_is_known_where_it_may_lie_and_nowhere_else() {
        let triggers = Triggers::built_in().unwrap();
        let when = |text: &str| triggers.find(&path(text)).map(|found| found.when.as_str());
        for (known, word) in [
            ("build.rs", "cargo"),
            ("crates/a/build.rs", "cargo"),
            (".cargo/config.toml", "cargo"),
            ("package.json", "npm"),
            ("app/build.gradle.kts", "Gradle"),
            (".github/workflows/ci.yml", "GitHub"),
            (".gitlab-ci.yml", "CI"),
            ("Jenkinsfile", "CI"),
            (".claude/settings.json", "Claude Code"),
            (".claude/hooks/deep/x.sh", "Claude Code"),
            ("AGENTS.md", "instructions"),
            (".vscode/tasks.json", "VS Code"),
            (".envrc", "direnv"),
            (".husky/pre-commit", "commit"),
            ("conftest.py", "pytest"),
            ("docker-compose.dev.yml", "docker"),
            ("Makefile", "make"),
        ] {
            assert!(
                when(known).is_some_and(|when| when.contains(word)),
                "{known}"
            );
        }
        for ordinary in [
            "src/main.rs",
            "README.md",
            "build.rs.bak",
            "xbuild.rs",
            "claude/settings.json",
            ".claude/notes.md",
            "docs/workflows/x.yml",
            "a.json",
            "gradle",
        ] {
            assert_eq!(when(ordinary), None, "{ordinary}");
        }
    }

    #[test]
    fn ways_to_them_are_known() {
        let triggers = Triggers::built_in().unwrap();
        for way in [
            ".claude",
            ".claude/hooks",
            ".claude/hooks/a",
            "sub/.github",
            ".vscode",
            ".idea/x",
        ] {
            assert!(triggers.lead_through(&path(way)), "{way}");
        }
        for other in ["target", "node_modules", "claude", ".claude/projects"] {
            assert!(!triggers.lead_through(&path(other)), "{other}");
        }
    }

    #[test]
    fn a_table_that_is_none_is_refused() {
        let row = |paths: &str| format!("[[trigger]]\npaths = [{paths}]\nwhen = \"now\"\n");
        assert!(Triggers::parse(&row("\"a\"")).is_ok());
        for wrong in ["\"\"", "\"../a\"", "\"a*b*c\"", "\"//a\"", "1"] {
            assert!(Triggers::parse(&row(wrong)).is_err(), "{wrong}");
        }
        let guarded = format!("{}guarded = true\n", row("\"a*\""));
        assert!(matches!(
            Triggers::parse(&guarded),
            Err(TableError::Path(_))
        ));
        let unknown = format!("{}color = 1\n", row("\"a\""));
        assert!(matches!(
            Triggers::parse(&unknown),
            Err(TableError::Syntax(_))
        ));
    }
}
