//! What a session changed, and what puts it back: from three lists of entries to a list of steps.
//!
//! Pure. It must never plan to remove or replace what is not as the session left it, unless told to.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::entry::{Entry, Mode, NotKept};
use crate::snapshot::manifest::Entries;
use crate::snapshot::path::RelPath;

/// A difference between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: RelPath,
    /// What.
    pub kind: ChangeKind,
}

/// A kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It is no longer there.
    Removed,
    /// It holds something else, or is of another kind.
    Changed,
    /// Its permissions are others, and nothing else.
    Mode,
}

/// What is different, in the order of paths.
pub fn changes(before: &Entries, after: &Entries) -> Vec<Change> {
    let paths: BTreeSet<&RelPath> = before.keys().chain(after.keys()).collect();
    let change = |path: &RelPath| {
        let kind = match (before.get(path), after.get(path)) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(before), Some(after)) if before.is_same(after) => return None,
            (Some(before), Some(after)) => match (before, after) {
                (Entry::Folder(_), Entry::Folder(_)) => ChangeKind::Mode,
                (Entry::File { digest, .. }, Entry::File { digest: other, .. })
                    if digest == other =>
                {
                    ChangeKind::Mode
                }
                _ => ChangeKind::Changed,
            },
        };
        let path = path.clone();
        Some(Change { path, kind })
    };
    paths.into_iter().filter_map(change).collect()
}

/// Which changes to undo, and how sternly.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// These and what lies in them; all, if there are none.
    pub paths: Vec<RelPath>,
    /// What is to happen to what somebody changed since.
    pub later: Later,
}

/// What is to happen to what somebody changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Later {
    /// It stays.
    #[default]
    Keep,
    /// It is put back, too.
    Overwrite,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What stays as it is, and why.
    pub left: Vec<(RelPath, Left)>,
}

/// One act on one path; its folder is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let a folder that stays be written to, until [`Step::Mode`].
    Open(RelPath),
    /// Remove a file or link.
    Remove(RelPath),
    /// Remove a folder that is empty.
    RemoveFolder(RelPath),
    /// Make a folder.
    MakeFolder(RelPath),
    /// Put a file, or replace what is no folder.
    File {
        /// Where.
        path: RelPath,
        /// Its permissions.
        mode: Mode,
        /// What it held.
        digest: holdfast_protocol::digest::Sha256Digest,
    },
    /// Put a link, or replace what is no folder.
    Link {
        /// Where.
        path: RelPath,
        /// What it says.
        target: Vec<u8>,
    },
    /// Set the permissions of a file or folder.
    Mode {
        /// Where.
        path: RelPath,
        /// Which.
        mode: Mode,
    },
}

impl Step {
    /// Where it acts.
    pub fn path(&self) -> &RelPath {
        match self {
            Self::Open(path)
            | Self::Remove(path)
            | Self::RemoveFolder(path)
            | Self::MakeFolder(path) => path,
            Self::File { path, .. } | Self::Link { path, .. } | Self::Mode { path, .. } => path,
        }
    }
}

/// Why something stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Somebody changed it after the session.
    Later,
    /// What it was is not kept.
    NotKept(NotKept),
    /// It is a folder with something in it that stays.
    Holds,
    /// Where its folder was there is something else, which stays.
    NoFolder,
}

/// What turns `now` into `start` wherever the session made a difference; `end` is how it left the project.
pub fn plan(start: &Entries, end: &Entries, now: &Entries, wish: &Wish) -> Plan {
    let wanted = |path: &RelPath| {
        wish.paths.is_empty() || wish.paths.iter().any(|wanted| path.is_in(wanted))
    };
    let mut left: BTreeMap<RelPath, Left> = BTreeMap::new();
    let mut back: BTreeSet<RelPath> = BTreeSet::new();
    for Change { path, .. } in changes(start, end) {
        if !wanted(&path) || same(start.get(&path), now.get(&path)) {
            continue;
        }
        let (was, left_as, is) = (start.get(&path), end.get(&path), now.get(&path));
        let untouched = same(left_as, is) || is_half_way(was, left_as, is);
        let unkept = [start.get(&path), now.get(&path)].into_iter().flatten();
        let mut unkept = unkept.filter_map(|entry| match entry {
            Entry::Unkept { why, .. } => Some(*why),
            Entry::Folder(_) | Entry::File { .. } | Entry::Link(_) => None,
        });
        if let Some(why) = unkept.next_back() {
            left.insert(path, Left::NotKept(why));
        } else if untouched || wish.later == Later::Overwrite {
            back.insert(path);
        } else {
            left.insert(path, Left::Later);
        }
    }
    // Whatever stays may keep something else from going back.
    while let Some((path, why)) = obstacle(start, now, &back) {
        back.remove(&path);
        left.insert(path, why);
    }
    Plan {
        steps: steps(start, now, &back),
        left: left.into_iter().collect(),
    }
}

