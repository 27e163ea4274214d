//! The sessions of this host: which exist, in what phase, and whose a caller's uid and cgroup are.
//!
//! Pure: inputs take `now`. It must never answer for a session that has ended, nor let two live
//! sessions share a cgroup, or a uid that is one's own; nor answer by a uid that is a human's.

mod subs;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use holdfast_launcher::control::Ending;
use holdfast_launcher::message::Told;
use holdfast_protocol::beyond::Beyond;
use holdfast_protocol::bounds::{Because, Bound, Bounds};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{AgentKind, SessionId};
use holdfast_protocol::measured::MeasuredPackage;
use holdfast_protocol::sub::{SubName, SubPath};
use holdfast_protocol::{Sha256Digest, Timestamp};

pub use subs::{MAX_SUBS, Sub, SubError, SubPhase, Subs};

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
    /// What it interprets, where it is an interpreter.
    pub package: Option<MeasuredPackage>,
    /// What the human says it is for.
    pub purpose: Option<String>,
    /// What it may take, and how long it may live.
    pub bounds: Bounds,
    /// How well it is known which calls are its.
    pub level: Level,
    /// Under whose uid it runs.
    pub runs_as: SessionUid,
    /// What it was given beyond its profile's usual world.
    pub beyond: Beyond,
}

/// How the kernel tells a session's processes from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The host uid that it runs under; the human's where [`Facts::runs_as`] says so.
    pub uid: u32,
    /// What tells its processes from others of the same uid.
    pub told: Told,
}

impl Identity {
    /// The id of its cgroup, if it has one of its own.
    pub fn cgroup(&self) -> Option<u64> {
        match self.told {
            Told::Cgroup(id) => Some(id),
            Told::PidNamespace(_) => None,
        }
    }
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
    /// Its sub-agents.
    pub subs: Subs,
    /// The bounds that this host could not put on it.
    pub unkept: Vec<Bound>,
    /// What stopped it last, beside its human.
    pub because: Option<Because>,
}

/// Whose a call is: a session's own, or one of its sub-agents'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The session.
    pub session: SessionId,
    /// Which of its sub-agents, if it is one's.
    pub sub: Option<SubPath>,
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
    /// The session's sub-agents do not allow it.
    #[error("not in session {0}")]
    Sub(SessionId, #[source] SubError),
    /// The human has their fill.
    #[error("uid {0} has {1} sessions already, and may have no more at once")]
    PerHuman(u32, NonZeroUsize),
    /// The launcher gave out an identity that a live session has.
    #[error("uid {0} or its cgroup belongs to another live session, or is not whose it was to be")]
    Identity(u32),
}

/// A caller that is no session's; it gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// No live session has this uid, or this uid and cgroup where the uid is a human's.
    #[error("uid {0} is no session's")]
    Uid(u32),
    /// The uid is a session's, the cgroup is not.
    #[error("the caller left the cgroup of session {0}")]
    Cgroup(SessionId),
    /// The session has sub-agents with the same uid, and the kernel does not tell which cgroup asks.
    #[error("this kernel does not tell the sub-agents of session {0} apart")]
    Untold(SessionId),
    /// A session runs under this human's uid, and the kernel does not tell which cgroup asks.
    #[error("this kernel does not tell the processes of uid {0} from its sessions'")]
    Shared(u32),
    /// The session is frozen; a call of its that was under way waits for nobody.
    #[error("session {0} is frozen")]
    Frozen(SessionId),
}

/// All sessions of this host.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    sessions: BTreeMap<SessionId, Session>,
    per_human: Option<NonZeroUsize>,
}

impl Registry {
    /// From now on a human may have so many sessions at once; `None`: as many as the host.
    pub fn allow_each(&mut self, most: Option<NonZeroUsize>) {
        self.per_human = most;
    }

