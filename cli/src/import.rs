//! Secrets that lie on this machine already: where they are looked for, and what is found.
//!
//! Files that other programs wrote are foreign: bounded, and what cannot be understood is told of, never guessed at. Finding
//! must never change anything, and no message may hold a value.

mod claude;
mod git;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use holdfast_protocol::Timestamp;
use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::{SecretName, SecretUse};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::Source;

/// The longest file that is read, in bytes.
const MAX_FILE: usize = 256 * 1024;

/// The longest name made of foreign text: four characters less than a name may have.
const MAX_NAME: usize = 60;

/// The most that is found in one file.
const MAX_FOUND: usize = 100;

/// A secret that lies somewhere.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The name that it will have.
    pub name: SecretName,
    /// What it is for.
    #[serde(rename = "use")]
    pub purpose: SecretUse,
    /// Where it lies.
    pub from: Place,
    /// When it ends by itself, where that is known.
    pub expires: Option<Timestamp>,
    /// The secret itself.
    #[serde(skip)]
    pub value: Secret,
}

/// Where a secret lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// An environment variable.
    Variable(&'static str),
    /// A file.
    File(PathBuf),
}

/// Something that could be a secret, and is not taken.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// Where it lies.
    pub from: Place,
    /// Why.
    pub why: String,
}

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub struct Finds {
    /// What can be imported.
    pub found: Vec<Found>,
    /// What cannot.
    pub skipped: Vec<Skipped>,
}

/// Where to look: the world around this command, as values.
pub struct Surroundings<'a> {
    /// The human's home.
    pub home: &'a Path,
    /// An environment variable's value.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Now.
    pub now: Timestamp,
}

impl Finds {
    /// Looks in one place, or in all.
    pub fn look(source: Option<Source>, around: &Surroundings<'_>) -> Self {
        let mut finds = Self::default();
        if source != Some(Source::Git) {
            claude::look(around, &mut finds);
        }
        if source != Some(Source::Claude) {
            git::look(around, &mut finds);
        }
        finds.name_apart();
        finds
    }

    /// The places that secrets were found in, each once.
    pub fn places(&self) -> BTreeSet<&Place> {
        self.found.iter().map(|found| &found.from).collect()
    }

    fn skip(&mut self, from: &Place, why: impl Into<String>) {
        self.skipped.push(Skipped {
            from: from.clone(),
            why: why.into(),
        });
    }

    /// Gives the second of a name a number.
    fn name_apart(&mut self) {
        let mut taken = BTreeSet::new();
        for found in &mut self.found {
            let first = found.name.clone();
            let numbered = (2..).map_while(|number| format!("{first}-{number}").parse().ok());
            if let Some(name) = std::iter::once(first.clone())
                .chain(numbered)
                .find(|name| !taken.contains(name))
            {
                taken.insert(name.clone());
                found.name = name;
            }
        }
    }
}

/// A name made of foreign text, with room for a number: what a name cannot have becomes `-`.
fn named(text: &str) -> Option<SecretName> {
    let plain: String = text
        .chars()
        .take(MAX_NAME)
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
            _ => '-',
        })
        .collect();
    plain.trim_start_matches(['.', '_', '-']).parse().ok()
}

/// The text of a file. `None` where there is none; what there is and cannot be read is told of.
fn text(path: &Path, finds: &mut Finds) -> Option<Zeroizing<String>> {
    let place = Place::File(path.to_owned());
    let read = || -> std::io::Result<Option<Zeroizing<String>>> {
        // A pipe in its place would be waited for.
        if !path.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
        File::open(path)?
            .take(MAX_FILE as u64 + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() > MAX_FILE {
            return Ok(None);
        }
        let text = std::str::from_utf8(&bytes).map_err(std::io::Error::other)?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    };
    match read() {
        Ok(Some(text)) => return Some(text),
        Ok(None) => finds.skip(&place, format!("it is longer than {MAX_FILE} bytes")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => finds.skip(&place, format!("it cannot be read: {error}")),
    }
    None
}

#[cfg(test)]
mod tests;
