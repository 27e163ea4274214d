//! Doing what was planned, so that nothing leads out of the project and each file is the old or the new one.
//!
//! Every path is opened beneath the project's root, without any symbolic link on the way. It must never write into
//! a file that is there: it makes another, and gives it the name.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::state::Step;
use crate::snapshot::SnapshotError;
use crate::snapshot::entry::Identity;
use crate::snapshot::objects::Objects;
use crate::snapshot::path::RelPath;
use crate::snapshot::watch::Watch;

/// What is written before it takes the place of what is there. An undo that was killed leaves one at most, which
/// the next one in that folder replaces.
const TEMPORARY: &str = ".holdfast-undo.tmp";

/// What happened.
#[derive(Debug, Default)]
pub struct Restored {
    /// How many steps were done.
    pub done: usize,
    /// What could not be done, and why.
    pub failed: Vec<(RelPath, String)>,
}

/// Does the steps in the project that is open as `root`. What is no longer as it was `seen` is left alone.
pub fn restore(
    root: BorrowedFd<'_>,
    steps: &[Step],
    seen: &HashMap<RelPath, Identity>,
    objects: &Objects,
    watch: &Watch,
) -> Result<Restored, SnapshotError> {
    let mut restored = Restored::default();
    let mut touched: HashSet<&RelPath> = HashSet::new();
    for step in steps {
        watch.step()?;
        let path = step.path();
        // A path that was acted on already is ours: it is not what was seen.
        let first = !touched.contains(path) && !matches!(step, Step::Mode { .. } | Step::Open(_));
        let done = folder(root, path).and_then(|folder| {
            if first {
                is_as_seen(&folder, path, seen)?;
            }
            act(&folder, step, objects).inspect_err(|_| {
                // Best effort: a name of ours, in a folder that could not be written to anyway.
                let _ = clear(&folder);
            })
        });
        match done {
            Ok(()) => restored.done += 1,
            Err(NotDone::Stop(error)) => return Err(error),
            Err(NotDone::Leave(why)) => restored.failed.push((path.clone(), why)),
        }
        if matches!(step, Step::Remove(_) | Step::RemoveFolder(_)) {
            touched.insert(path);
        }
    }
    Ok(restored)
}

/// A step was not done.
enum NotDone {
    /// The others may be.
    Leave(String),
    /// No other should be.
    Stop(SnapshotError),
}

impl From<Errno> for NotDone {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS => {
                Self::Stop(SnapshotError::io("the project cannot be written")(errno))
            }
            Errno::NOTEMPTY | Errno::EXIST => Self::Leave("something is in it".to_owned()),
            errno => Self::Leave(errno.to_string()),
        }
    }
}

/// The folder that `path` lies in.
fn folder(root: BorrowedFd<'_>, path: &RelPath) -> Result<OwnedFd, NotDone> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(match path.parent() {
        Some(folder) => open(root, &folder, flags)?,
        None => rustix::fs::openat(root, ".", flags, Mode::empty())?,
    })
}

fn open(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path.as_bytes(), flags, Mode::empty(), within)
}

/// Refuses what changed since it was looked at.
fn is_as_seen(
    folder: &OwnedFd,
    path: &RelPath,
    seen: &HashMap<RelPath, Identity>,
) -> Result<(), NotDone> {
    let found = match rustix::fs::statat(folder, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(errno.into()),
    };
    let same = match (&found, seen.get(path)) {
        (None, None) => true,
        // A folder changes with what is done in it.
        (Some(stat), Some(seen))
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory =>
        {
            stat.st_ino == seen.inode
        }
        (Some(stat), Some(seen)) => Identity::of(stat) == *seen,
        (None, Some(_)) | (Some(_), None) => false,
    };
    if same {
        Ok(())
    } else {
        Err(NotDone::Leave("it changed just now".to_owned()))
    }
}

fn act(folder: &OwnedFd, step: &Step, objects: &Objects) -> Result<(), NotDone> {
    let name = step.path().name();
    match step {
        Step::Open(_) => {
            let (itself, mode) = itself(folder, name)?;
            Ok(set_mode(&itself, mode | Mode::RWXU)?)
        }
        Step::Remove(_) => Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?),
        Step::RemoveFolder(_) => Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?),
        Step::MakeFolder(_) => Ok(rustix::fs::mkdirat(folder, name, Mode::RWXU)?),
        Step::File { mode, digest, .. } => {
            clear(folder)?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let owner = Mode::RUSR | Mode::WUSR;
            let mut file = File::from(rustix::fs::openat(folder, TEMPORARY, flags, owner)?);
            objects.restore(digest, &mut file).map_err(|error| {
                if matches!(error, SnapshotError::Damaged(_)) {
                    NotDone::Leave("what it held is no longer kept".to_owned())
                } else {
                    NotDone::Stop(error)
                }
            })?;
            rustix::fs::fchmod(&file, mode.raw())?;
            rustix::fs::fsync(&file)?;
            Ok(rustix::fs::renameat(folder, TEMPORARY, folder, name)?)
        }
        Step::Link { target, .. } => {
            clear(folder)?;
            rustix::fs::symlinkat(target.as_slice(), folder, TEMPORARY)?;
            Ok(rustix::fs::renameat(folder, TEMPORARY, folder, name)?)
        }
        Step::Mode { mode, .. } => {
            let (itself, _) = itself(folder, name)?;
            Ok(set_mode(&itself, mode.raw())?)
        }
    }
}

/// The file or folder of this name, with its permissions, and not what a link of this name leads to.
fn itself(folder: &OwnedFd, name: &[u8]) -> Result<(OwnedFd, Mode), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let itself = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let mode = rustix::fs::fstat(&itself)?.st_mode;
    if FileType::from_raw_mode(mode) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    Ok((itself, Mode::from_raw_mode(mode & 0o7777)))
}

/// By its descriptor, for who may not read a file may still own it.
fn set_mode(itself: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", itself.as_raw_fd());
    rustix::fs::chmod(path, mode)
}

/// Removes what an undo that was killed may have left.
fn clear(folder: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, TEMPORARY, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
