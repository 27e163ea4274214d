//! Detached copies of what the host lends a session, with their attributes already fixed.
//!
//! Every copy is nosuid and nodev. It must never be writable unless asked, and never the root of a
//! kernel interface.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::path::Arg;

use crate::failure::{At, Refusal, Stage};
use crate::sys;

/// What no session gets a view of by descriptor: proc, sysfs, cgroup v1 and v2, devpts, debugfs,
/// tracefs, securityfs, bpf, efivarfs, selinuxfs, configfs, mqueue.
const KERNEL_FILESYSTEMS: [u32; 13] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0xde5e_81e4,
    0xf97c_ff8c,
    0x6265_6570,
    0x1980_0202,
];

/// Attributes of every mount of a session.
pub(crate) const LOCKED: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// [`LOCKED`], and read-only.
pub(crate) const SEALED: MountAttrFlags = LOCKED.union(MountAttrFlags::MOUNT_ATTR_RDONLY);

/// Refuses a descriptor that shows a kernel interface.
pub(crate) fn refuse_kernel_interfaces(source: BorrowedFd<'_>) -> Result<(), Refusal> {
    let kind = fstatfs(source).at(Stage::Tree)?.f_type;
    if KERNEL_FILESYSTEMS
        .iter()
        .any(|magic| kind == i64::from(*magic))
    {
        return Err(Refusal::Descriptors);
    }
    Ok(())
}

/// A detached copy of what `source` refers to.
pub(crate) fn lend(source: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, "", flags)?;
    set(tree.as_fd(), attributes, None, 0)?;
    Ok(tree)
}

/// As [`lend`], with the owner's uid replaced by the session's, as `idmap` says.
pub(crate) fn lend_as(
    source: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    idmap: BorrowedFd<'_>,
) -> Result<OwnedFd, Errno> {
    let tree = lend(source, attributes)?;
    set(tree.as_fd(), MountAttrFlags::empty(), Some(idmap), 0)?;
    Ok(tree)
}

/// A detached, sealed copy of a system folder or file, with what is mounted in it.
pub(crate) fn lend_system(path: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags)?;
    set(tree.as_fd(), SEALED, None, libc::AT_RECURSIVE)?;
    Ok(tree)
}

/// Changes the attributes of an attached or detached mount.
pub(crate) fn set(
    tree: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    idmap: Option<BorrowedFd<'_>>,
    flags: libc::c_int,
) -> Result<(), Errno> {
    sys::mount_setattr(tree, attributes.bits().into(), idmap, flags)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// Attaches a detached mount to the folder or file `target`.
pub(crate) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags)
}

/// Whether this is a folder; a mount point has to be of the same kind.
pub(crate) fn is_folder(source: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mode = fstat(source)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode).is_dir())
}
