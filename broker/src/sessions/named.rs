//! Which name a session gets: one that was signed ahead where there is one, else a fresh one.
//!
//! A fresh one is signed once the session runs. It must never name a session of a host that may not act.

use holdfast_issue_credentials::SessionIdentity;
use holdfast_issue_credentials::spares::{Footing, Spare, Taken};
use holdfast_protocol::call::{Caller, HumanUid};
use holdfast_protocol::grade::SessionUid;
use holdfast_protocol::id::{AgentKind, SessionId, SpiffeId};

use super::Ground;
use super::launch::{RunError, attested};
use crate::ambient::random_bits;

/// What the human is told where a session has to do without an SVID for now.
const NO_SPARE: &str = "the attestor does not answer, and none of the names that it signed ahead is left: this session \
                        has no SVID until it answers";

/// A session's name.
pub struct Named {
    /// The name.
    pub identity: SessionIdentity,
    /// The same with its key and certificate, if it was signed ahead.
    pub spare: Option<Spare>,
    /// Where the host stood when it was given.
    pub footing: Footing,
    /// What the human should know.
    pub note: Option<String>,
}

/// Who asks for a session of this kind before there is one: under a name that no session is ever given.
pub fn nobody(
    ground: &Ground,
    kind: &AgentKind,
    human: HumanUid,
    runs_as: SessionUid,
) -> Result<Caller, RunError> {
    let SessionIdentity { session, spiffe_id } = fresh(&attested(ground)?, kind)?;
    Ok(Caller {
        session,
        spiffe_id,
        kind: kind.clone(),
        level: ground.level(),
        human,
        runs_as,
    })
}

fn fresh(footing: &Footing, kind: &AgentKind) -> Result<SessionIdentity, RunError> {
    let session = SessionId::from_random(random_bits().map_err(RunError::Host)?);
    let Footing {
        trust_domain, host, ..
    } = footing;
    Ok(SessionIdentity {
        session,
        spiffe_id: SpiffeId::session(trust_domain, *host, kind, session),
    })
}

/// Names a session of this kind, if this host may act.
pub fn name(ground: &Ground, kind: &AgentKind) -> Result<Named, RunError> {
    let footing = attested(ground)?;
    let (spare, note) = match ground.spares.take(kind, &footing) {
        Taken::Spare(spare) => (Some(spare), None),
        Taken::None => (None, None),
        Taken::Offline => (None, Some(NO_SPARE.to_owned())),
    };
    let identity = match &spare {
        Some(spare) => spare.identity().clone(),
        None => fresh(&footing, kind)?,
    };
    Ok(Named {
        identity,
        spare,
        footing,
        note,
    })
}
