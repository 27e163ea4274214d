//! What a session's effects touch: its project, its remotes, its hosts, its secrets.
//!
//! Facts in, standings out. Paths are judged by their text: this module must never look at a file system, whose answer
//! could change between the question and the act. The sealed session is what confines; this is what explains.

mod advice;
mod path;
mod place;
pub mod repository;
mod resolve;
mod share;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_policy::{Acquaintance, Act, BranchStanding, Grant, Place, RemoteStanding};
use holdfast_protocol::call::Effect;
use holdfast_protocol::run::RunAccess;
use holdfast_protocol::vault::SecretUse;
use holdfast_protocol::widening::{Reach, Widening};

pub use path::absolute;
pub(crate) use path::has_wildcard;
pub use repository::Remote;
pub use share::{Share, SharedProject};

/// What one session may touch, as the broker knows it.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The project's root, absolute.
    pub project: PathBuf,
    /// The home that the session sees, absolute.
    pub home: PathBuf,
    /// Private temporary folders, absolute.
    pub scratch: Vec<PathBuf>,
    /// Roots of the human's other projects, absolute.
    pub other_projects: Vec<PathBuf>,
    /// What else of the human's the session was lent, absolute.
    pub lent: Vec<Lent>,
    /// The project's git remotes by name.
    pub remotes: BTreeMap<String, Remote>,
    /// The project's branches, as far as they matter.
    pub branches: Branches,
    /// Hosts that the session may fetch from: names, or `*.suffix`.
    pub hosts: BTreeSet<String>,
    /// What its human added to the session's network.
    pub given: Vec<Widening>,
    /// The secrets that the session was given, by name, and what each is for.
    pub secrets: BTreeMap<String, SecretUse>,
    /// A sub-agent's share of all this.
    pub share: Share,
}

/// A folder or file that the human named for the session, outside the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Its root.
    pub root: PathBuf,
    /// What the session may do there.
    pub access: RunAccess,
}

/// What is known of the branches of a project.
#[derive(Clone, Debug, Default)]
pub struct Branches {
    /// The one that is checked out.
    pub current: Option<String>,
    /// The default branch.
    pub default: Option<String>,
    /// Protected branches: names, or `prefix*`.
    pub protected: BTreeSet<String>,
    /// Branches that this session made.
    pub made: BTreeSet<String>,
}

impl World {
    /// What a policy is asked about `effect`, seen from `cwd`.
    pub fn act(&self, effect: &Effect, cwd: &Path) -> Act {
        match effect {
            Effect::Reads { path } => {
                let (path, place) = self.located(path, cwd);
                Act::Reads { path, place }
            }
            Effect::Writes { path } => {
                let (path, place) = self.located(path, cwd);
                Act::Writes { path, place }
            }
            Effect::Deletes { path } => {
                let (path, place) = self.located(path, cwd);
                // Whoever deletes a folder deletes what lies in it.
                let place = match place {
                    Place::Project if self.is_outermost(Path::new(&path)) => Place::Elsewhere,
                    Place::Holdfast
                    | Place::Secret
                    | Place::Hooks
                    | Place::OtherProject
                    | Place::Project
                    | Place::Scratch
                    | Place::Elsewhere => place,
                };
                Act::Deletes { path, place }
            }
            Effect::Runs { program } => Act::Runs {
                program: program.clone(),
            },
            Effect::Pushes {
                remote,
                refspec,
                history,
            } => Act::Pushes {
                target: format!(
                    "{} {}",
                    remote.as_deref().unwrap_or("origin"),
                    refspec.as_deref().unwrap_or("?")
                ),
                remote: self.remote(remote.as_deref()),
                branch: self.branch(refspec.as_deref()),
                history: *history,
            },
            Effect::Publishes { registry } => Act::Publishes {
                registry: registry.clone(),
            },
            Effect::Reaches { host, manner } => Act::Reaches {
                host: bare_host(host),
                acquaintance: self.acquaintance(host),
                manner: *manner,
            },
            Effect::UsesSecret { name } => Act::UsesSecret {
                name: name.clone(),
                grant: if self.secrets.contains_key(name) {
                    Grant::Granted
                } else {
                    Grant::Withheld
                },
            },
            Effect::Widens { widening } => Act::Widens {
                widening: widening.clone(),
            },
            Effect::Spends { what } => Act::Spends { what: what.clone() },
            Effect::Uninspectable { why, reach } => Act::Uninspectable {
                why: why.clone(),
                reach: *reach,
            },
        }
    }