fn same(one: Option<&Entry>, other: Option<&Entry>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is_same(other),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether an undo that was interrupted may have left it so: taken away and not yet put back, or still open.
///
/// Nobody's work is lost by going on: there is nothing, or there are permissions.
pub fn is_half_way(start: Option<&Entry>, end: Option<&Entry>, now: Option<&Entry>) -> bool {
    let open = |mode: &Mode| Mode::of(mode.bits() | 0o700);
    match (start, end, now) {
        (Some(start), Some(end), None) => start.is_folder() != end.is_folder(),
        (Some(Entry::Folder(_)), Some(Entry::Folder(end)), Some(Entry::Folder(now))) => {
            *now == open(end)
        }
        (Some(Entry::Folder(_)), _, Some(Entry::Folder(now))) => now.bits() == 0o700,
        _ => false,
    }
}

/// The first path that cannot go back, because of something that does not.
fn obstacle(start: &Entries, now: &Entries, back: &BTreeSet<RelPath>) -> Option<(RelPath, Left)> {
    let after = |path: &RelPath| {
        if back.contains(path) {
            start.get(path)
        } else {
            now.get(path)
        }
    };
    back.iter().find_map(|path| {
        let back = start.get(path);
        let folder = path.parent();
        let housed = folder.is_none_or(|folder| after(&folder).is_some_and(Entry::is_folder));
        if back.is_some() && !housed {
            return Some((path.clone(), Left::NoFolder));
        }
        let was_folder = now.get(path).is_some_and(Entry::is_folder);
        if was_folder && !back.is_some_and(Entry::is_folder) {
            let stays = within(now, path).any(|inner| after(inner).is_some());
            if stays {
                return Some((path.clone(), Left::Holds));
            }
        }
        None
    })
}

/// What lies in `folder`.
fn within<'e>(entries: &'e Entries, folder: &'e RelPath) -> impl Iterator<Item = &'e RelPath> {
    let after = (
        std::ops::Bound::Excluded(folder),
        std::ops::Bound::Unbounded,
    );
    // Between a folder and what is in it others may sort, such as `a-b` between `a` and `a/b`.
    entries
        .range::<RelPath, _>(after)
        .map(|(path, _)| path)
        .take_while(|path| path.as_bytes().starts_with(folder.as_bytes()))
        .filter(|path| path.is_in(folder))
}

fn steps(start: &Entries, now: &Entries, back: &BTreeSet<RelPath>) -> Vec<Step> {
    let folders =
        |entries: &Entries, path: &RelPath| entries.get(path).is_some_and(Entry::is_folder);
    let mut steps = Vec::new();
    let stays = |path: &&RelPath| folders(start, path) && folders(now, path);
    steps.extend(back.iter().filter(stays).cloned().map(Step::Open));
    // What lies in a folder goes before it.
    for path in back.iter().rev() {
        match (now.get(path), start.get(path)) {
            (Some(Entry::Folder(_)), Some(Entry::Folder(_))) | (None, _) => {}
            (Some(Entry::Folder(_)), _) => steps.push(Step::RemoveFolder(path.clone())),
            (Some(_), None | Some(Entry::Folder(_))) => steps.push(Step::Remove(path.clone())),
            // Replaced in one act, below.
            (Some(_), Some(_)) => {}
        }
    }
    for path in back {
        let path = path.clone();
        match (start.get(&path), now.get(&path)) {
            (Some(Entry::Folder(_)), Some(Entry::Folder(_))) => {}
            (Some(Entry::Folder(_)), _) => steps.push(Step::MakeFolder(path)),
            (Some(Entry::File { mode, digest, .. }), Some(Entry::File { digest: other, .. }))
                if digest == other =>
            {
                steps.push(Step::Mode { path, mode: *mode })
            }
            (Some(Entry::File { mode, digest, .. }), _) => steps.push(Step::File {
                path,
                mode: *mode,
                digest: *digest,
            }),
            (Some(Entry::Link(target)), _) => steps.push(Step::Link {
                path,
                target: target.clone(),
            }),
            (Some(Entry::Unkept { .. }) | None, _) => {}
        }
    }
    // Last, and inside first: a folder may forbid what was done in it.
    for path in back.iter().rev() {
        if let Some(Entry::Folder(mode)) = start.get(path) {
            let (path, mode) = (path.clone(), *mode);
            steps.push(Step::Mode { path, mode });
        }
    }
    steps
}
