//! How much of a disk what changed below some folders takes.
//!
//! Sessions wrote it: it must never follow a link, leave the disk, or go on for ever. What an agent closed in a home is
//! looked into all the same, since the home is the broker's; in a project, which is the human's, it is not.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use holdfast_launch_agents::home::opened;
use holdfast_launch_agents::{self as launch_agents, Access};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

/// How deep folders are looked into: each takes a descriptor meanwhile.
const DEPTH: usize = 48;
/// How long a session's folders may take. What was found by then counts.
const PATIENCE: Duration = Duration::from_secs(2);

/// A folder that a session writes.
#[derive(Debug)]
pub struct Tree {
    /// The folder.
    pub folder: OwnedFd,
    /// Whose it is.
    pub whose: Whose,
}

impl Tree {
    /// A tree of a session's, if it may write there.
    pub fn written(tree: &launch_agents::Tree) -> Option<io::Result<Self>> {
        let whose = match tree.access {
            Access::Write => Whose::Human,
            Access::Keep => Whose::Broker,
            Access::Read | Access::Public => return None,
        };
        let folder = tree.source.try_clone();
        Some(folder.map(|folder| Self { folder, whose }))
    }
}

/// Whose the files of a tree are, outside the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The human's own.
    Human,
    /// Kept by the broker.
    Broker,
}

/// The bytes on `disk` of the files below `trees` that changed at `since` (seconds since 1970) or later. Nobody
/// can set that time back. What cannot be read does not count.
pub fn since(disk: u64, trees: &[Tree], since: i64) -> u64 {
    let until = Instant::now() + PATIENCE;
    let mut sum = 0;
    for Tree { folder, whose } in trees {
        let wanted = Wanted {
            disk,
            since,
            until,
            needed: match whose {
                Whose::Human => Mode::empty(),
                Whose::Broker => Mode::RUSR | Mode::XUSR,
            },
        };
        below(&wanted, folder, DEPTH, &mut sum);
    }
    sum
}

struct Wanted {
    disk: u64,
    since: i64,
    until: Instant,
    /// What its owner has to be let do with a folder first.
    needed: Mode,
}

fn below(wanted: &Wanted, folder: &OwnedFd, depth: usize, sum: &mut u64) {
    let Ok(folder) = opened(folder, wanted.needed) else {
        return;
    };
    let Ok(entries) = Dir::read_from(&folder) else {
        return;
    };
    for entry in entries {
        let Ok(entry) = entry else { return };
        let name = entry.file_name();
        if Instant::now() > wanted.until {
            return;
        }
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if stat.st_dev != wanted.disk {
            continue;
        }
        if stat.st_ctime >= wanted.since {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
            *sum = sum.saturating_add(blocks.saturating_mul(512));
        }
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_folder && let Some(depth) = depth.checked_sub(1) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = openat(&folder, name, flags, Mode::empty()) {
                below(wanted, &inner, depth, sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_changed_counts_and_what_is_linked_to_does_not() {
        let tree = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let inner = tree.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("new"), vec![1; 1 << 20]).unwrap();
        fs::write(other.path().join("else"), vec![1; 4 << 20]).unwrap();
        std::os::unix::fs::symlink(other.path(), tree.path().join("link")).unwrap();
        let facts = fs::metadata(inner.join("new")).unwrap();
        let folder = || Tree {
            folder: fs::File::open(tree.path()).unwrap().into(),
            whose: Whose::Human,
        };
        let (disk, now) = (facts.dev(), facts.ctime());
        let found = since(disk, &[folder()], now - 1);
        assert!((1 << 20..2 << 20).contains(&found), "{found}");
        assert_eq!(since(disk, &[folder()], now + 100), 0);
        assert_eq!(since(disk + 1, &[folder()], now - 1), 0);
    }
}
