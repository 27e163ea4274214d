//! A path as a widening names it.
//!
//! It is a name, to be judged, shown and recorded: it must never be opened.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidWidening;

/// The longest path, in bytes.
const LONGEST: usize = 4096;

/// A path that leads nowhere but down: 1 to 4096 bytes, no NUL, neither `.` nor `..` in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamedPath(String);

impl NamedPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NamedPath {
    type Err = InvalidWidening;

    fn from_str(text: &str) -> Result<Self, InvalidWidening> {
        let sized = (1..=LONGEST).contains(&text.len()) && !text.contains('\0');
        // `Components` leaves out what `.` is in the middle of a path.
        let plain = !text.split('/').any(|part| matches!(part, "." | ".."))
            && Path::new(text)
                .components()
                .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if sized && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWidening::Path(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for NamedPath {
    type Error = InvalidWidening;

    fn try_from(text: String) -> Result<Self, InvalidWidening> {
        text.parse()
    }
}

impl From<NamedPath> for String {
    fn from(path: NamedPath) -> Self {
        path.0
    }
}

impl fmt::Display for NamedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
