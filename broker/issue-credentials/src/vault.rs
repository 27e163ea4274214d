//! Long-lived secrets at rest, and leases as the only way out of it.
//!
//! Each human has a vault: one file, under a key that needs this TPM and, where the human has a keyring, a share from
//! there. What a session is granted the use of lies in memory under a lease of the TPM, one hour at most, and is opened
//! for one use at a time ([`Reveal`]). Every act is recorded before it is done. This module must never write an opened
//! secret, and never give one to a session: a session gets a placeholder.

mod ambient;
mod error;
mod file;
mod human;
mod key;
mod lease;
mod seal;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::record::Record;
use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::{
    NewVault, SecretName, SecretUse, Sharing, VaultListing, VaultState,
};
use holdfast_protocol::words::with_causes;
use tokio_util::sync::CancellationToken;
use tonic::async_trait;
use zeroize::Zeroizing;

use self::ambient::{random, random_key};
use self::human::{Human, check_value};
use self::lease::state::Look;
pub use self::lease::state::Outstanding;
use self::lease::{Lessor, Worked};
use self::state::{Share, Vault, VaultKey};
use crate::grant::{Granted, NotRevealed, Placeholder, Reveal};

pub use self::error::VaultError;
pub use self::file::{FileError, MAX_FILE, MAX_SECRETS, SealedRoot};
pub use self::key::{CryptoError, Key};
pub use self::lease::LeaseError;
pub use self::seal::{Keep, SealError, SealedLease, Sealer, Urgency};
pub use self::state::{InvalidShare, StateError};

/// How many steps a secret can be away: the lease's key, the value, and each once more if it was lost meanwhile.
const STEPS: usize = 6;

/// The vaults of this host's humans. Clones are the same.
#[derive(Clone)]
pub struct Vaults(Arc<Shared>);

struct Shared {
    keep: Arc<dyn Keep>,
    sealer: Arc<dyn Sealer>,
    record: Arc<dyn Record>,
    humans: Mutex<BTreeMap<u32, Arc<Human>>>,
    lessor: Lessor,
    clock: Clock,
}