    /// Where an absolute path lies.
    pub fn place(&self, path: &Path) -> Place {
        place::place(self, path)
    }

    /// Whether no session may be lent this: a secret's file, Holdfast's own, or a folder with such in it.
    pub fn guards(&self, path: &Path) -> bool {
        matches!(self.place(path), Place::Secret | Place::Holdfast)
            || place::holds_secrets(self, path)
    }

    /// Whether this is the project or something lent, or holds one of them.
    fn is_outermost(&self, path: &Path) -> bool {
        let lent = self.lent.iter().map(|lent| &lent.root);
        std::iter::once(&self.project)
            .chain(lent)
            .any(|root| root.starts_with(path))
    }

    fn located(&self, path: &Path, cwd: &Path) -> (String, Place) {
        let path = absolute(path, cwd);
        let place = self.place(&path);
        (path.to_string_lossy().into_owned(), place)
    }

    fn remote(&self, remote: Option<&str>) -> RemoteStanding {
        let remote = remote.unwrap_or("origin");
        let configured = self.remotes.contains_key(remote)
            || self.remotes.values().any(|known| known.url == remote);
        if configured {
            RemoteStanding::Configured
        } else {
            RemoteStanding::Unknown
        }
    }

    /// What kind of ref a push lands on; a ref that is not given is the branch that is checked out.
    fn branch(&self, refspec: Option<&str>) -> BranchStanding {
        let Some(name) = refspec.or(self.branches.current.as_deref()) else {
            return BranchStanding::Unknown;
        };
        if name.contains('*') {
            return BranchStanding::Many;
        }
        if name.starts_with("refs/tags/") {
            return BranchStanding::Tag;
        }
        let name = name.strip_prefix("refs/heads/").unwrap_or(name);
        let protected = self.branches.protected.iter().any(|pattern| {
            pattern
                .strip_suffix('*')
                .map_or(pattern == name, |prefix| name.starts_with(prefix))
        });
        if self.branches.default.as_deref() == Some(name) {
            BranchStanding::Default
        } else if protected {
            BranchStanding::Protected
        } else if self.branches.made.contains(name) {
            BranchStanding::SessionMade
        } else {
            BranchStanding::Unknown
        }
    }

    fn acquaintance(&self, shown: &str) -> Acquaintance {
        let host = bare_host(shown);
        let own = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let named = self.hosts.iter().any(|known| matches(known, &host));
        if self.is_given(shown, &host) {
            Acquaintance::Given
        } else if own || named {
            Acquaintance::Known
        } else {
            Acquaintance::New
        }
    }
}

impl World {
    /// Whether the human gave the session this host, or this host and port.
    fn is_given(&self, shown: &str, bare: &str) -> bool {
        self.given.iter().any(|widening| match widening {
            Widening::Host(host) => host.as_str() == bare,
            Widening::Reach(reach) => shown.parse::<Reach>().is_ok_and(|shown| shown == *reach),
            Widening::Publish(_)
            | Widening::Read(_)
            | Widening::Write(_)
            | Widening::Unguard(_) => false,
        })
    }
}

/// Whether a bare host is the one that is known, or below it where that is `*.suffix`.
fn matches(known: &str, host: &str) -> bool {
    known.strip_prefix('*').map_or(known == host, |suffix| {
        suffix.starts_with('.') && host.ends_with(suffix) && host.len() > suffix.len()
    })
}

/// A host without port, brackets, or final dot, in lowercase.
fn bare_host(host: &str) -> String {
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => match host.split_once(':') {
            Some((name, port)) if !port.contains(':') => name,
            Some(_) | None => host,
        },
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
