//! The tmpfs that a session's root is, and making folders in it.
//!
//! Every component is opened without following links; a folder that is made belongs to whoever owns
//! the one it is made in.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, fstat, mkdirat, openat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use super::host_path;
use crate::message::Human;
use crate::tree;

/// The session's root, attached over the host's in this mount namespace.
pub(crate) struct Root(OwnedFd);

impl Root {
    pub(super) fn new() -> Result<Self, Errno> {
        let root = tmpfs(0o755, ROOT, None)?;
        tree::attach(root.as_fd(), host_path("/")?.as_fd())?;
        Ok(Self(root))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The folder at `parts`, made where it is absent.
    pub(super) fn folder(&self, parts: &[&str]) -> Result<OwnedFd, Errno> {
        let mut here = openat(&self.0, ".", FOLDER, Mode::empty())?;
        for part in parts {
            let made = mkdirat(&here, *part, Mode::from(0o755));
            match made {
                Ok(()) => inherit_owner(&here, part)?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            here = openat(&here, *part, FOLDER, Mode::empty())?;
        }
        Ok(here)
    }

    /// The file at `parts`, made empty where it is absent: something to mount on.
    pub(super) fn file(&self, parts: &[&str]) -> Result<OwnedFd, Errno> {
        let (name, folders) = parts.split_last().ok_or(Errno::INVAL)?;
        let folder = self.folder(folders)?;
        let existing = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&folder, *name, existing, Mode::empty()) {
            Err(Errno::NOENT) => {
                let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                drop(openat(&folder, *name, new, Mode::from(0o644))?);
                inherit_owner(&folder, name)?;
                openat(&folder, *name, existing, Mode::empty())
            }
            result => result,
        }
    }

    /// A new file with this content, readable by all.
    pub(super) fn write(&self, path: &str, content: &str) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.0, path, flags, Mode::from(0o644))?;
        let mut rest = content.as_bytes();
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest)?;
            rest = rest.get(written..).ok_or(Errno::IO)?;
        }
        Ok(())
    }

    /// A symbolic link at `path`.
    pub(super) fn link(&self, target: &str, path: &str) -> Result<(), Errno> {
        symlinkat(target, &self.0, path)
    }
}

/// Bytes for each file that a tmpfs has room for: names cost memory, too.
const PER_FILE: u64 = 4096;
/// Files that even the smallest tmpfs has room for.
const FEWEST_FILES: u64 = 1024;

/// Who owns what no session may change.
pub(super) const ROOT: Human = Human { uid: 0, gid: 0 };

/// A detached, empty tmpfs; `owner` owns its root. It holds `room` bytes, else a quarter of the memory.
pub(super) fn tmpfs(mode: u16, owner: Human, room: Option<NonZeroU64>) -> Result<OwnedFd, Errno> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "mode", format!("{mode:o}"))?;
    fsconfig_set_string(&fs, "uid", owner.uid.to_string())?;
    fsconfig_set_string(&fs, "gid", owner.gid.to_string())?;
    // Where the host has a memory controller this counts against the session's limit as well.
    match room {
        Some(room) => {
            let files = (room.get() / PER_FILE).max(FEWEST_FILES);
            fsconfig_set_string(&fs, "size", room.to_string())?;
            fsconfig_set_string(&fs, "nr_inodes", files.to_string())?;
        }
        None => fsconfig_set_string(&fs, "size", "25%")?,
    }
    fsconfig_create(&fs)?;
    mount(&fs, tree::LOCKED)
}

/// A configured file system as a detached mount.
pub(super) fn mount(fs: &OwnedFd, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn inherit_owner(folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    // Compares with this file system's root: only a tmpfs of ours reaches here with another owner.
    let owner = fstat(folder)?;
    if owner.st_uid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    chownat(
        folder,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// A detached, sealed copy of one thing in the host or in a root that stands.
pub(super) fn copy_at(folder: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(folder, path, flags, Mode::empty())?;
    tree::lend(source.as_fd(), tree::SEALED)
}

/// As [`copy_at`], of an absolute host path.
pub(super) fn copy_host(path: &str) -> Result<OwnedFd, Errno> {
    tree::lend(
        openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?.as_fd(),
        tree::SEALED,
    )
}
