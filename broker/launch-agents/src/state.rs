//! The sessions of this host: which exist, in what phase, and whose a caller's uid and cgroup are.
//!
//! Pure: inputs take `now`. It must never answer for a session that has ended, nor let two live
//! sessions share a uid or a cgroup.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_launcher::control::Ending;
use holdfast_protocol::id::{AgentKind, SessionId};
use holdfast_protocol::{Sha256Digest, Timestamp};

/// The most sessions that live at once.
pub const MAX_LIVE: usize = 512;
/// How long an ended session is still listed.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most ended sessions that are listed.
pub const MAX_ENDED: usize = 1024;

/// What stays the same over a session's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The agent's kind.
    pub kind: AgentKind,
    /// The uid of the human who started it.
    pub human: u32,
    /// What was measured, and runs.
    pub program: Sha256Digest,
    /// What the human says it is for.
    pub purpose: Option<String>,
}

/// How the kernel tells a session's processes from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The session's own host uid.
    pub uid: u32,
    /// The id of its cgroup.
    pub cgroup: u64,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asked of the launcher.
    Starting,
    /// It runs.
    Running(Identity),
    /// It is frozen, and keeps its identity.
    Frozen(Identity),
    /// It is over.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        ending: Ending,
    },
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it is.
    pub facts: Facts,
    /// When it was asked for.
    pub started: Timestamp,
    /// Where it is in its life.
    pub phase: Phase,
}

/// A step that the session's life does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The caller names no session that lives.
    #[error("session {0} does not live")]
    Unknown(SessionId),
    /// The caller asks for a step that this phase does not have.
    #[error("session {0} is not in the phase for that")]
    Phase(SessionId),
    /// The caller reused an id.
    #[error("session {0} exists already")]
    Exists(SessionId),
    /// The host has its fill.
    #[error("{MAX_LIVE} sessions live already")]
    Full,
    /// The launcher gave out an identity that a live session has.
    #[error("uid {0} or its cgroup belongs to another live session")]
    Identity(u32),
}

/// A caller that is no session's; it gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// No live session has this uid.
    #[error("uid {0} is no session's")]
    Uid(u32),
    /// The uid is a session's, the cgroup is not.
    #[error("the caller left the cgroup of session {0}")]
    Cgroup(SessionId),
    /// The session is frozen; a call of its that was under way waits for nobody.
    #[error("session {0} is frozen")]
    Frozen(SessionId),
}

/// All sessions of this host.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    sessions: BTreeMap<SessionId, Session>,
}

impl Registry {
    /// A session is about to be asked of the launcher.
    ///
    /// # Errors
    /// [`StateError::Exists`], [`StateError::Full`].
    pub fn start(&mut self, now: Timestamp, id: SessionId, facts: Facts) -> Result<(), StateError> {
        self.forget(now);
        if self.sessions.contains_key(&id) {
            return Err(StateError::Exists(id));
        }
        if self.live().count() >= MAX_LIVE {
            return Err(StateError::Full);
        }
        let session = Session {
            facts,
            started: now,
            phase: Phase::Starting,
        };
        self.sessions.insert(id, session);
        Ok(())
    }

    /// The launcher made it.
    ///
    /// # Errors
    /// [`StateError::Identity`] if a live session has that uid or cgroup; the new one must be ended.
    pub fn launched(&mut self, id: SessionId, identity: Identity) -> Result<(), StateError> {
        let taken = self.live().any(|(_, session)| match session.phase {
            Phase::Running(other) | Phase::Frozen(other) => {
                other.uid == identity.uid || other.cgroup == identity.cgroup
            }
            Phase::Starting | Phase::Ended { .. } => false,
        });
        if taken {
            return Err(StateError::Identity(identity.uid));
        }
        self.step(id, |phase| match phase {
            Phase::Starting => Some(Phase::Running(identity)),
            Phase::Running(_) | Phase::Frozen(_) | Phase::Ended { .. } => None,
        })
    }

