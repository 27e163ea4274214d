//! Which refs move where: what the session changed, unless the human changed it as well.
//!
//! The plan is pure; carrying it out compares again, ref by ref, in git's own transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::GitError;
use super::command::{Git, output};
use super::layout::Repository;
use super::names::{Oid, RefName};

/// One ref's way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It moves, or is made where `old` is none.
    Move {
        /// The ref.
        name: RefName,
        /// What it will be.
        new: Oid,
        /// What it has to be until then.
        old: Option<Oid>,
    },
    /// It goes.
    Delete {
        /// The ref.
        name: RefName,
        /// What it has to be until then.
        old: Oid,
    },
    /// The session's is kept under another name, and the human's stays.
    Aside {
        /// The ref.
        name: RefName,
        /// Where the session's is.
        at: RefName,
        /// What that is.
        new: Oid,
        /// Why.
        why: Why,
    },
}

/// Why a ref of the session's is kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The human changed it, too.
    Changed,
    /// Another work tree stands on it.
    Elsewhere,
    /// It changes what git shows or does, or its name does things to shells.
    Odd,
    /// Git did not take it.
    Refused,
    /// The session deleted it, and nothing else leads to what it was.
    Deleted,
}

/// The refs of a repository at three times, and what else decides.
#[derive(Debug)]
pub struct Times<'a> {
    /// Before the session.
    pub before: &'a BTreeMap<RefName, Oid>,
    /// As the session left them.
    pub after: &'a BTreeMap<RefName, Oid>,
    /// As they are now.
    pub now: &'a BTreeMap<RefName, Oid>,
    /// Branches that other work trees stand on.
    pub taken: &'a BTreeSet<RefName>,
    /// What the session is called.
    pub session: &'a str,
}

/// Plans the way back; the stash is not a matter of refs alone and left out.
pub fn plan(times: &Times<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, new) in times.after {
        let (old, now) = (times.before.get(name), times.now.get(name));
        if old == Some(new) || now == Some(new) || name.as_str() == "refs/stash" {
            continue;
        }
        let why = if !ordinary(name) {
            Some(Why::Odd)
        } else if times.taken.contains(name) {
            Some(Why::Elsewhere)
        } else if now != old {
            Some(Why::Changed)
        } else {
            None
        };
        steps.extend(match why {
            Some(why) => aside(times.session, name, new, why),
            None => Some(Step::Move {
                name: name.clone(),
                new: new.clone(),
                old: old.cloned(),
            }),
        });
    }
    for (name, old) in times.before {
        let stays = times.after.contains_key(name)
            || name.as_str() == "refs/stash"
            || !ordinary(name)
            || times.taken.contains(name)
            || times.now.get(name) != Some(old);
        if !stays {
            steps.push(Step::Delete {
                name: name.clone(),
                old: old.clone(),
            });
        }
    }
    steps
}

/// The step that keeps a ref aside.
pub fn aside(session: &str, name: &RefName, new: &Oid, why: Why) -> Option<Step> {
    let at = RefName::parse(&format!("refs/holdfast/{session}/{}", name.inner()))?;
    Some(Step::Aside {
        name: name.clone(),
        at,
        new: new.clone(),
        why,
    })
}

/// Branches, tags, notes and what remotes had, by names that no shell and no option parser reads otherwise.
pub fn ordinary(name: &RefName) -> bool {
    let kinds = ["heads/", "tags/", "notes/", "remotes/"];
    let rest = kinds
        .iter()
        .find_map(|kind| name.inner().strip_prefix(kind));
    rest.is_some_and(|rest| {
        let tame = |byte: u8| {
            byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"/._-+@=,#%".contains(&byte)
        };
        !rest.starts_with('-') && rest.bytes().all(tame)
    })
}

