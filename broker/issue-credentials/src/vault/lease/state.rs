//! Leases' rules: which session has the use of which secret, until when, and when the TPM has to be asked.
//!
//! Pure: `now` is the wall clock's, handed in. The TPM judges a lease by its own clock, boot and epoch; what it refuses
//! is gone here too. A lease's key is held opened for at most [`OPEN_FOR`]. This module must never give a secret to a
//! session that it was not granted to, after the lease's end, or for another use.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::vault::{SecretName, SecretUse};
use zeroize::Zeroizing;

use super::super::file::{Boxed, NONCE};
use super::super::key::{CryptoError, Key, context};
use super::super::seal::SealedLease;

/// How long a lease is made for.
pub const LASTS: Duration = Duration::from_secs(3600);

/// When it is replaced while sessions live.
const HALF_LIFE: Duration = Duration::from_secs(1800);

/// How long its key stays opened in memory.
pub const OPEN_FOR: Duration = Duration::from_secs(60);

/// When a key that was used is fetched again, so that it is there when the old one goes.
const REFRESH_AFTER: Duration = Duration::from_secs(45);

/// How long a TPM that failed in the background is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// Which lease: an answer about one that was replaced meanwhile must not touch its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

/// The leased secrets of all sessions, under the one lease of the one tier that there is.
#[derive(Default)]
pub struct Leases {
    lease: Option<Lease>,
    generations: u64,
    grants: BTreeMap<SessionId, BTreeMap<SecretName, Grant>>,
    paused_until: Option<Timestamp>,
    leave: Leave,
    outstanding: Outstanding,
}

/// Whether secrets may be used at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Leave {
    #[default]
    Given,
    /// The host may do nothing.
    Withheld,
}

/// Whether the TPM would still open a lease that was made before the host was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outstanding {
    /// It may: one was made since the epoch went on, or by a broker before this one.
    #[default]
    Possible,
    /// None was made in this epoch.
    No,
}

struct Lease {
    generation: Generation,
    sealed: SealedLease,
    made: Timestamp,
    until: Timestamp,
    opened: Option<Opened>,
    /// How many boxes this key has sealed: each gets a nonce of its own.
    boxes: u64,
}

struct Opened {
    key: Key,
    since: Timestamp,
    used: Use,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    NotYet,
    Some,
}

struct Grant {
    human: HumanUid,
    purpose: SecretUse,
    blob: Option<Blob>,
}

/// A secret under the lease's key.
struct Blob {
    sealed: Boxed,
    until: Timestamp,
}

/// What a session's wish for a secret meets.
#[derive(Debug)]
pub enum Look {
    /// The secret.
    Ready(Zeroizing<String>),
    /// The session has no such grant.
    NotGranted,
    /// First the lease's key has to be there ([`Leases::key`]).
    NeedKey,
    /// First the secret has to be put under the lease ([`Leases::supply`]).
    NeedValue {
        /// Whose vault it is in.
        human: HumanUid,
        /// What it was granted for.
        purpose: SecretUse,
    },
}

/// Whether the lease's key is there.
#[derive(Debug)]
pub enum KeyState {
    /// It is; the lease ends then.
    Opened(Timestamp),
    /// The TPM has to open the lease.
    Sealed(Generation, SealedLease),
    /// There is no lease, or it is over.
    Missing,
    /// There is none, and none may be made: the host may do nothing.
    Withheld,
}

/// What is to be done though nobody waits for it.
#[derive(Debug)]
pub enum Due {
    /// Another lease, because this one's half is over.
    Renew,
    /// The key once more, because it is in use.
    Refresh(Generation, SealedLease),
}

impl Leases {
    /// Gives `session` the use of a secret for `purpose`. Without a value, or without an opened key, it is to be
    /// supplied at the first use.
    pub fn grant(
        &mut self,
        session: SessionId,
        name: SecretName,
        (human, purpose): (HumanUid, SecretUse),
        value: &str,
        now: Timestamp,
    ) -> Result<(), CryptoError> {
        let grant = Grant {
            human,
            purpose,
            blob: None,
        };
        let grants = self.grants.entry(session).or_default();
        grants.insert(name.clone(), grant);
        self.supply(session, &name, value, now)
    }

