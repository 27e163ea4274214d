//! The pure core of one session's credentials: what it holds, what it still needs, until when.
//!
//! Each credential is signed, then recorded when somebody first wants it, and only then given out;
//! it is replaced at half of its life. The shell carries out the [`Effect`]s that [`poll`] names
//! and brings back what came of them. No I/O, clock, randomness or async here; this module must
//! never answer with a credential that is unrecorded, expired, or of a session that has ended.
//!
//! [`poll`]: Credentials::poll

mod slot;
pub(crate) mod work;

use std::collections::BTreeMap;

use holdfast_protocol::Timestamp;

use crate::audiences::Audiences;
use slot::{Keep, Slot};

/// The most JWT-SVIDs that are cached for one session; the one that was asked for least recently
/// makes room.
pub const MAX_JWTS: usize = 32;

/// The most JWT-SVIDs that one session may have the authority sign at a time.
pub const MAX_SIGNING: usize = 8;

/// What a session can be given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wanted {
    /// Its X.509-SVID.
    X509,
    /// A JWT-SVID for these audiences.
    Jwt(Audiences),
}

/// Why there is nothing to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session has ended or was revoked, or the authority does not grant the identity.
    #[error("no identity issued")]
    NoIdentity,
    /// The authority was not reached, and nothing that was signed before is left. Only it signs.
    #[error(
        "the attestor cannot be reached, and only it signs SVIDs (a JWT-SVID never ahead): ask again later"
    )]
    Offline,
    /// The audit log does not answer, or the authority wrongly; asking again later may help.
    #[error("the identity cannot be issued at present")]
    Unavailable,
    /// The session wants more at a time than it may.
    #[error("too many credentials are being issued to this session")]
    Busy,
}

/// The answer to somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer<C> {
    /// Here it is; a later generation has replaced an earlier one.
    Ready(C, Generation),
    /// It is being made: ask again when something has changed.
    Pending,
    /// There is none.
    Refused(Refusal),
}

/// Counts the credentials that one slot has held.
pub(crate) type Generation = u64;

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Have it signed, then call [`Credentials::signed_x509`] or [`Credentials::signed_jwt`].
    Sign(Wanted),
    /// Record that it is issued, then call [`Credentials::recorded`].
    Record {
        wanted: Wanted,
        generation: Generation,
        not_after: Timestamp,
    },
}

/// A credential as it was signed.
#[derive(Clone, Debug)]
pub(crate) struct Signed<C> {
    pub(crate) credential: C,
    pub(crate) not_after: Timestamp,
}

/// Whether a call changed anything that somebody may be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Some,
}

/// One session's credentials.
#[derive(Debug)]
pub(crate) enum Credentials<X, J> {
    /// They are issued and kept fresh.
    Open {
        x509: Slot<X>,
        jwts: BTreeMap<Audiences, Slot<J>>,
    },
    /// The host may do nothing for now: there are none, and what there was is gone.
    Suspended,
    /// The session has ended or was revoked: there are none, ever again.
    Ended,
}

impl<X: Clone, J: Clone> Credentials<X, J> {
    /// A new session's: the X.509-SVID is wanted at once.
    pub(crate) fn new() -> Self {
        Self::Open {
            x509: Slot::new(Keep::Always),
            jwts: BTreeMap::new(),
        }
    }

    /// A new session's whose X.509-SVID was signed before, at `signed_at`: like any other it is recorded before it is given
    /// out, and replaced at half of its life.
    pub(crate) fn signed_ahead(x509: Signed<X>, signed_at: Timestamp) -> Self {
        let mut slot = Slot::new(Keep::Always);
        slot.signed(Ok(x509), signed_at);
        Self::Open {
            x509: slot,
            jwts: BTreeMap::new(),
        }
    }

    /// Ends the session: every credential is dropped.
    pub(crate) fn end(&mut self) {
        *self = Self::Ended;
    }

    /// The host may do nothing from now on: every credential is dropped.
    pub(crate) fn suspend(&mut self) {
        if let Self::Open { .. } = self {
            *self = Self::Suspended;
        }
    }

    /// The host may act again: everything is made anew.
    pub(crate) fn restore(&mut self) {
        if let Self::Suspended = self {
            *self = Self::new();
        }
    }

