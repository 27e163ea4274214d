//! What the kernel says of a caller, as evidence for [`Registry::who`](crate::state::Registry::who).
//!
//! Read at accept, before a byte of the caller's is. It must never ask the caller, and never look a
//! pid up: the uid is frozen in the connection, and the pidfd names one process for good.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use holdfast_launcher::message::Told;
use holdfast_launcher::peer;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::state::{Party, Registry, Stranger};

/// Evidence of who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its uid on this host; a session's own, or a human's, whose sessions may have it too, or a service's.
    pub uid: u32,
    /// What else the kernel tells of it (Linux 6.5).
    pub told: Option<Told>,
    /// By what it is told apart.
    pub by: By,
}

/// What a caller is told apart by, besides its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its cgroup: root made it.
    Cgroup,
    /// Its pid namespace: nobody had root.
    PidNamespace,
}

impl By {
    fn of(self, process: &OwnedFd) -> io::Result<Told> {
        match self {
            Self::Cgroup => cgroup_of(process).map(Told::Cgroup),
            Self::PidNamespace => peer::pid_namespace(process).map(Told::PidNamespace),
        }
    }
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The one's who made the connection, or another process's of the same uid and cgroup.
    Peers,
    /// Somebody else's, or nobody's that can be told.
    Strangers,
}

/// The caller could not be identified; it gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The kernel could not say who the caller is: most likely it is gone.
    #[error("cannot tell who the caller is")]
    Kernel(#[source] io::Error),
    /// The caller is no live session's.
    #[error("the caller is no session's")]
    Stranger(#[source] Stranger),
}

/// Whether this kernel tells which process made a connection, so that a uid need not say it.
///
/// # Errors
/// What the system says.
pub fn tells_processes() -> io::Result<Tells> {
    let (here, _there) = UnixStream::pair()?;
    match Peer::of(&here) {
        Ok(Peer { told: Some(_), .. }) => Ok(Tells::Process),
        Ok(_) => Ok(Tells::Uid),
        Err(PeerError::Kernel(error)) => Err(error),
        Err(PeerError::Stranger(_)) => Ok(Tells::Uid),
    }
}

/// By what this kernel tells callers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// By their processes, too.
    Process,
    /// By their uids alone.
    Uid,
}

impl Peer {
    /// Reads the evidence of a connected Unix socket.
    ///
    /// # Errors
    /// [`PeerError::Kernel`], if the kernel has the means and still cannot say.
    pub fn of(socket: impl AsFd) -> Result<Self, PeerError> {
        Self::told(socket, By::Cgroup)
    }

    /// As [`Peer::of`], told apart in this way.
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn told(socket: impl AsFd, by: By) -> Result<Self, PeerError> {
        let socket = socket.as_fd();
        let uid = peer::uid(socket).map_err(PeerError::Kernel)?;
        let told = match peer::process(socket) {
            Ok(process) => Some(by.of(&process).map_err(PeerError::Kernel)?),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(PeerError::Kernel(error)),
        };
        Ok(Self { uid, told, by })
    }

    /// Has the kernel mark what comes on a connection with its senders' processes, where it can.
    ///
    /// # Errors
    /// [`PeerError::Kernel`], if the kernel has the means and still cannot.
    pub fn mark(socket: impl AsFd) -> Result<(), PeerError> {
        match peer::mark_with_pidfd(socket) {
            Err(error) if !is_absent(&error) => Err(PeerError::Kernel(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads one message of a connection that this peer made, or the part of it that fits; also
    /// whether its sender has the same uid and is in the same cgroup.
    ///
    /// # Errors
    /// What the system says.
    pub fn receive(
        self,
        socket: impl AsFd,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)> {
        let (received, sender) = peer::receive(socket, bytes, flags)?;
        let told = match self.told {
            Some(_) => sender.process.and_then(|process| self.by.of(&process).ok()),
            // The kernel has no word for it; no peer gets in so but by a uid that is one session's alone.
            None => None,
        };
        let same = sender.uid == Some(self.uid) && told == self.told;
        Ok((received, if same { Whose::Peers } else { Whose::Strangers }))
    }

    /// The session, or the sub-agent of it, that this caller belongs to.
    ///
    /// # Errors
    /// [`PeerError::Stranger`].
    pub fn party(self, registry: &Registry) -> Result<Party, PeerError> {
        registry
            .who(self.uid, self.told)
            .map_err(PeerError::Stranger)
    }
}

/// One process and no other: for those who are known by what they run.
#[derive(Debug)]
pub struct OneProcess {
    process: Arc<OwnedFd>,
    uid: u32,
}

impl OneProcess {
    /// `process`, with this uid.
    pub fn new(process: Arc<OwnedFd>, uid: u32) -> Self {
        Self { process, uid }
    }

    /// Reads one message of a connection, or the part of it that fits; also whether this process sent
    /// it.
    ///
    /// # Errors
    /// What the system says.
    pub fn receive(
        &self,
        socket: impl AsFd,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)> {
        let (received, sender) = peer::receive(socket, bytes, flags)?;
        let same = sender.uid == Some(self.uid)
            && sender
                .process
                .is_some_and(|sender| same_process(&sender, &self.process));
        Ok((received, if same { Whose::Peers } else { Whose::Strangers }))
    }
}

/// Whether two descriptors are of one process. A pid is one process's as long as that is not reaped:
/// the one that is looked at last still had it after the other was looked at.
fn same_process(one: &OwnedFd, other: &OwnedFd) -> bool {
    match (peer::pid(one), peer::pid(other)) {
        (Ok(Some(one_pid)), Ok(Some(other_pid))) => {
            one_pid == other_pid && matches!(peer::pid(one), Ok(Some(_)))
        }
        (Ok(_) | Err(_), _) => false,
    }
}

/// The process that made a connection.
///
/// # Errors
/// [`PeerError::Kernel`]; also where the kernel is older than the question (Linux 6.5).
pub fn process(socket: impl AsFd) -> Result<OwnedFd, PeerError> {
    peer::process(socket).map_err(PeerError::Kernel)
}

/// The id of the cgroup that a process is in: by the kernel's word (Linux 6.13), else by the path that
/// it tells of the process, which a pidfd holds fast meanwhile.
///
/// # Errors
/// The process is gone, or the kernel cannot say.
pub fn cgroup_of(process: &OwnedFd) -> io::Result<u64> {
    match peer::cgroup_id(process) {
        // Kernels that know other questions about a pidfd say EINVAL; a process that is gone is ESRCH.
        Err(error) if is_absent(&error) || Errno::from_io_error(&error) == Some(Errno::INVAL) => {
            peer::cgroup_id_by_path(process)
        }
        id @ (Ok(_) | Err(_)) => id,
    }
}

/// Whether the error means that this kernel is older than the question.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::NOPROTOOPT | Errno::NOTTY | Errno::NOSYS)
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn this_process_is_no_session() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = Peer::of(&here).unwrap();
        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
        let refused = peer.party(&Registry::default()).unwrap_err();
        assert!(matches!(refused, PeerError::Stranger(Stranger::Uid(uid)) if uid == peer.uid));
    }
}
