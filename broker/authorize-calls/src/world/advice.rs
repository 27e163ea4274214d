//! What would have let a denied path into the session, in words.
//!
//! It must never advise to lend what is never lent.

use std::path::{Path, PathBuf};

use holdfast_policy::Place;
use holdfast_protocol::call::Effect;
use holdfast_protocol::run::RunAccess;

use super::World;
use super::path::{absolute, has_wildcard};
use super::place::lent;

/// The system's own folders: no human lends them.
const SYSTEM: [&str; 11] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
];

impl World {
    /// How the first path among `effects` that the session was not lent could be lent to another one.
    pub fn advice(&self, effects: &[Effect], cwd: &Path) -> Option<String> {
        effects.iter().find_map(|effect| match effect {
            Effect::Reads { path } => self.to_read(&absolute(path, cwd)),
            Effect::Writes { path } | Effect::Deletes { path } => {
                self.to_change(&absolute(path, cwd))
            }
            Effect::Runs { .. }
            | Effect::Pushes { .. }
            | Effect::Publishes { .. }
            | Effect::Reaches { .. }
            | Effect::UsesSecret { .. }
            | Effect::Spends { .. }
            | Effect::Widens { .. }
            | Effect::Uninspectable { .. } => None,
        })
    }

    fn to_read(&self, path: &Path) -> Option<String> {
        let outside = matches!(self.place(path), Place::OtherProject);
        (outside && self.could_be_lent(path)).then(|| {
            let path = path.display();
            format!(
                "`{path}` is not in this session; `holdfast run --ro {path}` lends it for reading"
            )
        })
    }

    fn to_change(&self, path: &Path) -> Option<String> {
        if !matches!(self.place(path), Place::OtherProject | Place::Elsewhere) {
            return None;
        }
        if let Some(lent) = lent(self, path).filter(|lent| lent.access == RunAccess::Read) {
            let root = lent.root.display();
            return Some(format!(
                "`{root}` is lent for reading; `holdfast run --rw {root}` lends it to be changed"
            ));
        }
        // What is not there yet cannot be lent; the folder that it would lie in can.
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        self.could_be_lent(&folder).then(|| {
            format!(
                "`{}` is not in this session; `holdfast run --rw {}` lends its folder to be changed",
                path.display(),
                folder.display()
            )
        })
    }

    fn could_be_lent(&self, path: &Path) -> bool {
        !self.guards(path)
            && !self.home.starts_with(path)
            && !SYSTEM.iter().any(|system| path.starts_with(system))
            && !has_wildcard(&path.to_string_lossy())
    }
}