    /// A session is about to be asked of the launcher.
    ///
    /// # Errors
    /// [`StateError::Exists`], [`StateError::Full`], [`StateError::PerHuman`].
    pub fn start(&mut self, now: Timestamp, id: SessionId, facts: Facts) -> Result<(), StateError> {
        self.forget(now);
        if self.sessions.contains_key(&id) {
            return Err(StateError::Exists(id));
        }
        if self.live().count() >= MAX_LIVE {
            return Err(StateError::Full);
        }
        let human = facts.human;
        let theirs = self.live().filter(|(_, live)| live.facts.human == human);
        if let Some(most) = self.per_human.filter(|most| theirs.count() >= most.get()) {
            return Err(StateError::PerHuman(human, most));
        }
        let session = Session {
            facts,
            started: now,
            phase: Phase::Starting,
            subs: Subs::default(),
            unkept: Vec::new(),
            because: None,
        };
        self.sessions.insert(id, session);
        Ok(())
    }

    /// The launcher made it.
    ///
    /// # Errors
    /// [`StateError::Identity`] if a live session has that uid or cgroup, or if the uid is not whose it was
    /// to be; the new one must be ended.
    pub fn launched(&mut self, id: SessionId, identity: Identity) -> Result<(), StateError> {
        let facts = self.sessions.get(&id).map(|session| &session.facts);
        let own = facts.is_none_or(|facts| facts.runs_as == SessionUid::Own);
        let taken = self.live().any(|(_, session)| match session.phase {
            Phase::Running(other) | Phase::Frozen(other) => {
                let owned = own || session.facts.runs_as == SessionUid::Own;
                owned && other.uid == identity.uid || other.told == identity.told
            }
            Phase::Starting | Phase::Ended { .. } => false,
        });
        let humans = facts.is_some_and(|facts| facts.human == identity.uid);
        // A uid of its own is nobody's, least of all the human's.
        if taken || own == humans {
            return Err(StateError::Identity(identity.uid));
        }
        self.step(id, |phase| match phase {
            Phase::Starting => Some(Phase::Running(identity)),
            Phase::Running(_) | Phase::Frozen(_) | Phase::Ended { .. } => None,
        })
    }

