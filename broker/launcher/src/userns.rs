//! User namespaces that say which host uid stands for whom.
//!
//! One maps the human's number inside to the session's uid outside; it is the session's own user
//! namespace, and the idmap of what the human owns. It must never map host uid 0: those who call see to it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::failure::{At, Refusal, Stage};
use crate::message::Human;
use crate::sys::{self, Side};

/// A user namespace in which `inside` are the numbers of the host's `outside`.
///
/// The namespace is owned by root, has that one mapping, and lives as long as something refers to it.
pub(crate) fn mapping(inside: Human, outside: Human) -> Result<OwnedFd, Refusal> {
    let launcher = rustix::process::getpid();
    let (pid, pidfd) = match sys::clone_into(libc::CLONE_NEWUSER, None).at(Stage::Identity)? {
        Side::Child => {
            // Only a host for the namespace until the parent has a descriptor of it.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
            // A launcher that was killed before that line sends no signal any more.
            if rustix::process::getppid() == Some(launcher) {
                sys::pause();
            }
            sys::exit_now(0);
        }
        Side::Parent(pid, pidfd) => (pid, pidfd),
    };
    let proc = format!("/proc/{}", pid.as_raw_nonzero());
    let made = fs::write(
        format!("{proc}/uid_map"),
        format!("{} {} 1", inside.uid, outside.uid),
    )
    .and_then(|()| {
        fs::write(
            format!("{proc}/gid_map"),
            format!("{} {} 1", inside.gid, outside.gid),
        )
    })
    .and_then(|()| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(open(format!("{proc}/ns/user"), flags, Mode::empty())?)
    })
    .at(Stage::Identity);
    pidfd_send_signal(&pidfd, Signal::KILL).at(Stage::Identity)?;
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).at(Stage::Identity)?;
    made
}
