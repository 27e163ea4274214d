//! The human's own profiles: `~/.config/holdfast/profiles/KIND.toml`.
//!
//! Only found and read here; the broker parses them, and says what is wrong. It must never send
//! more than one, nor one that is too long.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use holdfast_protocol::id::AgentKind;
use holdfast_protocol::run::{MAX_PROFILE, RunProfile};
use serde::Deserialize;

use crate::outcome::Problem;

/// Where they are, below home.
const FOLDER: &str = ".config/holdfast/profiles";
/// How many are looked at for the names that they give.
const MAX_PROFILES: usize = 64;

/// Which programs a profile is for; the rest of it is the broker's to judge.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    names: Vec<String>,
}

/// The human's profiles.
#[derive(Debug)]
pub struct OwnProfiles(PathBuf);

impl OwnProfiles {
    /// Those of the human whose home this is.
    pub fn of(home: &Path) -> Self {
        Self(home.join(FOLDER))
    }

    /// The one for this kind.
    pub fn of_kind(&self, kind: &AgentKind) -> Result<Option<RunProfile>, Problem> {
        let path = self.0.join(format!("{kind}.toml"));
        let unusable = |why: &dyn std::fmt::Display| {
            Problem::usage(
                format!("`{}` cannot be used: {why}", path.display()),
                "mend it, or move it away",
            )
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&error)),
        };
        let mut text = String::new();
        let limit = u64::try_from(MAX_PROFILE).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(|error| unusable(&error))?;
        if text.len() > MAX_PROFILE {
            return Err(unusable(&format_args!(
                "it has more than {MAX_PROFILE} bytes"
            )));
        }
        let kind = kind.clone();
        Ok(Some(RunProfile { kind, text }))
    }

    /// The one that names this program, or is named after it.
    pub fn for_program(&self, program: &str) -> Result<Option<RunProfile>, Problem> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut kinds: Vec<AgentKind> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(".toml")?.parse().ok()
            })
            .take(MAX_PROFILES)
            .collect();
        kinds.sort();
        for kind in &kinds {
            if kind.as_str() == program {
                return self.of_kind(kind);
            }
        }
        for kind in &kinds {
            // What is wrong with a profile is said to whoever asks for its kind.
            let Ok(Some(profile)) = self.of_kind(kind) else {
                continue;
            };
            let own: Names = toml::from_str(&profile.text).unwrap_or_default();
            if own.names.iter().any(|name| name == program) {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_profile_is_found_by_its_kind_or_by_a_program_that_it_names() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(FOLDER);
        let own = OwnProfiles::of(home.path());
        assert_eq!(own.for_program("aider").unwrap(), None);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("claude.toml"), "names = ['cc']").unwrap();
        std::fs::write(folder.join("aider.toml"), "not TOML [").unwrap();
        std::fs::write(folder.join("UPPER.toml"), "names = ['bash']").unwrap();
        let kind = |program: &str| {
            let found = own.for_program(program).unwrap();
            found.map(|profile| profile.kind.to_string())
        };
        assert_eq!(kind("cc").as_deref(), Some("claude"));
        // The broker says what is wrong with it.
        assert_eq!(kind("aider").as_deref(), Some("aider"));
        assert_eq!(kind("bash"), None);
        let long = "#".repeat(MAX_PROFILE + 1);
        std::fs::write(folder.join("claude.toml"), long).unwrap();
        assert!(own.of_kind(&"claude".parse().unwrap()).is_err());
        assert_eq!(kind("bash"), None);
    }
}