    /// Puts a secret that the session was granted under the lease, if its key is there.
    pub fn supply(
        &mut self,
        session: SessionId,
        name: &SecretName,
        value: &str,
        now: Timestamp,
    ) -> Result<(), CryptoError> {
        self.expire(now);
        let Some(lease) = &mut self.lease else {
            return Ok(());
        };
        let Some(grant) = self
            .grants
            .get_mut(&session)
            .and_then(|grants| grants.get_mut(name))
        else {
            return Ok(());
        };
        if let Some(blob) = lease.seal(session, name, value)? {
            grant.blob = Some(blob);
        }
        Ok(())
    }

    /// What `session` gets that wants the secret `name`.
    pub fn look(&mut self, session: SessionId, name: &SecretName, now: Timestamp) -> Look {
        self.expire(now);
        let Some(grant) = self
            .grants
            .get_mut(&session)
            .and_then(|grants| grants.get_mut(name))
        else {
            return Look::NotGranted;
        };
        let Some(opened) = self.lease.as_mut().and_then(|lease| lease.opened.as_mut()) else {
            return Look::NeedKey;
        };
        opened.used = Use::Some;
        let value = grant
            .blob
            .as_ref()
            .filter(|blob| now < blob.until)
            .and_then(|blob| {
                let context = blob_context(session, name, blob.until);
                opened.key.open_text(&blob.sealed, &context)
            });
        value.map_or_else(
            || Look::NeedValue {
                human: grant.human,
                purpose: grant.purpose.clone(),
            },
            Look::Ready,
        )
    }

    /// Whether the lease's key is there.
    pub fn key(&mut self, now: Timestamp) -> KeyState {
        self.expire(now);
        if self.leave == Leave::Withheld {
            return KeyState::Withheld;
        }
        match &self.lease {
            None => KeyState::Missing,
            Some(lease) if lease.opened.is_some() => KeyState::Opened(lease.until),
            Some(lease) => KeyState::Sealed(lease.generation, lease.sealed.clone()),
        }
    }

    /// A new lease was made at `made`, with this key. The old one and all that lay under it are gone.
    pub fn install(&mut self, key: Key, sealed: SealedLease, made: Timestamp) {
        self.drop_lease();
        self.outstanding = Outstanding::Possible;
        if self.leave == Leave::Withheld {
            return;
        }
        self.generations += 1;
        self.paused_until = None;
        self.lease = Some(Lease {
            generation: Generation(self.generations),
            sealed,
            made,
            until: made + LASTS,
            opened: Some(Opened {
                key,
                since: made,
                used: Use::NotYet,
            }),
            boxes: 0,
        });
    }

    /// The TPM opened a lease; it was asked at `since`.
    pub fn opened(&mut self, generation: Generation, key: Key, since: Timestamp) {
        if let Some(lease) = self.current(generation) {
            lease.opened = Some(Opened {
                key,
                since,
                used: Use::NotYet,
            });
        }
    }

    /// The TPM refuses a lease: it is over, whatever the wall clock says.
    pub fn refused(&mut self, generation: Generation) {
        if self.current(generation).is_some() {
            self.drop_lease();
        }
    }

    /// The TPM failed, nobody waited: it is left alone for a while.
    pub fn failed(&mut self, now: Timestamp) {
        self.paused_until = Some(now + PAUSE);
    }

    /// The secret was taken out of its vault.
    pub fn remove(&mut self, human: HumanUid, name: &SecretName) {
        for grants in self.grants.values_mut() {
            grants.retain(|other, grant| other != name || grant.human != human);
        }
        self.tidy();
    }

    /// The secret has another value, which sessions get from now on. Those that were granted it for another use than
    /// `purpose` lose it: they would take it elsewhere.
    pub fn replace(&mut self, human: HumanUid, name: &SecretName, purpose: &SecretUse) {
        for grants in self.grants.values_mut() {
            grants.retain(|other, grant| {
                let concerned = other == name && grant.human == human;
                if concerned {
                    grant.blob = None;
                }
                !concerned || grant.purpose == *purpose
            });
        }
        self.tidy();
    }

    /// The session is over.
    pub fn end(&mut self, session: SessionId) {
        self.grants.remove(&session);
        self.tidy();
    }

    /// All sessions are over.
    pub fn end_all(&mut self) {
        self.grants.clear();
        self.drop_lease();
    }

    /// The host may do nothing from now on: the lease and all that lay under it are gone, and no other is made. Who has
    /// been granted what stays known. Says whether the TPM would still open a lease.
    pub fn withhold(&mut self) -> Outstanding {
        self.drop_lease();
        self.leave = Leave::Withheld;
        self.outstanding
    }

