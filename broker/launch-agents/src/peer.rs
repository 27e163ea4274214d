//! What the kernel says of a caller, as evidence for [`Registry::who`](crate::state::Registry::who).
//!
//! Read at accept, before a byte of the caller's is. It must never ask the caller, and never look a
//! pid up: the uid is frozen in the connection, and the pidfd names one process for good.

use std::io;
use std::os::fd::AsFd;

use holdfast_launcher::peer;
use rustix::io::Errno;

use crate::state::{Registry, Stranger};
use holdfast_protocol::id::SessionId;

/// Evidence of who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its uid on this host; a session's own, or a human's, or a service's.
    pub uid: u32,
    /// Its cgroup's id, where the kernel tells (Linux 6.13).
    pub cgroup: Option<u64>,
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

impl Peer {
    /// Reads the evidence of a connected Unix socket.
    ///
    /// # Errors
    /// [`PeerError::Kernel`], if the kernel has the means and still cannot say.
    pub fn of(socket: impl AsFd) -> Result<Self, PeerError> {
        let socket = socket.as_fd();
        let uid = peer::uid(socket).map_err(PeerError::Kernel)?;
        let cgroup = match peer::process(socket).and_then(peer::cgroup_id) {
            Ok(id) => Some(id),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(PeerError::Kernel(error)),
        };
        Ok(Self { uid, cgroup })
    }

    /// The session that this caller belongs to.
    ///
    /// # Errors
    /// [`PeerError::Stranger`].
    pub fn session(self, registry: &Registry) -> Result<SessionId, PeerError> {
        registry
            .who(self.uid, self.cgroup)
            .map_err(PeerError::Stranger)
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
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn this_process_is_no_session() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = Peer::of(&here).unwrap();
        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
        let refused = peer.session(&Registry::default()).unwrap_err();
        assert!(matches!(refused, PeerError::Stranger(Stranger::Uid(uid)) if uid == peer.uid));
    }
}
