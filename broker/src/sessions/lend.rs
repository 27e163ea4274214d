//! What of the human's a session may be lent at all, whatever the command line names.
//!
//! A tree is judged by the place that it is to have inside and by the path that its descriptor leads
//! to. It must never open anything, and in doubt the answer is no.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use holdfast_authorize_calls::world::World;
use holdfast_policy::Place;
use holdfast_protocol::run::RunAccess;
use rustix::fs::fstat;

use crate::config::{Lend, LendConfig};

/// Holdfast's own folders on an installed system.
const OWN: [&str; 4] = [
    "/etc/holdfast",
    "/run/holdfast",
    "/run/holdfast-launcher",
    "/var/lib/holdfast",
];

/// Folders below a human's home that are Holdfast's.
const OWN_IN_HOME: [&str; 4] = [
    ".config/holdfast",
    ".holdfast",
    ".local/share/holdfast",
    ".local/state/holdfast",
];

/// Where below a home the git folders are that stand for a project's in a session.
const GIT_IN_HOME: &str = ".local/state/holdfast/git";

/// What the kernel or the login session serves: never a human's to lend.
const NO_FILES: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// A tree is not lent.
#[derive(Debug, thiserror::Error)]
pub enum NotLent {
    /// All of a home, or all of the system.
    #[error("`{0}` is a whole home or more; name what the agent needs in it")]
    Whole(PathBuf),
    /// Holdfast's own, or a folder that holds it.
    #[error("`{0}` is Holdfast's own or holds what is; no session gets it")]
    Own(PathBuf),
    /// Not files of the human's.
    #[error("`{0}` is served by the kernel or belongs to the login session; no session gets it")]
    NoFiles(PathBuf),
    /// It holds secrets.
    #[error(
        "`{0}` is or holds a place of secrets; keep those in your vault and name another place"
    )]
    Secret(PathBuf),
    /// Somebody else's, to be changed.
    #[error("`{path}` belongs to uid {owner}: a session may change only what is yours")]
    Foreign {
        /// The place.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The administrator refuses it.
    #[error("`{0}` is not lent on this host, by its configuration")]
    Policy(PathBuf),
    /// The descriptor leads nowhere that could be judged.
    #[error("it is not to be seen what `{0}` is")]
    Unseen(PathBuf, #[source] std::io::Error),
}

/// What a host lends.
#[derive(Clone, Debug)]
pub struct Lending {
    /// Holdfast's own folders, wherever they are on this host.
    own: Vec<PathBuf>,
    config: LendConfig,
}

/// What is asked of the human's, and why.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where it is to appear.
    pub place: &'a Path,
    /// What the session may do there.
    pub access: RunAccess,
    /// Why.
    pub why: Why,
}

/// Why something of the human's is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is the project.
    Project,
    /// A tool or an agent needs it.
    Needed,
    /// It stands for the project's git folder, or is what that looks into.
    Git,
    /// It is of the project, and appears over itself.
    Guard,
    /// The human named it.
    Named,
}

/// Whether this lies where `holdfast run` makes folders that stand for a project's `.git`: below a folder of its
/// own for each session.
pub fn stands_for_git(home: &Path, real: &Path) -> bool {
    let git = home.join(GIT_IN_HOME);
    real.starts_with(&git) && real != git
}

impl Lending {
    /// By this configuration; `own` are the folders that this broker uses.
    pub fn new(own: impl IntoIterator<Item = PathBuf>, config: LendConfig) -> Self {
        let usual = OWN.iter().map(PathBuf::from);
        Self {
            own: own.into_iter().chain(usual).collect(),
            config,
        }
    }

    /// Whether `human`, whose home is at `home`, may lend what `source` leads to.
    ///
    /// # Errors
    /// [`NotLent`].
    pub fn judge(
        &self,
        human: u32,
        home: &Path,
        asked: Asked<'_>,
        source: &OwnedFd,
    ) -> Result<(), NotLent> {
        let unseen = |error| NotLent::Unseen(asked.place.to_owned(), error);
        let real = place_of(source);
        let owner = fstat(source).map_err(|errno| unseen(errno.into()))?.st_uid;
        self.judge_path(home, asked, asked.place)?;
        self.judge_path(home, asked, &real.map_err(unseen)?)?;
        if asked.access == RunAccess::Write && owner != human {
            return Err(NotLent::Foreign {
                path: asked.place.to_owned(),
                owner,
            });
        }
        Ok(())
    }

    fn judge_path(&self, home: &Path, asked: Asked<'_>, path: &Path) -> Result<(), NotLent> {
        let shown = || asked.place.to_owned();
        let overlaps = |own: &Path| own.starts_with(path) || path.starts_with(own);
        if home.starts_with(path) {
            return Err(NotLent::Whole(shown()));
        }
        if self.own.iter().any(|own| overlaps(own)) {
            return Err(NotLent::Own(shown()));
        }
        // One of those, and not all of them: it was made for this session.
        if asked.why == Why::Git && stands_for_git(home, path) {
            return Ok(());
        }
        if OWN_IN_HOME.iter().any(|own| overlaps(&home.join(own))) {
            return Err(NotLent::Own(shown()));
        }
        if NO_FILES.iter().any(|folder| path.starts_with(folder)) {
            return Err(NotLent::NoFiles(shown()));
        }
        let world = World {
            home: home.to_owned(),
            ..World::default()
        };
        // A project may hold secrets, which are no call's to read; it may not be a place of them.
        let secret = match asked.why {
            Why::Project => world.place(path) == Place::Secret,
            // What it is of is lent as a whole.
            Why::Guard => false,
            Why::Needed | Why::Git | Why::Named => world.guards(path),
        };
        if secret {
            return Err(NotLent::Secret(shown()));
        }
        let rule = match (asked.why, asked.access) {
            (Why::Project | Why::Needed | Why::Guard | Why::Git, _) => Lend::Allow,
            (Why::Named, RunAccess::Read) => self.config.read,
            (Why::Named, RunAccess::Write) => self.config.write,
        };
        if rule == Lend::Refuse || self.config.never.iter().any(|never| overlaps(never)) {
            return Err(NotLent::Policy(shown()));
        }
        Ok(())
    }
}

/// Where the kernel says that this lies; a name to be judged, never to be opened.
pub fn place_of(source: &OwnedFd) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", source.as_raw_fd()))
}

#[cfg(test)]
mod tests;
