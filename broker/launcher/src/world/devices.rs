//! `/dev`: seven harmless devices, shared memory, and terminals of the session's own.
//!
//! The device nodes are the host's, mounted one by one; no other node can exist, since every other
//! mount of a session is nodev. The host's terminals are never among them.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsopen};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::host_path;
use super::root::{Root, mount, tmpfs};
use crate::message::{Human, WindowSize};
use crate::plan::Plan;
use crate::tree;

const NODES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("pts/ptmx", "dev/ptmx"),
];

/// Both ends of a session's terminal.
pub(crate) struct Terminal {
    /// The broker's.
    pub(crate) master: OwnedFd,
    /// The program's.
    pub(crate) inner: OwnedFd,
}

pub(super) fn make(root: &Root, plan: &Plan, scratch: Option<NonZeroU64>) -> Result<(), Errno> {
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    for node in NODES {
        let copy = tree::lend(
            host_path(&format!("/dev/{node}"))?.as_fd(),
            MountAttrFlags::empty(),
        )?;
        tree::set(copy.as_fd(), quiet, None, 0)?;
        tree::attach(copy.as_fd(), root.file(&["dev", node])?.as_fd())?;
    }
    let shared = root.folder(&["dev", "shm"])?;
    tree::attach(tmpfs(0o1777, plan.keeper, scratch)?.as_fd(), shared.as_fd())?;
    let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "ptmxmode", "666")?;
    fsconfig_set_string(&fs, "mode", "620")?;
    fsconfig_set_string(&fs, "uid", plan.host.uid.to_string())?;
    fsconfig_set_string(&fs, "gid", plan.host.gid.to_string())?;
    fsconfig_create(&fs)?;
    let terminals = root.folder(&["dev", "pts"])?;
    tree::attach(mount(&fs, quiet)?.as_fd(), terminals.as_fd())?;
    for (target, path) in LINKS {
        root.link(target, path)?;
    }
    Ok(())
}

/// Opens a terminal in the session's own devpts: `/dev/pts/0`.
pub(super) fn terminal(root: &Root, host: Human, size: WindowSize) -> Result<Terminal, Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat(root.as_fd(), "dev/pts/ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = ioctl_tiocgptpeer(&master, flags)?;
    let owner = rustix::fs::Uid::from_raw(host.uid);
    rustix::fs::fchown(&inner, Some(owner), None)?;
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size)?;
    Ok(Terminal { master, inner })
}