impl Vaults {
    /// The vaults whose files `keep` has, whose keys `sealer` seals, and whose acts `record` keeps; their leases end by
    /// `clock`, and by the TPM's.
    pub fn new(
        keep: Arc<dyn Keep>,
        sealer: Arc<dyn Sealer>,
        record: Arc<dyn Record>,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Shared {
            lessor: Lessor::new(Arc::clone(&sealer), clock.clone()),
            clock,
            keep,
            sealer,
            record,
            humans: Mutex::default(),
        }))
    }

    /// What is told of a human's vault. One whose file cannot be read is locked, and nothing is told of it.
    pub fn listing(&self, human: HumanUid) -> VaultListing {
        self.untry_listing(&self.human(human))
            .unwrap_or_else(|error| {
                tracing::warn!(
                    uid = human.0,
                    error = &error as &dyn std::error::Error,
                    "a vault is unreadable"
                );
                VaultListing {
                    state: VaultState::Locked,
                    secrets: Vec::new(),
                }
            })
    }

    /// As [`Vaults::listing`], for the human, who has to hear what is wrong: where the vault is open, each secret has
    /// opened under the name and use that are listed.
    ///
    /// # Errors
    /// [`VaultError::File`], [`VaultError::Io`], or [`StateError::Damaged`].
    pub fn try_listing(&self, human: HumanUid) -> Result<VaultListing, VaultError> {
        let of = self.human(human);
        if let (Some(vault), Some(key)) = (of.vault(&*self.0.keep)?, of.key()) {
            vault.check(&key)?;
        }
        self.untry_listing(&of)
    }

    fn untry_listing(&self, of: &Human) -> Result<VaultListing, VaultError> {
        let vault = of.vault(&*self.0.keep)?;
        let state = match vault.as_ref().map(|vault| vault.sharing()) {
            None => VaultState::None,
            // It opens by itself.
            Some(Sharing::Headless) => VaultState::Open {
                sharing: Sharing::Headless,
            },
            Some(Sharing::Keyring) if of.key().is_some() => VaultState::Open {
                sharing: Sharing::Keyring,
            },
            Some(Sharing::Keyring) => VaultState::Locked,
        };
        Ok(VaultListing {
            state,
            secrets: vault.map(|vault| vault.summaries()).unwrap_or_default(),
        })
    }

    /// Makes a human's vault, and opens it. Gives the code that lets it open after this machine's software has changed.
    ///
    /// # Errors
    /// [`VaultError`]; there is no vault then.
    pub async fn make(&self, human: HumanUid, how: NewVault) -> Result<Secret, VaultError> {
        let (sharing, share) = match &how {
            NewVault::Keyring { share } => (Sharing::Keyring, Some(Share::read(share)?)),
            NewVault::Headless => (Sharing::Headless, None),
        };
        let of = self.human(human);
        let _alone = of.change.lock().await;
        if of.vault(&*self.0.keep)?.is_some() {
            return Err(VaultError::Exists);
        }
        let root = random_key()?;
        let key = VaultKey::derive(&root, share.as_ref(), human)?;
        self.record(What::VaultMade { human, sharing }).await?;
        let (sealed, recovery) = self.0.sealer.seal_root(&root).await?;
        let vault = Vault::new(human, sharing, sealed, &key, random()?)?;
        of.keep(&*self.0.keep, vault)?;
        of.hold(key);
        Ok(recovery)
    }

    /// Opens a human's vault with the share of their keyring, until the broker stops.
    ///
    /// # Errors
    /// [`VaultError::WrongShare`], and others; the vault is as open as it was.
    pub async fn open(&self, human: HumanUid, share: &Secret) -> Result<(), VaultError> {
        let share = Share::read(share)?;
        let of = self.human(human);
        let _alone = of.change.lock().await;
        let vault = of.vault(&*self.0.keep)?.ok_or(VaultError::NoVault)?;
        match vault.sharing() {
            Sharing::Headless => Err(VaultError::Shareless),
            Sharing::Keyring => self.unseal(&of, &vault, Some(&share)).await.map(drop),
        }
    }

    /// Lets a human's vault open under this machine's present software too, by the code that [`Vaults::make`] gave.
    ///
    /// # Errors
    /// [`VaultError`]; the vault is as it was.
    pub async fn recover(&self, human: HumanUid, code: &Secret) -> Result<(), VaultError> {
        let of = self.human(human);
        let _alone = of.change.lock().await;
        let vault = of.vault(&*self.0.keep)?.ok_or(VaultError::NoVault)?;
        self.record(What::VaultRecovered { human }).await?;
        let root = self.0.sealer.approve(vault.root(), code).await?;
        of.keep(&*self.0.keep, vault.with_root(root))
    }

    /// Puts a secret into a human's vault, instead of one of the same name. Sessions that have the use of that one go
    /// on with the new value; where its use is another, they lose it.
    ///
    /// # Errors
    /// [`VaultError`]; the vault is as it was.
    pub async fn keep(
        &self,
        human: HumanUid,
        name: SecretName,
        purpose: SecretUse,
        value: &Secret,
    ) -> Result<(), VaultError> {
        let value = value.expose();
        check_value(&value)?;
        let of = self.human(human);
        let _alone = of.change.lock().await;
        let (vault, key) = self.opened(&of).await?;
        let entry = (name.clone(), purpose.clone());
        let next = vault.with(&key, entry, self.0.clock.now(), &value, random()?)?;
        next.write()?;
        self.record(What::SecretKept {
            human,
            name: name.clone(),
            purpose: purpose.clone(),
        })
        .await?;
        of.keep(&*self.0.keep, next)?;
        let lessor = &self.0.lessor;
        lessor.with(|leases, _| leases.replace(human, &name, &purpose));
        Ok(())
    }

    /// Takes a secret out of a human's vault, and from every session that has the use of it.
    ///
    /// # Errors
    /// [`VaultError`]. Once it is on record, the sessions have lost it, even if the file could not be written.
    pub async fn remove(&self, human: HumanUid, name: &SecretName) -> Result<(), VaultError> {
        let of = self.human(human);
        let _alone = of.change.lock().await;
        let vault = of.vault(&*self.0.keep)?.ok_or(VaultError::NoVault)?;
        let next = vault.without(name)?;
        self.record(What::SecretRemoved {
            human,
            name: name.clone(),
        })
        .await?;
        let lessor = &self.0.lessor;
        lessor.with(|leases, _| leases.remove(human, name));
        of.keep(&*self.0.keep, next)
    }

    /// Gives `session` the use of those of `human`'s secrets: a random placeholder for each, recorded first.
    ///
    /// # Errors
    /// [`VaultError`]; the session has the use of none of them then.
    pub async fn grant(
        &self,
        session: SessionId,
        human: HumanUid,
        names: &[SecretName],
    ) -> Result<Vec<Granted>, VaultError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let of = self.human(human);
        let _alone = of.change.lock().await;
        let (vault, key) = self.opened(&of).await?;
        let mut granted = Vec::new();
        for name in names {
            let purpose = vault.purpose(name)?.clone();
            let value = vault.open(&key, name, &purpose)?;
            let placeholder = Placeholder::from_random(random()?);
            let name = name.clone();
            let granting = Granted {
                name,
                purpose,
                placeholder,
            };
            granted.push((granting, value));
        }
        let until = self.0.lessor.key(Urgency::Waited).await?;
        for (Granted { name, .. }, _) in &granted {
            let name = name.clone();
            self.record(What::SecretLeased {
                session,
                name,
                until,
            })
            .await?;
        }
        self.0.lessor.with(|leases, now| {
            granted
                .into_iter()
                .map(|(granted, value)| {
                    let name = granted.name.clone();
                    let of = (human, granted.purpose.clone());
                    leases.grant(session, name, of, &value, now)?;
                    Ok(granted)
                })
                .collect()
        })
    }

    /// Destroys what the session has the use of.
    pub fn end(&self, session: SessionId) {
        self.0.lessor.with(|leases, _| leases.end(session));
    }

    /// The host may do nothing from now on: leases are gone and none is made; sessions keep their grants and get nothing
    /// by them. Says whether the TPM would still open a lease.
    pub fn withhold(&self) -> Outstanding {
        self.0.lessor.with(|leases, _| leases.withhold())
    }

    /// Forgets the vaults' opened keys: those with a share in a keyring are locked.
    pub fn forget_keys(&self) {
        self.humans().clear();
    }

    /// The epoch of revocation went on: no lease from before opens any more.
    pub fn epoch_over(&self) {
        self.0.lessor.with(|leases, _| leases.epoch_over());
    }

    /// The host may act again: leases are made anew, out of the vaults.
    pub fn give_leave(&self) {
        self.0.lessor.with(|leases, _| leases.give_leave());
    }

    /// Renews leases, and lets go of keys in time, until `stop`; then of everything.
    pub async fn run(&self, stop: CancellationToken) {
        let lessor = &self.0.lessor;
        let work = async {
            loop {
                if lessor.work().await == Worked::Renewed {
                    self.supply_all().await;
                }
                lessor.rest().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        lessor.with(|leases, _| leases.end_all());
        self.forget_keys();
    }

    /// Puts all that sessions have the use of under the present lease, from the vaults.
    async fn supply_all(&self) {
        for (session, name, human, purpose) in self.0.lessor.with(|leases, _| leases.unsupplied()) {
            if let Err(error) = self.supply(session, &name, human, &purpose).await {
                // It is tried again when the session wants it.
                tracing::warn!(%session, %name, error = &error as &dyn std::error::Error, "a lease is not renewed");
            }
        }
    }

    async fn supply(
        &self,
        session: SessionId,
        name: &SecretName,
        human: HumanUid,
        purpose: &SecretUse,
    ) -> Result<(), VaultError> {
        let of = self.human(human);
        // Held until it is supplied, so that what is replaced or removed meanwhile does not come back.
        let _alone = of.change.lock().await;
        let (vault, key) = self.opened(&of).await?;
        let value = vault.open(&key, name, purpose)?;
        let lessor = &self.0.lessor;
        lessor.with(|leases, now| leases.supply(session, name, &value, now))?;
        Ok(())
    }

    /// A human's vault and its key; a headless one is opened for it. The caller holds [`Human::change`].
    async fn opened(&self, of: &Human) -> Result<(Arc<Vault>, Arc<VaultKey>), VaultError> {
        let vault = of.vault(&*self.0.keep)?.ok_or(VaultError::NoVault)?;
        if let Some(key) = of.key() {
            return Ok((vault, key));
        }
        match vault.sharing() {
            Sharing::Keyring => Err(VaultError::Locked),
            Sharing::Headless => {
                let key = self.unseal(of, &vault, None).await?;
                Ok((vault, key))
            }
        }
    }

    async fn unseal(
        &self,
        of: &Human,
        vault: &Vault,
        share: Option<&Share>,
    ) -> Result<Arc<VaultKey>, VaultError> {
        let human = of.uid;
        self.record(What::VaultOpened { human }).await?;
        let root = self.0.sealer.open_root(vault.root()).await?;
        let key = VaultKey::derive(&root, share, human)?;
        match (vault.fits(&key), share) {
            (true, _) => Ok(of.hold(key)),
            (false, Some(_)) => Err(VaultError::WrongShare),
            (false, None) => Err(VaultError::Damaged),
        }
    }

    async fn record(&self, what: What) -> Result<(), VaultError> {
        Ok(self.0.record.record(what).await?)
    }

    fn human(&self, uid: HumanUid) -> Arc<Human> {
        let mut humans = self.humans();
        let human = humans
            .entry(uid.0)
            .or_insert_with(|| Arc::new(Human::new(uid)));
        Arc::clone(human)
    }

    fn humans(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Arc<Human>>> {
        self.0.humans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Reveal for Vaults {
    async fn reveal(
        &self,
        session: SessionId,
        name: &SecretName,
    ) -> Result<Zeroizing<String>, NotRevealed> {
        let over = |why: &dyn std::error::Error| NotRevealed::Over {
            name: name.clone(),
            why: with_causes(why),
        };
        let lessor = &self.0.lessor;
        for _ in 0..STEPS {
            match lessor.with(|leases, now| leases.look(session, name, now)) {
                Look::Ready(value) => return Ok(value),
                Look::NotGranted => return Err(NotRevealed::NotGranted(name.clone())),
                Look::NeedKey => lessor
                    .key(Urgency::Waited)
                    .await
                    .map(drop)
                    .map_err(|error| over(&error))?,
                Look::NeedValue { human, purpose } => self
                    .supply(session, name, human, &purpose)
                    .await
                    .map_err(|error| over(&error))?,
            }
        }
        Err(over(&LeaseError::TakenBack))
    }
}

#[cfg(test)]
mod tests;
