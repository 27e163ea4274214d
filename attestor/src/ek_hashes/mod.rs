//! A fleet's endorsement keys as its maker or its inventory lists them: a host name and the EK's hash in each line.
//!
//! A file is read whole or not at all. It must never be read as saying less than it says: whatever is not understood is an
//! error with its line.

mod csv;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use holdfast_protocol::Timestamp;

pub use csv::LineProblem;

use crate::registry::{EkFingerprint, HostName, InvalidHostName};

/// The largest file, in bytes.
pub const MAX_FILE: usize = 16 << 20;

/// The most keys of one file.
pub const MAX_KEYS: usize = 100_000;

/// An endorsement key that an operator lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEk {
    /// The key.
    pub ek: EkFingerprint,
    /// What its host has to call itself, if the list says it.
    pub host_name: Option<HostName>,
    /// When it was listed.
    pub listed_at: Timestamp,
}

/// A file is not a list of EKs. Whoever made it is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidList {
    /// Too large.
    #[error("it is larger than {MAX_FILE} bytes")]
    Large,
    /// Too many keys.
    #[error("line {line}: it has more than {MAX_KEYS} keys")]
    Many {
        /// The first line that is too many.
        line: usize,
    },
    /// No key at all.
    #[error("it has no key")]
    Empty,
    /// Not a line of the two columns.
    #[error("line {line}: {problem}")]
    Line {
        /// Which.
        line: usize,
        /// Why not.
        problem: LineProblem,
    },
    /// Not a host name.
    #[error("line {line}: {problem}")]
    Name {
        /// The line.
        line: usize,
        /// Why not.
        problem: InvalidHostName,
    },
    /// Not a hash.
    #[error(
        "line {line}: an ek hash is 64 hex digits, the sha-256 of the key's SubjectPublicKeyInfo"
    )]
    Hash {
        /// The line.
        line: usize,
    },
    /// The key stands in an earlier line.
    #[error("line {line}: the key of line {before} again")]
    Again {
        /// The line.
        line: usize,
        /// The earlier one.
        before: usize,
    },
}

/// Reads a list: `HOST-NAME,EK-HASH` in each line. An empty name is any; a heading is passed over.
///
/// # Errors
/// [`InvalidList`] for the first line that is not one.
pub fn parse(content: &[u8], now: Timestamp) -> Result<Vec<ListedEk>, InvalidList> {
    if content.len() > MAX_FILE {
        return Err(InvalidList::Large);
    }
    let mut listed = Vec::new();
    let mut seen = BTreeMap::new();
    for (nth, (line, fields)) in csv::lines(content).enumerate() {
        let [name, hash] = fields.map_err(|problem| InvalidList::Line { line, problem })?;
        if nth == 0 && is_heading(name, hash) {
            continue;
        }
        if listed.len() == MAX_KEYS {
            return Err(InvalidList::Many { line });
        }
        let host_name = match name {
            "" => None,
            name => Some(
                name.parse()
                    .map_err(|problem| InvalidList::Name { line, problem })?,
            ),
        };
        let ek: EkFingerprint = hash
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| InvalidList::Hash { line })?;
        if let Some(before) = seen.insert(ek, line) {
            return Err(InvalidList::Again { line, before });
        }
        listed.push(ListedEk {
            ek,
            host_name,
            listed_at: now,
        });
    }
    if listed.is_empty() {
        return Err(InvalidList::Empty);
    }
    Ok(listed)
}

/// Whether these are the columns' names: `host name,ek hash`, however they are spelled.
fn is_heading(name: &str, hash: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphabetic)
            .map(|letter| letter.to_ascii_lowercase())
            .collect()
    };
    matches!(letters(name).as_str(), "host" | "hostname" | "name")
        && matches!(
            letters(hash).as_str(),
            "ek" | "ekhash" | "ekfingerprint" | "hash"
        )
}
