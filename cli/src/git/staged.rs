//! What a session staged, and where it stood: `HEAD`, the index and the stash, after the refs are back.

use std::path::Path;

use super::GitError;
use super::beneath::Beneath;
use super::command::{Git, line, output};
use super::foreign::{self, Foreign};
use super::layout::Repository;
use super::names::{Logged, Oid, Value};
use super::private;
use super::record::Before;

/// The tree that the session's index makes, in the clean folder; none for one in conflict, or none at all.
pub fn tree(
    git: &Git,
    private: &Beneath,
    repository: &Repository,
    clean: &Path,
    objects: &Path,
) -> Result<Option<Oid>, GitError> {
    let index = clean.join("index");
    let inner = foreign::below(&repository.own, "index");
    foreign::take(private, &inner, &index, foreign::MAX_INDEX)?;
    if !index.is_file() {
        return Ok(None);
    }
    let written = line(git.clean(clean, &[objects]).arg("write-tree"));
    Ok(written.ok().and_then(|tree| Oid::parse(&tree)))
}

/// What became of `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// The session left it where it was.
    Same,
    /// It follows the session.
    Followed(Value),
    /// The human moved it, or it cannot follow.
    Stays,
}

/// Lets `HEAD` follow the session, if the human has not moved it.
pub fn head(
    git: &Git,
    before: &Before,
    foreign: &Foreign,
    landed: impl Fn(&Value) -> bool,
) -> Result<Head, GitError> {
    let repository = &before.repository;
    let Some(wanted) = &foreign.head else {
        return Ok(Head::Stays);
    };
    if before.head.as_ref() == Some(wanted) {
        return Ok(Head::Same);
    }
    if private::head_of(git, repository) != before.head || !landed(wanted) {
        return Ok(Head::Stays);
    }
    let mut set = git.of(&repository.git_dir, &repository.work_tree);
    match wanted {
        Value::Symbolic(name) => set
            .args(["symbolic-ref", "-m", "holdfast", "HEAD"])
            .arg(name.as_str()),
        Value::Object(oid) => set
            .args(["update-ref", "--no-deref", "-m", "holdfast", "HEAD"])
            .arg(oid.as_str()),
    };
    output(&mut set, b"")?;
    Ok(Head::Followed(wanted.clone()))
}

/// Makes the human's index hold `tree`; what it knows of files that are the same stays known.
pub fn stage(git: &Git, repository: &Repository, tree: &Oid) -> Result<(), GitError> {
    let mut read = git.of(&repository.git_dir, &repository.work_tree);
    let index = repository.git_dir.join("index");
    // Where it was in conflict the session has resolved that.
    let merge = if index.is_file() {
        &["--reset", "-i"][..]
    } else {
        &[]
    };
    output(read.arg("read-tree").args(merge).arg(tree.as_str()), b"")?;
    Ok(())
}

/// Brings the stash to what the session left, where the human has not changed theirs; gives how many entries it has now.
pub fn stash(git: &Git, before: &Before, foreign: &[Logged]) -> Result<Option<usize>, GitError> {
    let repository = &before.repository;
    let left: Vec<&Oid> = foreign.iter().map(|entry| &entry.oid).collect();
    if left.iter().copied().eq(before.stashes.iter()) {
        return Ok(None);
    }
    let of = || git.of(&repository.git_dir, &repository.work_tree);
    let more = if left.len() >= before.stashes.len()
        && left
            .iter()
            .zip(&before.stashes)
            .all(|(one, other)| *one == other)
    {
        foreign.get(before.stashes.len()..).unwrap_or_default()
    } else {
        output(of().args(["stash", "clear"]), b"")?;
        foreign
    };
    for entry in more {
        let why = if entry.why.is_empty() {
            "holdfast"
        } else {
            &entry.why
        };
        let message = format!("--message={why}");
        output(
            of().args(["stash", "store", &message, entry.oid.as_str()]),
            b"",
        )?;
    }
    Ok(Some(left.len()))
}
