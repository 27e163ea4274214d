//! Who may manage: root, the broker's own uid, and the uids that the configuration names.
//!
//! By the kernel's `SO_PEERCRED`, never by anything that the peer says.

use std::sync::Arc;

use holdfast_protocol::call::HumanUid;
use tokio::net::UnixStream;

/// The uids that are heard on the management socket.
#[derive(Clone, Debug)]
pub struct Managers {
    uids: Arc<[u32]>,
}

/// A peer is not heard.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The kernel does not say who it is.
    #[error("the caller's uid cannot be told")]
    Unknown(#[source] std::io::Error),
    /// Its uid is not a manager's.
    #[error("uid {0} may not manage Holdfast on this machine")]
    Stranger(u32),
}

impl Managers {
    /// Root, this process's own uid, and `named`.
    pub fn new(named: &[u32]) -> Self {
        let own = rustix::process::geteuid().as_raw();
        Self {
            uids: named.iter().copied().chain([0, own]).collect(),
        }
    }

    /// Lets a connection's peer in and says who it is, or says who was refused.
    ///
    /// # Errors
    /// [`Refused`] if it is not a manager.
    pub fn admit(&self, stream: &UnixStream) -> Result<HumanUid, Refused> {
        let uid = stream.peer_cred().map_err(Refused::Unknown)?.uid();
        if self.uids.contains(&uid) {
            Ok(HumanUid(uid))
        } else {
            Err(Refused::Stranger(uid))
        }
    }
}
