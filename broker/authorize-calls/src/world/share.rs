//! What a sub-agent was lent of its parent's world: less is denied whatever the policy says.
//!
//! It can only take away. Texts, like the rest of the world; the sub-agent's own walls confine.

use std::collections::BTreeSet;

use holdfast_policy::Place;
use holdfast_protocol::call::Effect;
use holdfast_protocol::decision::Reason;

use super::{World, absolute, bare_host, matches};

/// What is lent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The hosts that may be reached at all; absent where that is not bounded.
    pub hosts: Option<BTreeSet<String>>,
    /// What may be done with the project.
    pub project: SharedProject,
}

/// What may be done with the project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedProject {
    /// All of it.
    #[default]
    Whole,
    /// Only reading.
    Read,
}

impl Share {
    /// This and no more than `hosts` and `project` say.
    pub fn narrowed(&self, hosts: Option<BTreeSet<String>>, project: SharedProject) -> Self {
        let hosts = match (&self.hosts, hosts) {
            (None, hosts) => hosts,
            (Some(own), None) => Some(own.clone()),
            (Some(own), Some(hosts)) => Some(
                hosts
                    .into_iter()
                    .filter(|host| own.iter().any(|known| matches(known, host)))
                    .collect(),
            ),
        };
        let project = match (self.project, project) {
            (SharedProject::Whole, SharedProject::Whole) => SharedProject::Whole,
            (SharedProject::Read, _) | (_, SharedProject::Read) => SharedProject::Read,
        };
        Self { hosts, project }
    }
}

impl World {
    /// Why these effects are beyond what was lent, if they are.
    pub fn withholds(&self, effects: &[Effect], cwd: &std::path::Path) -> Option<Reason> {
        effects.iter().find_map(|effect| self.withheld(effect, cwd))
    }

    fn withheld(&self, effect: &Effect, cwd: &std::path::Path) -> Option<Reason> {
        let hosts = self.share.hosts.as_ref();
        let may_reach = |host: &str| {
            hosts.is_none_or(|hosts| hosts.iter().any(|known| matches(known, &bare_host(host))))
        };
        let beyond = |what: &str| Reason::new("sub-agent/not-lent", what);
        match effect {
            Effect::Reaches { host, .. } if !may_reach(host) => {
                Some(beyond("this sub-agent was not lent that host"))
            }
            Effect::Pushes { remote, .. } if hosts.is_some() => {
                let remote = remote.as_deref().unwrap_or("origin");
                let known = self.remotes.get(remote);
                let known = known.or_else(|| self.remotes.values().find(|each| each.url == remote));
                let host = known.and_then(|remote| remote.host.as_deref());
                (!host.is_some_and(may_reach))
                    .then(|| beyond("this sub-agent was not lent that remote's host"))
            }
            Effect::Publishes { .. } if hosts.is_some() => Some(beyond(
                "this sub-agent was lent some hosts, and no registry",
            )),
            Effect::Writes { path } | Effect::Deletes { path }
                if self.share.project == SharedProject::Read
                    && self.place(&absolute(path, cwd)) == Place::Project =>
            {
                Some(beyond("this sub-agent may only read the project"))
            }
            Effect::Reads { .. }
            | Effect::Writes { .. }
            | Effect::Deletes { .. }
            | Effect::Runs { .. }
            | Effect::Pushes { .. }
            | Effect::Publishes { .. }
            | Effect::Reaches { .. }
            | Effect::UsesSecret { .. }
            | Effect::Spends { .. }
            | Effect::Widens { .. }
            | Effect::Uninspectable { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::{Path, PathBuf};

    use holdfast_protocol::call::{History, Manner};

    use super::super::Remote;
    use super::*;

    fn set(hosts: &[&str]) -> Option<BTreeSet<String>> {
        Some(hosts.iter().map(|host| (*host).to_owned()).collect())
    }

    fn reaches(host: &str) -> Effect {
        Effect::Reaches {
            host: host.to_owned(),
            manner: Manner::Fetch,
        }
    }

    fn world(share: Share) -> World {
        World {
            project: PathBuf::from("/work"),
            share,
            remotes: [("origin".to_owned(), Remote::at("https://git.example/a.git"))].into(),
            ..World::default()
        }
    }

    #[test]
    fn nothing_is_withheld_that_was_not_taken() {
        let world = world(Share::default());
        let effects = [reaches("any.example"), Effect::Writes { path: "a".into() }];
        assert_eq!(world.withholds(&effects, Path::new("/work")), None);
    }

    #[test]
    fn only_lent_hosts_are_reached_and_pushed_to() {
        let push = Effect::Pushes {
            remote: None,
            refspec: None,
            history: History::Kept,
        };
        let lent =
            Share::default().narrowed(set(&["api.example", "*.cdn.example"]), SharedProject::Whole);
        let cwd = Path::new("/work");
        let narrow = world(lent.clone());
        for known in ["api.example", "API.example:443", "a.cdn.example"] {
            assert_eq!(narrow.withholds(&[reaches(known)], cwd), None, "{known}");
        }
        for strange in ["example", "evil-api.example", "cdn.example", "127.0.0.1"] {
            assert!(
                narrow.withholds(&[reaches(strange)], cwd).is_some(),
                "{strange}"
            );
        }
        assert!(narrow.withholds(std::slice::from_ref(&push), cwd).is_some());
        let git = lent.narrowed(set(&["git.example", "api.example"]), SharedProject::Whole);
        // What the parent lacks it cannot lend.
        assert_eq!(git.hosts, set(&["api.example"]));
        let git = world(Share::default().narrowed(set(&["git.example"]), SharedProject::Whole));
        assert_eq!(git.withholds(&[push], cwd), None);
    }

    #[test]
    fn a_project_to_read_is_not_written() {
        let lent = Share::default().narrowed(None, SharedProject::Read);
        let world = world(lent.narrowed(None, SharedProject::Whole));
        let write = |path: &str| Effect::Writes { path: path.into() };
        let cwd = Path::new("/work/src");
        assert!(world.withholds(&[write("../a")], cwd).is_some());
        assert_eq!(world.withholds(&[write("/tmp/a")], cwd), None);
    }
}