    /// The epoch went on: the TPM opens no lease that was made before.
    pub fn epoch_over(&mut self) {
        self.outstanding = Outstanding::No;
    }

    /// The host may act again.
    pub fn give_leave(&mut self) {
        self.leave = Leave::Given;
    }

    /// What is to be done though nobody waits; what is over goes.
    pub fn due(&mut self, now: Timestamp) -> Option<Due> {
        self.expire(now);
        if self.pause_end(now).is_some() {
            return None;
        }
        let lease = self.lease.as_ref()?;
        if now >= lease.made + HALF_LIFE && !self.grants.is_empty() {
            return Some(Due::Renew);
        }
        let refresh = lease.opened.as_ref().is_some_and(Opened::wanted_again);
        (refresh && now >= lease.refresh_at()?)
            .then(|| Due::Refresh(lease.generation, lease.sealed.clone()))
    }

    /// When something will be due or over.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let lease = self.lease.as_ref()?;
        let pause = self.pause_end(now).unwrap_or(now);
        let renew = (!self.grants.is_empty()).then(|| pause.max(lease.made + HALF_LIFE));
        let refresh = lease
            .opened
            .as_ref()
            .filter(|opened| opened.wanted_again())
            .and_then(|_| lease.refresh_at())
            .map(|at| pause.max(at));
        let close = lease.opened.as_ref().map(|opened| opened.since + OPEN_FOR);
        [Some(lease.until), renew, refresh, close]
            .into_iter()
            .flatten()
            .min()
    }

    /// The sessions' secrets that are under no lease.
    pub fn unsupplied(&self) -> Vec<(SessionId, SecretName, HumanUid, SecretUse)> {
        let all = self.grants.iter().flat_map(|(session, grants)| {
            grants
                .iter()
                .map(move |(name, grant)| (session, name, grant))
        });
        all.filter(|(_, _, grant)| grant.blob.is_none())
            .map(|(session, name, grant)| {
                let purpose = grant.purpose.clone();
                (*session, name.clone(), grant.human, purpose)
            })
            .collect()
    }

    /// Lets go of what is over. A clock that was set back ends it too: nobody knows then how old it is.
    fn expire(&mut self, now: Timestamp) {
        let Some(lease) = &mut self.lease else {
            return;
        };
        if now < lease.made || now >= lease.until {
            self.drop_lease();
            return;
        }
        let stale = |opened: &mut Opened| now < opened.since || now >= opened.since + OPEN_FOR;
        if lease.opened.as_mut().is_some_and(stale) {
            lease.opened = None;
        }
    }

    fn current(&mut self, generation: Generation) -> Option<&mut Lease> {
        let lease = self.lease.as_mut()?;
        (lease.generation == generation).then_some(lease)
    }

    fn drop_lease(&mut self) {
        self.lease = None;
        for grant in self.grants.values_mut().flat_map(BTreeMap::values_mut) {
            grant.blob = None;
        }
    }

    /// Without any grant there is nothing to hold a key for.
    fn tidy(&mut self) {
        self.grants.retain(|_, grants| !grants.is_empty());
        if self.grants.is_empty() {
            self.lease = None;
        }
    }

    fn pause_end(&self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was set back does not lengthen it.
        self.paused_until
            .filter(|end| now < *end && *end <= now + PAUSE)
    }
}

impl Lease {
    fn seal(
        &mut self,
        session: SessionId,
        name: &SecretName,
        value: &str,
    ) -> Result<Option<Blob>, CryptoError> {
        let Some(opened) = &self.opened else {
            return Ok(None);
        };
        let mut nonce = [0; NONCE];
        for (byte, count) in nonce.iter_mut().zip(self.boxes.to_be_bytes()) {
            *byte = count;
        }
        self.boxes += 1;
        let until = self.until;
        let context = blob_context(session, name, until);
        let sealed = opened.key.seal(nonce, &context, value.as_bytes())?;
        Ok(Some(Blob { sealed, until }))
    }

    fn refresh_at(&self) -> Option<Timestamp> {
        let opened = self.opened.as_ref()?;
        Some(opened.since + REFRESH_AFTER)
    }
}

impl Opened {
    fn wanted_again(&self) -> bool {
        self.used == Use::Some
    }
}

fn blob_context(session: SessionId, name: &SecretName, until: Timestamp) -> Vec<u8> {
    context(&[
        session.to_string().as_bytes(),
        name.as_str().as_bytes(),
        &until.as_millis().to_be_bytes(),
    ])
}

#[cfg(test)]
mod tests;