    /// What the launcher says that it could not bound.
    pub fn lacks(&mut self, id: SessionId, unkept: Vec<Bound>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.unkept = unkept;
        }
    }

    /// A live session is about to be stopped or to go on: for this reason, or by its human's word. What
    /// ended one stays.
    pub fn stopped(&mut self, id: SessionId, because: Option<Because>) {
        let live = self.sessions.get_mut(&id);
        if let Some(session) = live.filter(|s| !matches!(s.phase, Phase::Ended { .. })) {
            session.because = because;
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

    /// Whether it is running.
    ///
    /// # Errors
    /// [`StateError`] unless it is.
    pub fn running(&self, id: SessionId) -> Result<(), StateError> {
        match self.sessions.get(&id).map(|session| session.phase) {
            Some(Phase::Running(_)) => Ok(()),
            Some(Phase::Starting | Phase::Frozen(_)) => Err(StateError::Phase(id)),
            Some(Phase::Ended { .. }) | None => Err(StateError::Unknown(id)),
        }
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
        if let Some(session) = self.sessions.get_mut(&id) {
            session.subs = Subs::default();
        }
        self.forget(now);
        Ok(())
    }

    /// Whose call this is: the uid decides which session's, and the cgroup, where the kernel tells it,
    /// agrees and says which of its sub-agents'. Those share the uid: where there are any, the cgroup
    /// has to be told. A uid that is a human's says nothing: the cgroup alone decides there.
    ///
    /// # Errors
    /// [`Stranger`].
    pub fn who(&self, uid: u32, told: Option<Told>) -> Result<Party, Stranger> {
        let cgroup = match told {
            Some(told @ Told::PidNamespace(_)) => return self.contained(uid, told),
            Some(Told::Cgroup(cgroup)) => Some(cgroup),
            None => None,
        };
        for (id, session) in self.live() {
            let (own, frozen) = match session.phase {
                Phase::Running(own) => (own, None),
                Phase::Frozen(own) => (own, Some(Stranger::Frozen(id))),
                Phase::Starting | Phase::Ended { .. } => continue,
            };
            // One without a cgroup is told by its pid namespace alone.
            if own.uid != uid || own.cgroup().is_none() {
                continue;
            }
            let subs = &session.subs;
            let sub = match (cgroup, session.facts.runs_as) {
                (Some(cgroup), _) if own.told == Told::Cgroup(cgroup) => None,
                (Some(cgroup), SessionUid::Own) => {
                    Some(subs.of(cgroup).ok_or(Stranger::Cgroup(id))?)
                }
                // Another session's of the same human, or no session's.
                (Some(cgroup), SessionUid::Humans) => match subs.of(cgroup) {
                    Some(sub) => Some(sub),
                    None => continue,
                },
                (None, SessionUid::Own) if subs.is_empty() => None,
                (None, SessionUid::Own) => return Err(Stranger::Untold(id)),
                (None, SessionUid::Humans) => return Err(Stranger::Shared(uid)),
            };
            return match frozen {
                Some(frozen) => Err(frozen),
                None => Ok(Party { session: id, sub }),
            };
        }
        Err(Stranger::Uid(uid))
    }

    /// As [`Registry::who`], of a session without root: its human's uid is every such session's, so the pid namespace has to
    /// be told.
    fn contained(&self, uid: u32, told: Told) -> Result<Party, Stranger> {
        let found = self.live().find_map(|(id, session)| match session.phase {
            Phase::Running(own) if own.uid == uid && own.told == told => Some(Ok(id)),
            Phase::Frozen(own) if own.uid == uid && own.told == told => {
                Some(Err(Stranger::Frozen(id)))
            }
            Phase::Running(_) | Phase::Frozen(_) | Phase::Starting | Phase::Ended { .. } => None,
        });
        let session = found.ok_or(Stranger::Uid(uid))??;
        Ok(Party { session, sub: None })
    }

    /// A sub-agent is about to be made; also gives the cgroup that its own is to be below.
    ///
    /// # Errors
    /// [`StateError`] unless the session runs, and may have one more.
    pub fn start_sub(
        &mut self,
        now: Timestamp,
        id: SessionId,
        parent: Option<SubPath>,
        name: Option<SubName>,
    ) -> Result<(SubPath, u64), StateError> {
        let session = self.sessions.get_mut(&id).ok_or(StateError::Unknown(id))?;
        let Phase::Running(own) = session.phase else {
            return Err(StateError::Phase(id));
        };
        let above = match parent {
            None => own.cgroup().ok_or(SubError::NoCgroup),
            Some(parent) => session.subs.running(parent),
        };
        let started = above.and_then(|above| {
            let path = session.subs.start(now, parent, name)?;
            Ok((path, above))
        });
        started.map_err(|error| StateError::Sub(id, error))
    }

    /// The launcher made its cgroup.
    ///
    /// # Errors
    /// [`StateError`] unless it starts, in a session that runs, and the cgroup is new.
    pub fn sub_made(
        &mut self,
        id: SessionId,
        path: SubPath,
        cgroup: u64,
    ) -> Result<(), StateError> {
        let taken = self.live().any(|(_, session)| match session.phase {
            Phase::Running(other) | Phase::Frozen(other) => other.told == Told::Cgroup(cgroup),
            Phase::Starting | Phase::Ended { .. } => false,
        });
        if taken {
            return Err(StateError::Sub(id, SubError::Cgroup));
        }
        let session = self.sessions.get_mut(&id).ok_or(StateError::Unknown(id))?;
        let made = session.subs.made(path, cgroup);
        made.map_err(|error| StateError::Sub(id, error))
    }

    /// A sub-agent is to end, with those that are of it.
    ///
    /// # Errors
    /// [`StateError`] if there is none.
    pub fn sub_ending(&mut self, id: SessionId, path: SubPath) -> Result<(), StateError> {
        let session = self.sessions.get_mut(&id).ok_or(StateError::Unknown(id))?;
        let ending = session.subs.ending(path);
        ending.map_err(|error| StateError::Sub(id, error))
    }

    /// A sub-agent is gone.
    pub fn sub_ended(&mut self, id: SessionId, path: SubPath) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.subs.ended(path);
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
