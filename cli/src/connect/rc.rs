//! The line in a shell's startup file that puts the shims first.

use std::path::{Path, PathBuf};

use super::files::Change;
use super::{Act, Edit};

/// At the end of the line, so that it is known again.
const MARK: &str = "# holdfast connect";

/// A shell whose startup file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    /// By the path of its program.
    pub fn of(program: &Path) -> Option<Self> {
        match program.file_name()?.to_str()? {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }

    /// What it reads in each interactive shell, last.
    pub fn startup_file(self, home: &Path, zdotdir: Option<&Path>) -> PathBuf {
        match self {
            Self::Bash => home.join(".bashrc"),
            Self::Zsh => zdotdir.unwrap_or(home).join(".zshrc"),
            Self::Fish => home.join(".config/fish/config.fish"),
        }
    }

    /// The line.
    pub fn line(self, shims: &Path) -> String {
        // Quotes, colons and the like were refused where the shim was made.
        let shims = shims.display();
        match self {
            Self::Bash | Self::Zsh => format!("export PATH='{shims}':\"$PATH\" {MARK}"),
            Self::Fish => format!("set -gx PATH '{shims}' $PATH {MARK}"),
        }
    }
}

/// Puts the line at the end, or takes it away.
pub fn change<'a>(act: Act, line: &str) -> Edit<'a> {
    let line = line.to_owned();
    Box::new(move |text| {
        let there = text.lines().any(|other| other == line);
        match act {
            Act::Write if there => Change::There,
            Act::Write => {
                let gap = if text.is_empty() || text.ends_with('\n') {
                    ""
                } else {
                    "\n"
                };
                Change::Add(format!("{text}{gap}{line}\n"))
            }
            Act::Undo if there => Change::Remove(
                text.split_inclusive('\n')
                    .filter(|other| other.trim_end_matches('\n') != line)
                    .collect(),
            ),
            Act::Add | Act::Show if there => Change::There,
            Act::Add | Act::Show | Act::Undo => Change::Absent,
        }
    })
}
