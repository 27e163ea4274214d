//! `/proc` of the session's own pid namespace, without what tells of the host; an empty `/sys`.
//!
//! It must never show another session's or the host's processes, nor leave `/proc/sys` writable.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsopen};

use super::root::{Root, copy_at, copy_host, mount as mount_fs};
use crate::tree;

/// Files shown empty: keys, the boot command line, the kernel's memory, timers and switches.
const EMPTY_FILES: [&str; 13] = [
    "cmdline",
    "config.gz",
    "iomem",
    "ioports",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
];
/// Folders shown empty: buses, disks, drivers.
const EMPTY_FOLDERS: [&str; 7] = ["acpi", "asound", "bus", "driver", "fs", "irq", "scsi"];

pub(super) fn mount(root: &Root) -> Result<(), Errno> {
    root.folder(&["sys"])?;
    let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // A process that may not be traced is not even listed: the session's first process.
    fsconfig_set_string(&fs, "hidepid", "invisible")?;
    fsconfig_create(&fs)?;
    let no_run = tree::LOCKED | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = mount_fs(&fs, no_run)?;
    tree::attach(proc.as_fd(), root.folder(&["proc"])?.as_fd())?;
    for name in EMPTY_FILES {
        if let Some(target) = find(&proc, name)? {
            tree::attach(copy_host("/dev/null")?.as_fd(), target.as_fd())?;
        }
    }
    for name in EMPTY_FOLDERS {
        if let Some(target) = find(&proc, name)? {
            tree::attach(copy_at(root.as_fd(), "sys")?.as_fd(), target.as_fd())?;
        }
    }
    if let Some(target) = find(&proc, "sys")? {
        tree::attach(copy_at(proc.as_fd(), "sys")?.as_fd(), target.as_fd())?;
    }
    Ok(())
}

fn find(proc: &OwnedFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(proc, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
