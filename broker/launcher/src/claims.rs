//! Claims on session uids that hold among all launchers of a host, and against what an earlier one left.
//!
//! A claim is a lock on the byte of that number in one file of root's, which the kernel gives back with
//! the launcher. It must never be had while any process runs under that uid, whoever started it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, Uid, open};
use rustix::io::Errno;
use rustix::process::getpriority_user;

use crate::sys::{ByteLock, lock_byte};

/// Of no content. In the one folder that only root can write and that is empty after a boot.
const FILE: &str = "/run/holdfast-session-uids";

/// This launcher's claims.
pub(crate) struct Claims(OwnedFd);

impl Claims {
    /// None yet.
    pub(crate) fn open() -> io::Result<Self> {
        Self::in_file(Path::new(FILE))
    }

    fn in_file(file: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(open(file, flags, Mode::from(0o600))?))
    }

    /// Claims a uid, if no other launcher has it and nothing runs under it.
    pub(crate) fn claim(&self, uid: u32) -> bool {
        if lock_byte(self.0.as_fd(), uid, ByteLock::Take).is_err() {
            return false;
        }
        let idle = is_idle(uid);
        if !idle {
            self.give_up(uid);
        }
        idle
    }

    /// Lets go of a uid.
    pub(crate) fn give_up(&self, uid: u32) {
        if let Err(error) = lock_byte(self.0.as_fd(), uid, ByteLock::GiveBack) {
            eprintln!("uid {uid} stays claimed: {error}");
        }
    }
}

/// Whether no process runs under `uid`: the kernel knows of no priority among none (getpriority(2)).
fn is_idle(uid: u32) -> bool {
    getpriority_user(Uid::from_raw(uid)) == Err(Errno::SRCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// Of no account, and in no test's range.
    const UID: u32 = 69_001;

    /// In a file of this test's own, so that no other test has a claim in it.
    fn claims(test: &str) -> Claims {
        let name = format!("holdfast-claims-{test}-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let claims = Claims::in_file(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        claims
    }

    #[test]
    fn two_launchers_never_have_the_same_uid() {
        let one = claims("two");
        // Another opening of the same file, as another launcher has it.
        let path = format!("/proc/self/fd/{}", one.0.as_raw_fd());
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let other = Claims(open(path, flags, Mode::empty()).unwrap());
        assert!(one.claim(UID));
        assert!(!other.claim(UID));
        assert!(other.claim(UID + 1));
        one.give_up(UID);
        assert!(other.claim(UID));
        drop(other);
        assert!(one.claim(UID));
    }

    #[test]
    fn a_uid_that_something_runs_under_is_not_had() {
        if !rustix::process::geteuid().is_root() {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!ci, "CI leaves nothing out: this needs root");
            eprintln!("SKIPPED: needs root: a process under another uid has to be started");
            return;
        }
        let claims = claims("idle");
        let uid = UID + 2;
        let mut orphan = Command::new("sleep").arg("60").uid(uid).spawn().unwrap();
        assert!(!claims.claim(uid));
        orphan.kill().unwrap();
        orphan.wait().unwrap();
        assert!(claims.claim(uid));
    }
}
