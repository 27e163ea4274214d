//! Whether a connection to a session's socket comes from that session.
//!
//! By the kernel's word: the session's own uid, and its cgroup where the kernel tells. That uid is
//! what each message on the connection has to bear: no process outside has it, as long as the session
//! lives. Root can claim it, and could take it.

use holdfast_issue_credentials::{Denied, PeerCheck, SenderUid};
use holdfast_launch_agents::peer::Peer;
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::id::SessionId;
use tokio::net::UnixStream;

use super::vitals::Pulse;

/// Lets in the processes of one session, while it runs.
pub struct OfSession {
    /// All sessions.
    pub sessions: Sessions,
    /// The one.
    pub session: SessionId,
    /// Counts its connections.
    pub pulse: Pulse,
}

impl PeerCheck for OfSession {
    fn admit(&self, stream: &UnixStream) -> Result<SenderUid, Denied> {
        let peer = Peer::of(stream).map_err(|error| Denied(error.to_string()))?;
        match self.sessions.who(peer) {
            Ok(session) if session == self.session => {
                self.pulse.beat();
                Ok(SenderUid(peer.uid))
            }
            Ok(other) => Err(Denied(format!("it is session {other}'s"))),
            Err(error) => Err(Denied(error.to_string())),
        }
    }
}
