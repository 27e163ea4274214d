//! Output: text for people, JSON for programs.
//!
//! A reader that closes its end early is no failure of ours.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use super::Problem;

/// In which form a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Form {
    pub(super) fn from_flag(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Prints text and a line's end.
pub(super) fn text(text: &str) -> Result<(), Problem> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Problem::io("the answer could not be printed", &error, ""))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Problem> {
    let rendered = serde_json::to_string_pretty(value)
        .map_err(|error| Problem::io("the answer could not be rendered", &error, ""))?;
    text(&rendered)
}
