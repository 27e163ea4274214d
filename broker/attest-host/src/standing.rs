//! Whether this host may act, by its attestor's word and by its own certificate: pure.
//!
//! The attestor's word takes it away at once; only an attestation that began after that word gives it back. It must never
//! let an answer that was under way undo an order, nor a host act past its certificate's end.

use std::fmt;

use holdfast_protocol::orders::{HostStanding, Orders};
use holdfast_protocol::{Sha256Digest, Timestamp};

/// Why this host may do nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It has not been attested since the broker started, or since it was enrolled.
    NotAttested,
    /// Its attestor has banned it.
    Banned {
        /// In the operator's words; empty where the attestor keeps them.
        why: String,
    },
    /// Its attestor has revoked it.
    Revoked {
        /// In the operator's words; empty where the attestor keeps them.
        why: String,
    },
    /// A ban was lifted; it has to attest first.
    Unbanned,
    /// Its certificate has ended and no other was to be had: the time that it may go on alone is over.
    GraceOver {
        /// When.
        ended: Timestamp,
    },
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ordered = |f: &mut fmt::Formatter<'_>, what: &str, why: &str| match why {
            "" => write!(f, "the attestor has {what} it"),
            why => write!(f, "the attestor has {what} it: {why}"),
        };
        match self {
            Self::NotAttested => f.write_str("it has not attested since the broker started"),
            Self::Banned { why } => ordered(f, "banned", why),
            Self::Revoked { why } => ordered(f, "revoked", why),
            Self::Unbanned => f.write_str("a ban was lifted, and it has not attested since"),
            Self::GraceOver { .. } => {
                f.write_str("its certificate has ended, and the attestor gave it no other")
            }
        }
    }
}

impl Hold {
    /// Whether somebody gave the order: what was leased before has to be dead for good.
    pub fn is_ordered(&self) -> bool {
        match self {
            Self::Banned { .. } | Self::Revoked { .. } => true,
            Self::NotAttested | Self::Unbanned | Self::GraceOver { .. } => false,
        }
    }
}

/// Which orders had been given when an attestation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun(u64);

/// An order came while the attestation was under way; its certificate is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attestor stopped this host while it attested")]
pub struct Overtaken;

/// What follows from the attestor's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// Attest at once.
    Attest,
}

/// The attestor's word on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Free,
    Banned {
        why: String,
    },
    Revoked {
        why: String,
    },
    Unbanned,
    /// There is no attestor to ask: the broker has no identity to lose.
    Unasked,
}

/// Where this host stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    word: Word,
    /// Counts the orders that stopped it.
    stopped: u64,
    /// When the certificate of the last attestation ends.
    proven_until: Option<Timestamp>,
    reattest: Option<Timestamp>,
    policy: Option<Sha256Digest>,
}

impl Standing {
    /// A broker without root, which no attestor vouches for: it may act, as nobody.
    pub fn unasked() -> Self {
        Self {
            word: Word::Unasked,
            ..Self::default()
        }
    }

    /// An attestation begins.
    pub fn begin(&self) -> Begun {
        Begun(self.stopped)
    }

    /// The attestor accepted it, and its certificate ends then.
    ///
    /// # Errors
    /// [`Overtaken`]; the host stands as it stood.
    pub fn attested(&mut self, begun: Begun, not_after: Timestamp) -> Result<(), Overtaken> {
        if begun.0 != self.stopped {
            return Err(Overtaken);
        }
        self.word = Word::Free;
        self.proven_until = Some(not_after);
        Ok(())
    }

    /// The attestor's word, as it is now.
    pub fn ordered(&mut self, orders: &Orders) -> Demand {
        let Orders {
            standing,
            reattest,
            policy,
            bundles: _,
            next_within: _,
        } = orders;
        let mut demand = Demand::Nothing;
        if reattest.is_some() && *reattest != self.reattest {
            self.reattest = *reattest;
            demand = Demand::Attest;
        }
        if self
            .policy
            .replace(*policy)
            .is_some_and(|old| old != *policy)
        {
            demand = Demand::Attest;
        }
        match standing {
            HostStanding::Active => {
                if self.is_stopped() {
                    self.word = Word::Unbanned;
                    demand = Demand::Attest;
                }
                demand
            }
            HostStanding::Banned { why } => self.stop(Word::Banned { why: why.clone() }),
            HostStanding::Revoked { why } => self.stop(Word::Revoked { why: why.clone() }),
        }
    }

    /// The host belongs to another attestor, or to none, from now on.
    pub fn forget(&mut self) {
        *self = Self {
            stopped: self.stopped.saturating_add(1),
            ..Self::default()
        };
    }

    /// Why the host may do nothing at `now`, if it may not.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        match &self.word {
            Word::Banned { why } => Some(Hold::Banned { why: why.clone() }),
            Word::Revoked { why } => Some(Hold::Revoked { why: why.clone() }),
            Word::Unbanned => Some(Hold::Unbanned),
            Word::Unasked => None,
            Word::Free => match self.proven_until {
                Some(end) if now < end => None,
                Some(ended) => Some(Hold::GraceOver { ended }),
                None => Some(Hold::NotAttested),
            },
        }
    }

    /// How often it was stopped, or enrolled anew, since the broker started.
    pub fn stops(&self) -> u64 {
        self.stopped
    }

    /// When the host may act no more if nothing happens.
    pub fn ends(&self) -> Option<Timestamp> {
        self.proven_until
    }

    fn is_stopped(&self) -> bool {
        matches!(self.word, Word::Banned { .. } | Word::Revoked { .. })
    }

    fn stop(&mut self, word: Word) -> Demand {
        if !self.is_stopped() {
            self.stopped = self.stopped.saturating_add(1);
        }
        self.word = word;
        self.proven_until = None;
        Demand::Nothing
    }
}

#[cfg(test)]
mod tests;