    /// Whether its processes run.
    ///
    /// # Errors
    /// [`StateError`] unless they do.
    pub fn running(&self, id: SessionId) -> Result<(), StateError> {
        match self.sessions.get(&id).map(|session| session.phase) {
            Some(Phase::Running(_)) => Ok(()),
            Some(Phase::Starting | Phase::Frozen(_) | Phase::Ended { .. }) => {
                Err(StateError::Phase(id))
            }
            None => Err(StateError::Unknown(id)),
        }
    }

    /// Its processes stand still.
    ///
    /// # Errors
    /// [`StateError`] unless it runs.
    pub fn frozen(&mut self, id: SessionId) -> Result<(), StateError> {
        self.step(id, |phase| match phase {
            Phase::Running(identity) => Some(Phase::Frozen(identity)),
            Phase::Starting | Phase::Frozen(_) | Phase::Ended { .. } => None,
        })
    }

    /// Its processes run again.
    ///
    /// # Errors
    /// [`StateError`] unless it is frozen.
    pub fn resumed(&mut self, id: SessionId) -> Result<(), StateError> {
        self.step(id, |phase| match phase {
            Phase::Frozen(identity) => Some(Phase::Running(identity)),
            Phase::Starting | Phase::Running(_) | Phase::Ended { .. } => None,
        })
    }

    /// It is over, or never began.
    ///
    /// # Errors
    /// [`StateError::Unknown`] if it was over already.
    pub fn ended(
        &mut self,
        now: Timestamp,
        id: SessionId,
        ending: Ending,
    ) -> Result<(), StateError> {
        self.step(id, |_| Some(Phase::Ended { at: now, ending }))?;
        self.forget(now);
        Ok(())
    }

    /// Whose call this is: the uid decides, and the cgroup, where the kernel tells it, agrees.
    ///
    /// # Errors
    /// [`Stranger`].
    pub fn who(&self, uid: u32, cgroup: Option<u64>) -> Result<SessionId, Stranger> {
        let found = self.live().find_map(|(id, session)| match session.phase {
            Phase::Running(own) if own.uid == uid => Some((id, own, None)),
            Phase::Frozen(own) if own.uid == uid => Some((id, own, Some(Stranger::Frozen(id)))),
            Phase::Running(_) | Phase::Frozen(_) | Phase::Starting | Phase::Ended { .. } => None,
        });
        match found {
            None => Err(Stranger::Uid(uid)),
            Some((id, own, _)) if cgroup.is_some_and(|cgroup| cgroup != own.cgroup) => {
                Err(Stranger::Cgroup(id))
            }
            Some((_, _, Some(frozen))) => Err(frozen),
            Some((id, _, None)) => Ok(id),
        }
    }

    /// One session, ended ones included.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All sessions, ended ones included.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    fn live(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions()
            .filter(|(_, session)| !matches!(session.phase, Phase::Ended { .. }))
    }

    fn step(
        &mut self,
        id: SessionId,
        next: impl FnOnce(Phase) -> Option<Phase>,
    ) -> Result<(), StateError> {
        let session = self
            .sessions
            .get_mut(&id)
            .filter(|session| !matches!(session.phase, Phase::Ended { .. }))
            .ok_or(StateError::Unknown(id))?;
        session.phase = next(session.phase).ok_or(StateError::Phase(id))?;
        Ok(())
    }

    /// Drops ended sessions that are old or too many, oldest first.
    fn forget(&mut self, now: Timestamp) {
        let mut ended: Vec<(Timestamp, SessionId)> = self
            .sessions()
            .filter_map(|(id, session)| match session.phase {
                Phase::Ended { at, .. } => Some((at, id)),
                Phase::Starting | Phase::Running(_) | Phase::Frozen(_) => None,
            })
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(MAX_ENDED);
        for (index, (at, id)) in ended.into_iter().enumerate() {
            if index < surplus || now.since(at) > KEPT {
                self.sessions.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
