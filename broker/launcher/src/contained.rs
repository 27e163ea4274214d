//! Sessions without root: the same walls, made in a user namespace of the human's own.
//!
//! For a broker that a human runs as themselves. The walls keep the agent in. They keep none of the human's other
//! programs out: whoever has the human's uid owns these namespaces. A launcher is of this kind from its start to its
//! end, by its only flag; no message makes it one, and it must never run with any right that it could lend.

mod plan;
mod serve;
mod spawn;

use std::fs;
use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, getegid, geteuid, waitid};
use rustix::thread::capabilities;

use crate::message::Human;
use crate::sys::{self, Side};

/// Serves the broker on the other end of standard input until it is gone, and every session with it.
///
/// # Errors
/// This process has rights, more than one thread, or nobody at its other end; or the kernel lets it make no user
/// namespace, which the text says how to mend.
pub fn run() -> io::Result<()> {
    refuse_rights()?;
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the launcher must have one thread"));
    }
    probe()?;
    serve::run(own())
}

/// Who this process is, and so whose its sessions are.
fn own() -> Human {
    Human {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    }
}

/// Fails where this process could do more than a human's programs can.
fn refuse_rights() -> io::Result<()> {
    let held = capabilities(None)?;
    if geteuid().is_root() || !held.permitted.is_empty() {
        return Err(io::Error::other(
            "--contained is for a human without rights: start the launcher without it, as a system service",
        ));
    }
    Ok(())
}

/// Makes what a session begins with, and lets go of it again: better now than at the first session.
fn probe() -> io::Result<()> {
    // Inside, before the map, nobody is anybody.
    let human = own();
    let made = sys::clone_into(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, None);
    let pidfd = match made.map_err(|error| not_allowed(&error))? {
        Side::Child => {
            // Some systems let everybody make the namespace, and nobody use it.
            let usable = map_own(human).is_ok() && crate::world::may_mount();
            sys::exit_now(libc::c_int::from(!usable))
        }
        Side::Parent(_, pidfd) => pidfd,
    };
    let ended = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    let code = ended.and_then(|ended| ended.exit_status());
    if code == Some(0) {
        return Ok(());
    }
    Err(not_allowed(&Errno::PERM.into()))
}

fn not_allowed(error: &io::Error) -> io::Error {
    let off = |name: &str, value: &str| {
        fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|is| is.trim() == value)
    };
    let mend = if off("user/max_user_namespaces", "0") {
        "`sysctl user.max_user_namespaces=0` forbids them; an administrator may set it to 10000"
    } else if off("kernel/unprivileged_userns_clone", "0") {
        "`sysctl kernel.unprivileged_userns_clone=0` forbids them; an administrator may set it to 1"
    } else if off("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor forbids them to programs without a profile (`sysctl kernel.apparmor_restrict_unprivileged_userns=1`); \
         an administrator may install a profile that gives `userns` to holdfast-launcher"
    } else {
        "a container or a security module forbids them"
    };
    io::Error::new(
        error.kind(),
        format!(
            "user namespaces cannot be made without root here ({error}): {mend}, or install Holdfast as a system service"
        ),
    )
}

/// In a user namespace that was just made: the human stays who they are, and nobody else is anybody.
fn map_own(human: Human) -> io::Result<()> {
    // Without a right over groups outside a map of groups can only be had without a way to change them.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{0} {0} 1", human.uid))?;
    fs::write("/proc/self/gid_map", format!("{0} {0} 1", human.gid))
}

/// Leaves the user namespace that owns the session's walls for one inside it that owns nothing.
///
/// Whatever the program may become in there, it has no right over the mounts, the network or the other namespaces.
pub(crate) fn leave_for_one_that_owns_nothing(human: Human) -> Result<(), Errno> {
    let left = sys::new_user_namespace().and_then(|()| map_own(human));
    left.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))
}
