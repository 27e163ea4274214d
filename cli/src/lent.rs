//! What of the human's a session is lent: folders and files, opened as the human.
//!
//! What is opened here is what the session sees; no path is opened by anybody else. It must never hold
//! something open for writing.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use holdfast_protocol::run::{RunAccess, RunTree, RunWhy};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::outcome::Problem;

/// A folder or file, and what the session may do with it at the same path.
#[derive(Debug)]
pub struct Lent {
    /// How it is asked for.
    pub tree: RunTree,
    /// It, opened.
    pub source: OwnedFd,
}

impl Lent {
    /// Lends `path` for reading, under its own name.
    pub fn to_read(path: &Path) -> Result<Self, Problem> {
        Self::at(path, path, RunAccess::Read, RunWhy::Tool)
    }

    /// Lends `path`, to appear at `place`.
    pub fn at(path: &Path, place: &Path, access: RunAccess, why: RunWhy) -> Result<Self, Problem> {
        Ok(Self {
            tree: RunTree {
                place: place.display().to_string(),
                access,
                why,
            },
            source: open(path)?,
        })
    }

    /// Lends what the human named, under the name that they gave it.
    pub fn named(path: &Path, access: RunAccess) -> Result<Self, Problem> {
        let place = place(path).map_err(|error| {
            Problem::usage(
                format!("`{}` cannot be lent: {error}", path.display()),
                "name a folder or file that is there",
            )
        })?;
        Ok(Self {
            tree: RunTree {
                place: place.display().to_string(),
                access,
                why: RunWhy::Named,
            },
            source: open(&place)?,
        })
    }

    /// Lends `name` below home for reading, if it is there and no link leads out of home.
    pub fn in_home(home: &Path, name: &str, why: RunWhy) -> Result<Option<Self>, Problem> {
        let folder = open(home)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = openat2(
            folder.as_fd(),
            name,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        );
        match opened {
            Ok(source) => Ok(Some(Self {
                tree: RunTree {
                    place: home.join(name).display().to_string(),
                    access: RunAccess::Read,
                    why,
                },
                source,
            })),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => {
                eprintln!(
                    "holdfast: `{}` leads out of your home and is not lent",
                    home.join(name).display()
                );
                Ok(None)
            }
            Err(errno) => Err(unopened(&home.join(name), errno)),
        }
    }
}

/// Opens a folder or file without any right to its content: a name for the broker.
pub fn open(path: &Path) -> Result<OwnedFd, Problem> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| unopened(path, errno))
}

fn unopened(path: &Path, errno: Errno) -> Problem {
    Problem::usage(
        format!("`{}` cannot be opened: {errno}", path.display()),
        "name a folder or file that you may read",
    )
}

/// An absolute name for `path`: its last part stays as it is called, what leads there is resolved.
fn place(path: &Path) -> std::io::Result<PathBuf> {
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
        return path.canonicalize();
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    Ok(folder.canonicalize()?.join(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_out_of_home_is_not_an_instruction() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join(".claude")).unwrap();
        std::fs::create_dir_all(home.join("dotfiles/skills")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        symlink("../dotfiles/skills", home.join(".claude/skills")).unwrap();
        symlink("../../secret", home.join(".claude/CLAUDE.md")).unwrap();
        let lend = |name| Lent::in_home(&home, name, RunWhy::Instruction).unwrap();
        let skills = lend(".claude/skills").unwrap();
        assert_eq!(skills.tree.access, RunAccess::Read);
        assert!(skills.tree.place.ends_with("/home/.claude/skills"));
        assert!(lend(".claude/CLAUDE.md").is_none());
        assert!(lend(".claude/agents").is_none());
    }

    #[test]
    fn what_is_named_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(folder.join("real/deep")).unwrap();
        symlink("real", folder.join("named")).unwrap();
        let lent = Lent::named(&folder.join("named"), RunAccess::Write).unwrap();
        assert_eq!(lent.tree.place, folder.join("named").display().to_string());
        let lent = Lent::named(&folder.join("named/deep/.."), RunAccess::Read).unwrap();
        assert_eq!(lent.tree.place, folder.join("real").display().to_string());
        assert!(Lent::named(&folder.join("absent"), RunAccess::Read).is_err());
    }
}
