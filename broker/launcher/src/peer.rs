//! What the kernel says of the process behind a connection.
//!
//! Facts only: which session it belongs to is the registry's to say. Never a pid: pids are reused.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::sys;

/// The uid of whoever made the connection, at the time.
///
/// # Errors
/// What the kernel says.
pub fn uid(socket: impl AsFd) -> io::Result<u32> {
    sys::peer_credentials(socket).map(|(uid, _)| uid)
}

/// The process that made the connection, as a pidfd (Linux 6.5).
///
/// # Errors
/// What the kernel says; `ENOPROTOOPT` before 6.5, `ESRCH` or `EINVAL` if the process is gone.
pub fn process(socket: impl AsFd) -> io::Result<OwnedFd> {
    sys::peer_pidfd(socket)
}

/// The id of the cgroup that a process is in, or was in when it ended (Linux 6.13).
///
/// # Errors
/// What the kernel says; `ENOTTY` or `EINVAL` before 6.13, `ESRCH` if the process is gone.
pub fn cgroup_id(pidfd: impl AsFd) -> io::Result<u64> {
    sys::pidfd_info(pidfd).map(|info| info.cgroup_id)
}
