//! A launch of a human's own, taken over inside the session's mount namespace.
//!
//! What is lent was opened outside of it, so it is opened once more by where the kernel says that it is, and taken only
//! if that is the very same. It must never lend another's files for changing.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use crate::failure::{At, Refusal, Stage};
use crate::message::{Access, Human, Launch, SessionUid, Stdio};
use crate::plan::{Identity, Lent, Plan, refuse_the_hosts};
use crate::tree;

/// Takes over what the session is lent; to be said in its own namespaces.
pub(super) fn prepare(launch: Launch, human: Human) -> Result<Plan, Refusal> {
    let no_run = tree::SEALED | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let kind = |fd| -> Result<FileType, Refusal> {
        Ok(FileType::from_raw_mode(fstat(fd).at(Stage::Tree)?.st_mode))
    };
    if !kind(launch.program.as_fd())?.is_file() || !kind(launch.sockets.as_fd())?.is_dir() {
        return Err(Refusal::Descriptors);
    }
    // There is no other uid to be had.
    if launch.uid != SessionUid::Humans {
        return Err(Refusal::Unprivileged);
    }
    if let Stdio::Pipes {
        input,
        output,
        errors,
    } = &launch.stdio
    {
        refuse_the_hosts([input, output, errors])?;
    }
    let mut trees = Vec::with_capacity(launch.trees.len());
    for wanted in &launch.trees {
        let source = wanted.source.as_fd();
        tree::refuse_kernel_interfaces(source)?;
        let attributes = match wanted.access {
            Access::Public | Access::Read => tree::SEALED,
            Access::Write | Access::Keep => {
                if fstat(source).at(Stage::Tree)?.st_uid != human.uid {
                    return Err(Refusal::Descriptors);
                }
                tree::LOCKED
            }
        };
        trees.push(Lent {
            tree: lend(source, attributes).at(Stage::Tree)?,
            place: wanted.place.clone(),
            access: wanted.access,
        });
    }
    Ok(Plan {
        program: lend(launch.program.as_fd(), tree::SEALED).at(Stage::Tree)?,
        sockets: lend(launch.sockets.as_fd(), no_run).at(Stage::Tree)?,
        trees,
        launch,
        human,
        host: human,
        keeper: human,
        identity: Identity::Unmade,
    })
}

/// A detached copy of what `source` refers to, with what is mounted in it: the kernel lets nobody without root see
/// what lies below a mount of the host's.
fn lend(source: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let here = again(source)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let copy = open_tree(&here, "", flags)?;
    tree::set(copy.as_fd(), attributes, None, libc::AT_RECURSIVE)?;
    Ok(copy)
}

/// The same thing in this mount namespace.
fn again(source: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let place = fs::read_link(format!("/proc/self/fd/{}", source.as_raw_fd()));
    let place = place.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if !place.is_absolute() {
        return Err(Errno::NOENT);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let here = open(&place, flags, Mode::empty())?;
    let (wanted, found) = (fstat(source)?, fstat(&here)?);
    // Moved, or replaced, since it was opened.
    if (wanted.st_dev, wanted.st_ino) == (found.st_dev, found.st_ino) {
        Ok(here)
    } else {
        Err(Errno::STALE)
    }
}
