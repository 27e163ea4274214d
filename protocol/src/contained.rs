//! Holdfast without root: where a human's own broker lives, and what is said of its sessions.
//!
//! One place for the words and the folders, so that broker and command line say and mean the same.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a human is told when a session begins, and whoever asks afterwards.
pub const NOTICE: &str = "contained: this session was made without root. It keeps the agent in, and nobody out: your other \
programs can read and change what is in it. It counts as no more than found (L1), consent to its acts as no more than a \
click (R1), and no attestor vouches for it. The kernel bounds \
neither its memory nor its processor time";

/// The folders of a human's own broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// All that it keeps.
    pub state: PathBuf,
    /// Its sockets.
    pub run: PathBuf,
    /// Its configuration; the file need not be there.
    pub config: PathBuf,
}

impl Places {
    /// By the human's environment (XDG Base Directory Specification 0.8); `None` without a home.
    ///
    /// What is not an absolute path is ignored, as that specification says.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let folder = |name| {
            let path = variable(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let home = folder("HOME")?;
        let state = folder("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        let state = state.join("holdfast/contained");
        let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let run = folder("XDG_RUNTIME_DIR").map(|run| run.join("holdfast"));
        Some(Self {
            run: run.unwrap_or_else(|| state.join("run")),
            config: config.join("holdfast/holdfastd.toml"),
            state,
        })
    }

    /// Where it is managed.
    pub fn management(&self) -> PathBuf {
        self.run.join("management.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<Places> {
        Places::find(|name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn a_brokers_folders_are_its_humans_own() {
        let places = found(&[("HOME", "/home/ann"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(
            places,
            Some(Places {
                state: "/home/ann/.local/state/holdfast/contained".into(),
                run: "/run/user/1000/holdfast".into(),
                config: "/home/ann/.config/holdfast/holdfastd.toml".into(),
            })
        );
    }

    #[test]
    fn what_is_no_absolute_path_is_not_followed() {
        let places = found(&[("HOME", "/home/ann"), ("XDG_RUNTIME_DIR", "run")]);
        let run = places.map(|places| places.run);
        assert_eq!(
            run,
            Some("/home/ann/.local/state/holdfast/contained/run".into())
        );
        assert_eq!(found(&[("HOME", "home")]), None);
        assert_eq!(found(&[]), None);
    }
}
