//! What the kernel says of the process behind a connection.
//!
//! Facts only: which session it belongs to is the registry's to say. Never a pid: pids are reused.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::RecvFlags;

use crate::{cgroup, sys};

/// Who wrote a message, as far as the kernel marked it.
#[derive(Debug, Default)]
pub struct Sender {
    /// The uid (`SCM_CREDENTIALS`).
    pub uid: Option<u32>,
    /// The process (`SCM_PIDFD`, Linux 6.5), unless it is gone.
    pub process: Option<OwnedFd>,
}

/// Has the kernel mark each message on a connection with its sender's pidfd (Linux 6.5).
///
/// # Errors
/// What the kernel says; `ENOPROTOOPT` before 6.5.
pub fn mark_with_pidfd(socket: impl AsFd) -> io::Result<()> {
    sys::pass_pidfd(socket)
}

/// Receives one message, or the part of it that fits, and who sent it. Descriptors that come along
/// are closed, and then no process is named.
///
/// # Errors
/// What the kernel says.
pub fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Sender)> {
    sys::receive_marked(socket, bytes, flags.bits().cast_signed())
}

/// The pid of a process in the pid namespace of this process's `/proc`; `None` if it is gone, or is
/// not in there. Only good as long as the process is known not to be reaped.
///
/// # Errors
/// `/proc` cannot be read, or says something else.
pub fn pid(pidfd: impl AsFd) -> io::Result<Option<u32>> {
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd());
    let info = std::fs::read_to_string(info)?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = pid.and_then(|pid| pid.trim().parse::<i64>().ok());
    let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
    Ok(u32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// Looks at a process by its pid, and makes sure that it was that process all the time.
///
/// # Errors
/// `ESRCH` if it is gone, and what `look` says.
pub fn by_pid<T>(pidfd: impl AsFd, look: impl FnOnce(u32) -> io::Result<T>) -> io::Result<T> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let pidfd = pidfd.as_fd();
    let before = pid(pidfd)?.ok_or_else(gone)?;
    let seen = look(before);
    // A pid is not used again before its process is reaped, and the pidfd has none from then on.
    if pid(pidfd)? == Some(before) {
        seen
    } else {
        Err(gone())
    }
}

/// The path of the cgroup that a process is in, in the v2 hierarchy, from its root on.
///
/// # Errors
/// The process is gone, or the host has no such hierarchy.
pub fn cgroup_path(pidfd: impl AsFd) -> io::Result<PathBuf> {
    by_pid(pidfd, |pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        cgroup::path_in(&text)
    })
}

/// The number of the pid namespace that a process is in.
///
/// # Errors
/// The process is gone, or is none that this process may look at.
pub fn pid_namespace(pidfd: impl AsFd) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;

    by_pid(pidfd, |pid| {
        Ok(std::fs::metadata(format!("/proc/{pid}/ns/pid"))?.ino())
    })
}

/// The id of the cgroup that a process is in, by its path: for kernels that do not tell it of a pidfd.
///
/// # Errors
/// As [`cgroup_path`].
pub fn cgroup_id_by_path(pidfd: impl AsFd) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;

    let path = cgroup_path(pidfd)?;
    let below = path.strip_prefix("/").unwrap_or(&path);
    Ok(std::fs::metadata(cgroup::hierarchy()?.join(below))?.ino())
}

/// Where the v2 hierarchy is mounted.
///
/// # Errors
/// It is not.
pub fn cgroup_hierarchy() -> io::Result<PathBuf> {
    cgroup::hierarchy()
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn started() -> (std::process::Child, OwnedFd) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        (child, pidfd_open(pid, PidfdFlags::empty()).unwrap())
    }

    #[test]
    fn a_pid_says_nothing_once_its_process_is_reaped() {
        let (mut child, pidfd) = started();
        assert_eq!(pid(&pidfd).unwrap(), Some(child.id()));
        assert!(cgroup_path(&pidfd).unwrap().is_absolute());
        let gone = |error: io::Error| error.raw_os_error() == Some(libc::ESRCH);
        // It ends while it is looked at: whatever was seen may be another's.
        let seen = by_pid(&pidfd, |pid| {
            child.kill().unwrap();
            child.wait().unwrap();
            Ok(pid)
        });
        assert!(gone(seen.unwrap_err()));
        assert_eq!(pid(&pidfd).unwrap(), None);
        assert!(gone(by_pid(&pidfd, |_| Ok(())).unwrap_err()));
        assert!(gone(cgroup_path(&pidfd).unwrap_err()));
    }

    #[test]
    fn the_cgroup_is_told_alike_by_both_ways() {
        let (mut child, pidfd) = started();
        if let Ok(id) = cgroup_id(&pidfd) {
            assert_eq!(cgroup_id_by_path(&pidfd).unwrap(), id);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_message_names_its_sender_and_brings_no_descriptor() {
        let (here, there) = UnixStream::pair().unwrap();
        rustix::net::sockopt::set_socket_passcred(&here, true).unwrap();
        let marked = mark_with_pidfd(&here).is_ok();
        let (kept, passed) = UnixStream::pair().unwrap();
        crate::socket::send(&there, b"word", &[passed.as_fd()]).unwrap();
        drop(passed);
        let mut bytes = [0; 16];
        let (read, sender) = receive(&here, &mut bytes, RecvFlags::empty()).unwrap();
        assert_eq!(bytes.get(..read).unwrap(), b"word");
        let own = Some(rustix::process::getuid().as_raw());
        assert_eq!((sender.uid, sender.process.is_some()), (own, false));
        crate::socket::send(&there, b"word", &[]).unwrap();
        let (_, sender) = receive(&here, &mut bytes, RecvFlags::empty()).unwrap();
        assert_eq!((sender.uid, sender.process.is_some()), (own, marked));
        if let Some(process) = &sender.process {
            assert_eq!(pid(process).unwrap(), Some(std::process::id()));
        }
        // Nobody has the other end any more.
        kept.set_nonblocking(true).unwrap();
        assert_eq!(io::Read::read(&mut &kept, &mut bytes).unwrap(), 0);
    }
}
