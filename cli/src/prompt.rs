//! What a human types, and what a file or a pipe says instead.
//!
//! A secret is never an argument, where others could see it, is never shown while it is typed, and is read from no file
//! that others can read. Everything is one line and bounded.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::MAX_VALUE;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::outcome::Problem;

/// Something secret that is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Sought {
    /// A PIN.
    Pin,
    /// A secret's value.
    Value,
    /// A vault's recovery code.
    Code,
}

impl Sought {
    fn name(self) -> &'static str {
        match self {
            Self::Pin => "the PIN",
            Self::Value => "the secret",
            Self::Code => "the recovery code",
        }
    }

    /// The option that names a file.
    fn option(self) -> &'static str {
        match self {
            Self::Pin => "--pin-file",
            Self::Value => "--value-file",
            Self::Code => "--code-file",
        }
    }

    /// The longest that is taken, in bytes.
    fn longest(self) -> usize {
        match self {
            Self::Pin | Self::Code => 256,
            Self::Value => MAX_VALUE,
        }
    }
}

/// A line typed at the terminal without being shown.
pub fn typed(sought: Sought, prompt: &str) -> Result<Secret, Problem> {
    let failed = |error: std::io::Error| {
        Problem::failed(
            format!("{} cannot be read: {error}", sought.name()),
            format!("run it in a terminal, or give {} FILE", sought.option()),
        )
    };
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(failed(std::io::Error::other(
            "standard input is no terminal",
        )));
    }
    let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // First: what is typed as soon as the prompt is there must be neither shown nor dropped.
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    eprint!("{prompt}");
    let asked = std::io::stderr().flush();
    let read = asked.and_then(|()| line(sought, stdin.lock()));
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before);
    eprintln!();
    restored.map_err(|error| failed(error.into()))?;
    read.map_err(failed)
}

/// The line of a file that only its owner may read.
pub fn from_file(sought: Sought, path: &Path) -> Result<Secret, Problem> {
    let failed = |error: std::io::Error| {
        Problem::usage(
            format!(
                "{} in `{}` cannot be read: {error}",
                sought.name(),
                path.display()
            ),
            "name a file that only you can read",
        )
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(failed(std::io::Error::other("others can read it, too")));
    }
    line(sought, BufReader::new(file)).map_err(failed)
}

/// A line of standard input where that is a pipe or a file, else one that is typed.
pub fn piped_or_typed(sought: Sought, prompt: &str) -> Result<Secret, Problem> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return typed(sought, prompt);
    }
    line(sought, stdin.lock()).map_err(|error| {
        Problem::usage(
            format!(
                "{} on standard input cannot be read: {error}",
                sought.name()
            ),
            "pipe in the one line that it is",
        )
    })
}

/// Asks for consent to something that changes nothing outside this human's own vault.
pub fn agreed(question: &str) -> Result<Agreement, Problem> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Problem::usage(
            "nobody is there to be asked: standard input is no terminal",
            "say --yes",
        ));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stderr()
        .flush()
        .and_then(|()| stdin.lock().take(64).read_line(&mut answer));
    read.map_err(|error| Problem::failed(format!("the answer cannot be read: {error}"), ""))?;
    Ok(match answer.trim() {
        "y" | "Y" | "yes" => Agreement::Yes,
        _ => Agreement::No,
    })
}

/// What a human said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Do it.
    Yes,
    /// Anything else.
    No,
}

fn line(sought: Sought, from: impl BufRead) -> std::io::Result<Secret> {
    let longest = sought.longest();
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(longest + 4));
    from.take(longest as u64 + 3).read_line(&mut text)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.len() > longest {
        return Err(std::io::Error::other(format!(
            "it is longer than {longest} bytes"
        )));
    }
    Ok(Secret::new(Zeroizing::new(line.to_owned())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_line_is_taken_without_its_end() {
        for text in ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\nmore"] {
            let read = line(Sought::Pin, text.as_bytes()).unwrap();
            assert_eq!(*read.expose(), "s3cret");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_cut() {
        let longest = "x".repeat(MAX_VALUE);
        let ended = format!("{longest}\r\n");
        assert_eq!(
            *line(Sought::Value, ended.as_bytes()).unwrap().expose(),
            longest
        );
        let longer = format!("{longest}x");
        assert!(line(Sought::Value, longer.as_bytes()).is_err());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        std::fs::write(&path, "s3cret\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        assert!(from_file(Sought::Value, &path).is_err());
        mode(0o600);
        assert_eq!(*from_file(Sought::Value, &path).unwrap().expose(), "s3cret");
    }
}
