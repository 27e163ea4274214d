//! Whether a connection to a session's socket comes from that session, and from which part of it.
//!
//! By the kernel's word: the session's own uid, and the cgroup, which tells its sub-agents from it and
//! from each other. Each message on the connection has to come from the same uid and cgroup; no process
//! outside has that uid, as long as the session lives, and none can change its cgroup. Root can claim
//! both, and could take them.

use std::io;
use std::sync::Arc;

use holdfast_issue_credentials::{Admitted, Challenge, Denied, Judge, Party, PeerCheck, Whose};
use holdfast_launch_agents::peer::{self, Peer};
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::words::with_causes;
use rustix::net::RecvFlags;
use tokio::net::UnixStream;

use super::subs::Subs;
use super::vitals::Pulse;

/// Lets in the processes of one session and of its sub-agents, while they run.
pub struct OfSession {
    /// All sessions.
    pub sessions: Sessions,
    /// The one.
    pub session: SessionId,
    /// Its sub-agents.
    pub subs: Subs,
    /// Counts its connections.
    pub pulse: Pulse,
}

#[tonic::async_trait]
impl PeerCheck for OfSession {
    async fn admit(&self, stream: &UnixStream) -> Result<Admitted, Denied> {
        let denied = |error: peer::PeerError| Denied(with_causes(&error));
        Peer::mark(stream).map_err(denied)?;
        let peer = Peer::told(stream, self.sessions.by()).map_err(denied)?;
        let found = self.sessions.who(peer).map_err(denied)?;
        if found.session != self.session {
            return Err(Denied(format!("it is session {}'s", found.session)));
        }
        self.pulse.beat();
        let party = match found.sub {
            None => Party::Session,
            Some(sub) => self
                .subs
                .party(sub)
                .ok_or_else(|| Denied(format!("{sub} is not begun")))?,
        };
        Ok(Admitted {
            judge: Arc::new(OfPeer(peer)),
            party,
            challenge: Challenge::Unneeded,
        })
    }
}

/// Judges messages by the uid and the cgroup of whoever made the connection.
pub struct OfPeer(pub Peer);

impl Judge for OfPeer {
    fn receive(
        &self,
        stream: &UnixStream,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)> {
        let (received, sender) = self.0.receive(stream, bytes, flags)?;
        Ok((received, whose(sender)))
    }
}

/// Whose a message is, in the words of what serves it.
pub fn whose(sender: peer::Whose) -> Whose {
    match sender {
        peer::Whose::Peers => Whose::Peers,
        peer::Whose::Strangers => Whose::Strangers,
    }
}