/// Carries the steps out; gives them as they were done, with those that git did not take kept aside.
pub fn carry_out(
    git: &Git,
    repository: &Repository,
    steps: Vec<Step>,
    session: &str,
) -> Result<Vec<Step>, GitError> {
    if steps.is_empty() || transact(git, repository, &steps, session).is_ok() {
        return Ok(steps);
    }
    // One of them does not fit: each for itself.
    let mut done = Vec::new();
    for step in steps {
        if transact(git, repository, std::slice::from_ref(&step), session).is_ok() {
            done.push(step);
            continue;
        }
        let (name, new) = match &step {
            Step::Move { name, new, .. } | Step::Aside { name, new, .. } => (name, new),
            // The human has it otherwise now: it stays.
            Step::Delete { .. } => continue,
        };
        if let Some(step) = aside(session, name, new, Why::Refused) {
            transact(git, repository, std::slice::from_ref(&step), session)?;
            done.push(step);
        }
    }
    Ok(done)
}

fn transact(
    git: &Git,
    repository: &Repository,
    steps: &[Step],
    session: &str,
) -> Result<(), GitError> {
    let zero = |oid: &Oid| "0".repeat(oid.as_str().len());
    let text: String = steps
        .iter()
        .map(|step| match step {
            Step::Move { name, new, old } => {
                let old = old.as_ref().map_or_else(|| zero(new), Oid::to_string);
                format!("update {name} {new} {old}\n")
            }
            Step::Delete { name, old } => format!("delete {name} {old}\n"),
            Step::Aside { at, new, .. } => format!("update {at} {new}\n"),
        })
        .collect();
    let mut update = git.of(&repository.git_dir, &repository.work_tree);
    update.args(["update-ref", "--create-reflog", "-m"]);
    update
        .arg(format!("holdfast: session {session}"))
        .arg("--stdin");
    output(&mut update, text.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn refs(list: &[(u8, u8)]) -> BTreeMap<RefName, Oid> {
        list.iter()
            .filter(|(_, value)| *value > 0)
            .map(|(name, value)| {
                let name = RefName::parse(&format!("refs/heads/b{name}")).unwrap();
                (name, Oid::parse(&format!("{value:040x}")).unwrap())
            })
            .collect()
    }

    proptest! {
        /// What the human changed meanwhile is as they left it, and no value of the session's is lost.
        #[test]
        fn nobody_loses_anything(
            before in proptest::collection::vec((0u8..4, 0u8..4), 0..6),
            after in proptest::collection::vec((0u8..4, 0u8..4), 0..6),
            now in proptest::collection::vec((0u8..4, 0u8..4), 0..6),
        ) {
            let (before, after, now) = (refs(&before), refs(&after), refs(&now));
            let taken = BTreeSet::from([RefName::parse("refs/heads/b3").unwrap()]);
            let steps = plan(&Times { before: &before, after: &after, now: &now, taken: &taken, session: "s" });
            let mut then = now.clone();
            for step in &steps {
                match step {
                    Step::Move { name, new, old } => {
                        prop_assert_eq!(then.insert(name.clone(), new.clone()), old.clone());
                    }
                    Step::Delete { name, old } => prop_assert_eq!(then.remove(name), Some(old.clone())),
                    Step::Aside { at, new, .. } => { then.insert(at.clone(), new.clone()); }
                }
            }
            for (name, oid) in &now {
                if before.get(name) != Some(oid) || taken.contains(name) {
                    prop_assert_eq!(then.get(name), Some(oid));
                }
            }
            for (name, oid) in &after {
                if before.get(name) != Some(oid) {
                    prop_assert!(then.values().any(|kept| kept == oid));
                }
            }
        }
    }

    #[test]
    fn what_bends_git_or_a_shell_is_no_ordinary_ref() {
        for good in ["refs/heads/feat/#12", "refs/tags/v1", "refs/heads/ä"] {
            assert!(ordinary(&RefName::parse(good).unwrap()), "{good}");
        }
        for bad in [
            "refs/replace/1",
            "refs/heads/-x",
            "refs/heads/$(id)",
            "refs/heads/a;b",
            "refs/x/y",
        ] {
            assert!(!ordinary(&RefName::parse(bad).unwrap()), "{bad}");
        }
    }
}