    /// Whether the session is still entitled to anything.
    pub(crate) fn standing(&self) -> Result<(), Refusal> {
        match self {
            Self::Open { .. } => Ok(()),
            Self::Suspended | Self::Ended => Err(Refusal::NoIdentity),
        }
    }

    /// Asks for the X.509-SVID.
    pub(crate) fn ask_x509(&mut self, now: Timestamp) -> (Answer<X>, Change) {
        match self {
            Self::Open { x509, .. } => x509.ask(now),
            Self::Suspended | Self::Ended => (Answer::Refused(Refusal::NoIdentity), Change::None),
        }
    }

    /// Asks for a JWT-SVID.
    pub(crate) fn ask_jwt(&mut self, wanted: &Audiences, now: Timestamp) -> (Answer<J>, Change) {
        let Self::Open { jwts, .. } = self else {
            return (Answer::Refused(Refusal::NoIdentity), Change::None);
        };
        if let Some(slot) = jwts.get_mut(wanted) {
            return slot.ask(now);
        }
        if jwts.len() >= MAX_JWTS {
            let oldest = (jwts.iter())
                .filter(|(_, slot)| slot.is_idle())
                .min_by_key(|(_, slot)| slot.last_asked())
                .map(|(audiences, _)| audiences.clone());
            match oldest {
                Some(audiences) => jwts.remove(&audiences),
                None => return (Answer::Refused(Refusal::Busy), Change::None),
            };
        }
        jwts.entry(wanted.clone())
            .or_insert_with(|| Slot::new(Keep::WhileAsked))
            .ask(now)
    }

    /// Drops what has expired and names what has to be done now.
    pub(crate) fn poll(&mut self, now: Timestamp) -> (Vec<Effect>, Change) {
        let Self::Open { x509, jwts } = self else {
            return (Vec::new(), Change::None);
        };
        let mut change = x509.expire(now);
        for slot in jwts.values_mut() {
            if slot.expire(now) == Change::Some {
                change = Change::Some;
            }
        }
        jwts.retain(|_, slot| !slot.is_spent(now));

        let mut effects = Vec::new();
        effects.extend(x509.poll(now).map(|step| step.of(Wanted::X509)));
        let mut signing = jwts.values().filter(|slot| slot.is_signing()).count();
        for (audiences, slot) in jwts.iter_mut() {
            if slot.wants_signature(now) && signing >= MAX_SIGNING {
                continue;
            }
            if let Some(step) = slot.poll(now) {
                signing += usize::from(slot.is_signing());
                effects.push(step.of(Wanted::Jwt(audiences.clone())));
            }
        }
        (effects, change)
    }

    /// When [`poll`](Self::poll) has to be called again if nothing happens before; it was called
    /// with the same `now`, so what is due and not begun waits for something else.
    pub(crate) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Open { x509, jwts } => (jwts.values().flat_map(Slot::wake_at))
                .chain(x509.wake_at())
                .filter(|&at| now < at)
                .min(),
            Self::Suspended | Self::Ended => None,
        }
    }

    /// What came of signing the X.509-SVID.
    pub(crate) fn signed_x509(&mut self, result: Result<Signed<X>, Refusal>, now: Timestamp) {
        if let Self::Open { x509, .. } = self {
            x509.signed(result, now);
        }
    }

    /// What came of signing a JWT-SVID.
    pub(crate) fn signed_jwt(
        &mut self,
        wanted: &Audiences,
        result: Result<Signed<J>, Refusal>,
        now: Timestamp,
    ) {
        if let Self::Open { jwts, .. } = self
            && let Some(slot) = jwts.get_mut(wanted)
        {
            slot.signed(result, now);
        }
    }

    /// What came of recording one generation.
    pub(crate) fn recorded(
        &mut self,
        wanted: &Wanted,
        generation: Generation,
        result: Result<(), Refusal>,
        now: Timestamp,
    ) {
        let Self::Open { x509, jwts } = self else {
            return;
        };
        match wanted {
            Wanted::X509 => x509.recorded(generation, result, now),
            Wanted::Jwt(audiences) => {
                if let Some(slot) = jwts.get_mut(audiences) {
                    slot.recorded(generation, result, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
