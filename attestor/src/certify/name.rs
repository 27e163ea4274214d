//! Which names a host may ask for: those strictly below its own.
//!
//! An [`AgentId`] is the only way to an agent's SVID, and this module the only way to an `AgentId`.

use holdfast_protocol::id::{HostId, InvalidId, SpiffeId, TrustDomain};

/// A name that was shown to lie strictly below its host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentId(SpiffeId);

/// A host asked for a name that is not its own. The host is to blame.
#[derive(Debug, thiserror::Error)]
pub enum NotBelow {
    /// It is no name at all.
    #[error("the name is not a spiffe id")]
    Malformed(#[from] InvalidId),
    /// It is another's, or the host's own.
    #[error("`{asked}` is not below `{host}`")]
    Foreign {
        /// What was asked for.
        asked: SpiffeId,
        /// Who asked.
        host: SpiffeId,
    },
}

impl AgentId {
    /// The name that a host asked for, if it lies strictly below the host's own.
    ///
    /// # Errors
    /// [`NotBelow`] if it does not.
    pub fn of(trust_domain: &TrustDomain, host: HostId, asked: &str) -> Result<Self, NotBelow> {
        let asked: SpiffeId = asked.parse()?;
        let host = SpiffeId::host(trust_domain, host);
        if asked.is_below(&host) {
            Ok(Self(asked))
        } else {
            Err(NotBelow::Foreign { asked, host })
        }
    }

    /// The name.
    pub fn id(&self) -> &SpiffeId {
        &self.0
    }
}
