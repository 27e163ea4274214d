//! The rest of a repository's way back, once its objects and refs are there: index, stash, settings, what was in progress.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::GitError;
use super::back::Back;
use super::beneath::{Beneath, own_file};
use super::command::{line, output};
use super::config::{self, Change};
use super::foreign::{self, Foreign, MAX_SMALL};
use super::land;
use super::names::{self, Oid, RefName};
use super::private;
use super::report::Report;
use super::staged;

/// What belongs to them and goes with them.
const WITH_IT: [&str; 3] = ["MERGE_MSG", "MERGE_MODE", "SQUASH_MSG"];

/// A rebase in progress; its list of steps can name programs, so that it never comes back.
const REBASE: [&str; 2] = ["rebase-merge", "rebase-apply"];

impl Back<'_> {
    /// Lets the index be what the session staged.
    pub fn index(
        &self,
        tree: Option<Oid>,
        stands: bool,
        report: &mut Report,
    ) -> Result<(), GitError> {
        let repository = &self.before.repository;
        let Some(tree) = tree else {
            return Ok(());
        };
        let scratch = self.fresh("index")?;
        let now = private::index_tree(self.git, repository, &scratch)?;
        fs::remove_dir_all(&scratch).ok();
        if now.as_ref() == Some(&tree) {
            return Ok(());
        }
        if stands && now == self.before.index {
            return staged::stage(self.git, repository, &tree);
        }
        let at = format!("refs/holdfast/{}/index", self.session);
        line(self.of().args(["update-ref", &at, tree.as_str()]))?;
        report.tell(format!(
            "what you have staged stays; what the session staged is the tree `{at}`"
        ));
        Ok(())
    }

    /// Ends what the session concluded, and says what it left open.
    pub fn under_way(&self, private: &Path, stands: bool, report: &mut Report) {
        let git_dir = &self.before.repository.git_dir;
        let is = |name: &str| private.join(name).symlink_metadata().is_ok();
        let now = private::under_way(git_dir);
        for name in private::UNDER_WAY {
            let before = self.before.under_way.get(name);
            if before.is_some() && now.get(name) == before && !is(name) && stands {
                for name in std::iter::once(name).chain(WITH_IT) {
                    fs::remove_file(git_dir.join(name)).ok();
                }
            } else if before.is_none() && is(name) {
                report.tell(
                    "the session left a merge or a pick unfinished, which does not come back",
                );
            }
        }
        if REBASE.iter().any(|name| is(name)) {
            report.tell("the session left a rebase unfinished, which does not come back");
        }
    }

    /// Brings the stash to what the session left; what was taken off it is kept aside.
    pub fn stash(
        &self,
        foreign: &Foreign,
        refused: &BTreeSet<Oid>,
        report: &mut Report,
    ) -> Result<(), GitError> {
        let path = self.before.repository.common_dir.join("logs/refs/stash");
        let now = own_file(&path, MAX_SMALL)
            .map_err(|error| GitError::file(&path, error))?
            .map(|content| names::log(&content))
            .unwrap_or_default();
        let before = &self.before.stashes;
        let same = |one: &names::Logged, other: &names::Logged| one.oid == other.oid;
        if now.len() == foreign.stashes.len()
            && now
                .iter()
                .zip(&foreign.stashes)
                .all(|(one, other)| same(one, other))
        {
            return Ok(());
        }
        let unchanged = now.iter().map(|entry| &entry.oid).eq(before);
        let left: Vec<_> = foreign
            .stashes
            .iter()
            .filter(|entry| !refused.contains(&entry.oid))
            .cloned()
            .collect();
        let aside = if unchanged && foreign.head.is_some() {
            let dropped = before
                .iter()
                .filter(|oid| !left.iter().any(|entry| entry.oid == **oid));
            let dropped: Vec<Oid> = dropped.cloned().collect();
            if let Some(count) = staged::stash(self.git, self.before, &left)? {
                report.came(format!("stash: {count} entries"));
            }
            dropped
        } else {
            let new = left.into_iter().map(|entry| entry.oid);
            new.filter(|oid| !before.contains(oid)).collect()
        };
        for (number, oid) in aside.iter().enumerate() {
            let at = format!("refs/holdfast/{}/stash-{number}", self.session);
            line(self.of().args(["update-ref", &at, oid.as_str()]))?;
            report.tell(if unchanged {
                format!("the session took an entry off your stash; it is `{at}`")
            } else {
                format!("your stash stays; the session's entry is `{at}`")
            });
        }
        Ok(())
    }

    /// Takes over what branches follow.
    pub fn settings(
        &self,
        folder: &Beneath,
        landed: &BTreeMap<RefName, Oid>,
        report: &mut Report,
    ) -> Result<(), GitError> {
        let inner = foreign::below(&self.before.repository.common, "config");
        let content = folder.read(&inner, MAX_SMALL);
        if content.is_ok_and(|content| content == Some(private::config_file(self.before).into())) {
            return Ok(());
        }
        let clean = self.kept.beside(&format!("clean-{}", self.number));
        let copy = clean.join("foreign-settings");
        foreign::take(folder, &inner, &copy, MAX_SMALL)?;
        if !copy.is_file() {
            return Ok(());
        }
        let mut list = self.git.clean(&clean, &[]);
        list.args(["config", "--no-includes", "--list", "-z", "--file"])
            .arg(&copy);
        let Ok(printed) = output(&mut list, b"") else {
            report.tell("the session's settings cannot be read and stay out");
            return Ok(());
        };
        for change in config::changes(&self.before.settings, &config::settings(&printed)) {
            if let Change::Follows(setting) = &change {
                let branch = setting.middle.as_deref().unwrap_or_default();
                let name = RefName::parse(&format!("refs/heads/{branch}"));
                if name.is_some_and(|name| land::ordinary(&name) && landed.contains_key(&name)) {
                    let key = format!("branch.{branch}.{}", setting.key);
                    line(self.of().args(["config", "--local", &key, &setting.value]))?;
                }
            }
            report.setting(&change);
        }
        Ok(())
    }
}
