//! One repository's way back: objects, then refs, then `HEAD`, index, stash, settings and large files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::GitError;
use super::beneath::{Beneath, own_file};
use super::clean;
use super::command::{Git, output};
use super::foreign::{self, Foreign, MAX_SMALL};
use super::import::Way;
use super::land::{self, Step, Times, Why};
use super::lfs;
use super::names::{Oid, RefName, Value};
use super::private;
use super::record::{Before, Kept, Record};
use super::report::Report;
use super::staged::{self, Head};
use super::traps::Quarantined;
use super::worktrees::Added;

/// What has to be known to bring one repository back.
#[derive(Debug)]
pub struct Back<'a> {
    /// The human's git.
    pub git: &'a Git,
    /// The session's folder.
    pub kept: &'a Kept,
    /// What was there before.
    pub record: &'a Record,
    /// The repository as it was.
    pub before: &'a Before,
    /// What the session is called.
    pub session: &'a str,
    /// Which of the project's repositories it is.
    pub number: usize,
}

impl Back<'_> {
    /// Brings it back; what is refused is said in the report, which then keeps the session's folder. Of `aside` it takes
    /// what it gives back.
    pub fn bring(&self, aside: &mut Vec<Quarantined>, report: &mut Report) -> Result<(), GitError> {
        let repository = &self.before.repository;
        let private = self.kept.private();
        let folder = Beneath::open(&private).map_err(|error| GitError::file(&private, error))?;
        let foreign = foreign::read(&folder, &repository.own, &repository.common)
            .map_err(|error| GitError::file(&private, error))?;
        if foreign.head.is_none() && repository.own != repository.common && self.number > 0 {
            let gone = repository.work_tree.display();
            report.tell(format!("the session removed the work tree {gone}"));
            return Ok(());
        }
        let clean = self.fresh("clean")?;
        clean::make(&clean, &repository.format)?;
        let packs = foreign::take_objects(&private, &repository.common, &clean)?;
        let objects = repository.common_dir.join("objects");
        let shallow = repository.common_dir.join("shallow");
        let way = Way {
            git: self.git,
            clean: &clean,
            objects: &objects,
            staging: self.kept.beside(&format!("staging-{}", self.number)),
            format: &repository.format,
            shallow: own_file(&shallow, MAX_SMALL)
                .map_err(|error| GitError::file(&shallow, error))?,
        };
        for broken in way.index_packs(&packs) {
            report.tell(format!("a pack of the session's is broken: {broken}"));
        }
        let tree = staged::tree(self.git, &folder, repository, &clean, &objects)?;
        let tree = tree.filter(|tree| self.before.index.as_ref() != Some(tree));
        let (now, _) = private::refs(self.git, repository)?;
        let refused = self.objects(&way, &foreign, tree.as_ref(), &now, report)?;

        let landed = self.refs(&foreign, &refused, &now, report)?;
        let head = staged::head(self.git, self.before, &foreign, |wanted| match wanted {
            Value::Symbolic(name) => {
                name.as_str().starts_with("refs/heads/")
                    && land::ordinary(name)
                    && landed.get(name) == foreign.refs.get(name)
            }
            Value::Object(oid) => !refused.contains(oid),
        })?;
        match (&head, &foreign.head) {
            (Head::Followed(value), _) => report.head(value),
            (Head::Stays, _) => report.tell("HEAD stays where it is"),
            (Head::Same, _) => {}
        }
        let stands = match (&head, &foreign.head) {
            (Head::Same | Head::Followed(_), Some(Value::Symbolic(name))) => {
                landed.get(name) == foreign.refs.get(name)
            }
            (Head::Same | Head::Followed(_), _) => true,
            (Head::Stays, _) => false,
        };
        self.index(tree.filter(|tree| !refused.contains(tree)), stands, report)?;
        self.under_way(&private.join(&repository.own), stands, report);
        self.stash(&foreign, &refused, report)?;
        self.settings(&folder, &landed, report)?;
        if self.number == 0 {
            let added = Added {
                git: self.git,
                repository,
                private: &folder,
                foreign: &foreign,
                now: &landed,
            };
            let adopted = added.adopt(aside)?;
            aside.retain(|quarantined| !adopted.contains(&quarantined.was));
            for pointer in adopted {
                report.added(&pointer);
            }
        }
        let large = lfs::bring(&folder, repository)?;
        if large.files > 0 {
            report.came(format!("{} large files", large.files));
        }
        if !large.refused.is_empty() {
            report.tell(format!(
                "{} large files are not what they are called and stay out",
                large.refused.len()
            ));
        }
        if foreign.odd > 0 {
            report.tell(format!(
                "{} things among the session's refs are none",
                foreign.odd
            ));
        }
        if !refused.is_empty() {
            report.keep(self.kept.folder(), "objects were refused");
        }
        for name in ["clean", "staging"] {
            fs::remove_dir_all(self.kept.beside(&format!("{name}-{}", self.number))).ok();
        }
        Ok(())
    }

    /// A folder of the session's that is not there yet.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, GitError> {
        let folder = self.kept.beside(&format!("{name}-{}", self.number));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(GitError::file(&folder, error))
            }
            Ok(()) | Err(_) => Ok(folder),
        }
    }

    /// Brings the objects in; gives those of the session's tips that were refused.
    fn objects(
        &self,
        way: &Way<'_>,
        foreign: &Foreign,
        tree: Option<&Oid>,
        now: &BTreeMap<RefName, Oid>,
        report: &mut Report,
    ) -> Result<BTreeSet<Oid>, GitError> {
        let before = &self.before.refs;
        let mut tips: BTreeSet<Oid> = foreign
            .refs
            .iter()
            .filter(|(name, oid)| before.get(*name) != Some(oid))
            .map(|(_, oid)| oid.clone())
            .collect();
        tips.extend(foreign.stashes.iter().map(|entry| entry.oid.clone()));
        tips.extend(tree.cloned());
        if let Some(Value::Object(oid)) = &foreign.head {
            tips.insert(oid.clone());
        }
        if tips.is_empty() {
            return Ok(BTreeSet::new());
        }
        let tips: Vec<Oid> = tips.into_iter().collect();
        let kinds = way.kinds(&tips)?;
        let mut refused = BTreeMap::new();
        for tip in &tips {
            if !kinds.contains_key(tip) {
                refused.insert(tip.clone(), "it is not there, or broken".to_owned());
            }
        }
        for (name, oid) in &foreign.refs {
            let commit = kinds.get(oid).is_none_or(|kind| kind == "commit");
            if name.as_str().starts_with("refs/heads/") && !commit {
                refused.insert(oid.clone(), "a branch is to be a commit".to_owned());
            }
        }
        let good: Vec<Oid> = tips
            .into_iter()
            .filter(|tip| !refused.contains_key(tip))
            .collect();
        let known: Vec<Oid> = now.values().cloned().collect();
        refused.extend(way.bring(&good, &known)?);
        for (tip, why) in &refused {
            let names: Vec<&str> = foreign
                .refs
                .iter()
                .filter(|(_, oid)| *oid == tip)
                .map(|(name, _)| name.short())
                .collect();
            report.refused(&names, tip, why);
        }
        Ok(refused.into_keys().collect())
    }

    /// Moves the refs; gives them as they are then.
    fn refs(
        &self,
        foreign: &Foreign,
        refused: &BTreeSet<Oid>,
        now: &BTreeMap<RefName, Oid>,
        report: &mut Report,
    ) -> Result<BTreeMap<RefName, Oid>, GitError> {
        let repository = &self.before.repository;
        let before = &self.before.refs;
        let mut after = foreign.refs.clone();
        for (name, oid) in &foreign.refs {
            if refused.contains(oid) {
                match before.get(name) {
                    Some(old) => after.insert(name.clone(), old.clone()),
                    None => after.remove(name),
                };
            }
        }
        if foreign.head.is_none() {
            // Nothing says that this is a repository any more: what is absent was not deleted one by one.
            report.tell("the session left no HEAD; what it deleted stays");
            let absent = before.iter().filter(|(name, _)| !after.contains_key(*name));
            let absent: Vec<_> = absent
                .map(|(name, oid)| (name.clone(), oid.clone()))
                .collect();
            after.extend(absent);
        }
        if after == *before {
            return Ok(now.clone());
        }
        let mut steps = land::plan(&Times {
            before,
            after: &after,
            now,
            taken: &self.taken()?,
            session: self.session,
        });
        steps.extend(self.last_traces(&steps, &after));
        let done = land::carry_out(self.git, repository, steps, self.session)?;
        for step in &done {
            match step {
                Step::Move { name, new, old } => {
                    let branch = name.as_str().starts_with("refs/heads/");
                    let commits = branch.then(|| self.commits(old.as_ref(), new)).flatten();
                    let rewritten = old.as_ref().is_some_and(|old| !self.leads(old, new));
                    report.moved(name, old.as_ref(), new, commits, branch && rewritten);
                }
                Step::Delete { name, old } => report.deleted(name, old),
                Step::Aside { .. } => report.aside(step),
            }
        }
        Ok(private::refs(self.git, repository)?.0)
    }

    /// What the session deleted and no other ref leads to is kept by another name: a deleted ref has no log.
    fn last_traces(&self, steps: &[Step], after: &BTreeMap<RefName, Oid>) -> Vec<Step> {
        let remaining: String = after.values().map(|oid| format!("^{oid}\n")).collect();
        let deleted = steps.iter().filter_map(|step| match step {
            Step::Delete { name, old } => Some((name, old)),
            Step::Move { .. } | Step::Aside { .. } => None,
        });
        deleted
            .filter(|(_, old)| {
                let mut list = self.of();
                list.args(["rev-list", "--max-count=1", "--stdin"]);
                // What cannot be said to be reachable is not.
                output(&mut list, format!("{old}\n{remaining}").as_bytes())
                    .map_or(true, |printed| !printed.is_empty())
            })
            .filter_map(|(name, old)| land::aside(self.session, name, old, Why::Deleted))
            .collect()
    }

    /// Git in the human's repository.
    pub fn of(&self) -> std::process::Command {
        let repository = &self.before.repository;
        self.git.of(&repository.git_dir, &repository.work_tree)
    }

    fn commits(&self, old: Option<&Oid>, new: &Oid) -> Option<usize> {
        let mut wanted = format!("{new}\n");
        let known: Vec<&Oid> = match old {
            Some(old) => vec![old],
            None => self.before.refs.values().collect(),
        };
        for oid in known {
            wanted.push_str(&format!("^{oid}\n"));
        }
        let mut count = self.of();
        let printed = output(
            count.args(["rev-list", "--count", "--stdin"]),
            wanted.as_bytes(),
        );
        String::from_utf8_lossy(&printed.ok()?).trim().parse().ok()
    }

    fn leads(&self, old: &Oid, new: &Oid) -> bool {
        let mut check = self.of();
        check.args(["merge-base", "--is-ancestor", old.as_str(), new.as_str()]);
        output(&mut check, b"").is_ok()
    }

    /// Branches that other work trees of the human's stand on.
    fn taken(&self) -> Result<BTreeSet<RefName>, GitError> {
        let repository = &self.before.repository;
        let printed = output(self.of().args(["worktree", "list", "--porcelain"]), b"")?;
        let text = String::from_utf8_lossy(&printed).into_owned();
        let main = repository.own == repository.common;
        Ok(text
            .split("\n\n")
            .enumerate()
            .filter(|(number, entry)| {
                let at = entry
                    .lines()
                    .find_map(|line| line.strip_prefix("worktree "));
                let mut session = self.record.repositories.iter();
                let here = at.is_some_and(|at| {
                    session.any(|before| before.repository.work_tree == Path::new(at))
                });
                !(here || main && *number == 0)
            })
            .filter_map(|(_, entry)| {
                let branch = entry.lines().find_map(|line| line.strip_prefix("branch "));
                RefName::parse(branch?)
            })
            .collect())
    }
}
