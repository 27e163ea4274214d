//! The vaults' files and the TPM behind them: what job 3 asks for, out of what the broker has.
//!
//! It must never keep what the TPM has opened, and never name a file by anything but a uid.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use holdfast_attest_host::durable;
use holdfast_issue_credentials::vault::{
    Keep, Key, MAX_FILE, SealError, SealedLease, SealedRoot, Sealer, Urgency, Vaults,
};
use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrSelection};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::record::Record;
use holdfast_protocol::secret::Secret;
use holdfast_tpm::{
    LeaseKey, LeaseTerms, Priority, Provisioned, RecoveryCode, SealedVaultRoot, TpmError, VaultRoot,
};
use tonic::async_trait;
use zeroize::Zeroizing;

use crate::state_folder::{StateFolder, make_private};

/// The PCR that roots and leases are bound to: the state of Secure Boot (TCG PC Client Platform Firmware Profile §3.3.4).
const BOUND_TO: u8 = 7;

/// The banks that are tried, until the TPM has one: firmware fills SHA-256 nearly everywhere.
const BANKS: [HashAlg; 3] = [HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];

/// TPM_RC_INTEGRITY without its parameter's number (Part 2 §6.6.3): wrapped by another TPM's storage root key.
const INTEGRITY: u32 = 0x09f;

/// The vaults that are kept in `state`.
pub fn open(
    state: &StateFolder,
    tpm: Provisioned,
    record: Arc<dyn Record>,
    clock: Clock,
) -> anyhow::Result<Vaults> {
    let folder = state.join("vaults");
    make_private(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let pcr = PcrIndex::new(BOUND_TO).context("a TPM has no such PCR")?;
    Ok(Vaults::new(
        Arc::new(Files(folder)),
        Arc::new(TpmSealer {
            tpm,
            pcr,
            bank: AtomicUsize::new(0),
        }),
        record,
        clock,
    ))
}

/// One file per human.
struct Files(PathBuf);

impl Files {
    fn path(&self, human: HumanUid) -> PathBuf {
        self.0.join(format!("{}.json", human.0))
    }
}

impl Keep for Files {
    fn load(&self, human: HumanUid) -> std::io::Result<Option<Vec<u8>>> {
        // One byte more tells a file that is too large from one that just fits.
        durable::load(&self.path(human), MAX_FILE as u64 + 1)
    }

    fn replace(&self, human: HumanUid, bytes: &[u8]) -> std::io::Result<()> {
        durable::replace(&self.path(human), bytes)
    }
}

/// This host's TPM. Each vault has a root of its own, so that one human's recovery code opens no other's vault.
struct TpmSealer {
    tpm: Provisioned,
    pcr: PcrIndex,
    /// Which of [`BANKS`] is tried first: asking a TPM what it has would cost a command each time.
    bank: AtomicUsize,
}

impl TpmSealer {
    /// Seals to the PCR in the first bank that this TPM has.
    async fn in_a_bank<T, F>(&self, seal: impl Fn(PcrSelection) -> F) -> Result<T, TpmError>
    where
        F: Future<Output = Result<T, TpmError>>,
    {
        let known = self.bank.load(Ordering::Relaxed);
        let mut last = TpmError::Caller("there is no bank to seal to");
        for (at, bank) in BANKS.into_iter().enumerate().skip(known) {
            match seal(PcrSelection::of(bank, [self.pcr])).await {
                Err(error) if error.is_for_want_of_a_pcr() => last = error,
                done => {
                    self.bank.store(at, Ordering::Relaxed);
                    return done;
                }
            }
        }
        Err(last)
    }
}

#[async_trait]
impl Sealer for TpmSealer {
    async fn seal_root(&self, root: &Key) -> Result<(SealedRoot, Secret), SealError> {
        let root = VaultRoot::new(Zeroizing::new(*root.as_bytes()));
        let recovery = RecoveryCode::generate().map_err(failed)?;
        let shown = Secret::new(recovery.reveal());
        let sealing =
            self.in_a_bank(|pcrs| self.tpm.seal_vault_root(&root, pcrs, recovery.clone()));
        let sealed = sealing.await.map_err(failed)?;
        let sealed = serde_json::to_vec(&sealed).map_err(failed)?;
        let sealed =
            SealedRoot::new(sealed).ok_or_else(|| failed("what the TPM made is too long"))?;
        Ok((sealed, shown))
    }

    async fn open_root(&self, sealed: &SealedRoot) -> Result<Key, SealError> {
        // What somebody made of the file is no more this TPM's than what another TPM sealed.
        let sealed: SealedVaultRoot = serde_json::from_slice(sealed.as_bytes())
            .map_err(|error| SealError::Refused(error.into()))?;
        let root = self.tpm.unseal_vault_root(&sealed).await.map_err(blame)?;
        Ok(Key::new(Zeroizing::new(*root.as_bytes())))
    }

    async fn approve(&self, sealed: &SealedRoot, code: &Secret) -> Result<SealedRoot, SealError> {
        let code = RecoveryCode::parse(&code.expose()).map_err(|_| SealError::WrongCode)?;
        let sealed: SealedVaultRoot = serde_json::from_slice(sealed.as_bytes())
            .map_err(|error| SealError::Refused(error.into()))?;
        let values = self.tpm.tpm().read_pcrs(sealed.pcrs().clone());
        let values = values.await.map_err(failed)?;
        let approving = self.tpm.approve_vault_state(sealed, &values, code);
        let approved = approving.await.map_err(|error| {
            if matches!(error, TpmError::RecoveryWrong { .. }) {
                SealError::WrongCode
            } else {
                blame(error)
            }
        })?;
        let approved = serde_json::to_vec(&approved).map_err(failed)?;
        SealedRoot::new(approved).ok_or_else(|| failed("what the TPM made is too long"))
    }

    async fn make_lease(
        &self,
        key: &Key,
        lasts: Duration,
        urgency: Urgency,
    ) -> Result<SealedLease, SealError> {
        let clock = self.tpm.tpm().clock().await.map_err(failed)?;
        let lasts = u64::try_from(lasts.as_millis()).map_err(failed)?;
        let deadline_ms = clock.clock_ms.saturating_add(lasts);
        let key = LeaseKey::new(Zeroizing::new(*key.as_bytes()));
        let making = self.in_a_bank(|pcrs| {
            let terms = LeaseTerms { deadline_ms, pcrs };
            self.tpm.make_lease(terms, &key, priority(urgency))
        });
        let lease = making.await.map_err(failed)?;
        serde_json::to_vec(&lease).map(SealedLease).map_err(failed)
    }

    async fn open_lease(
        &self,
        SealedLease(lease): &SealedLease,
        urgency: Urgency,
    ) -> Result<Key, SealError> {
        let lease = serde_json::from_slice(lease).map_err(failed)?;
        let opening = self.tpm.unseal_lease(&lease, priority(urgency));
        let key = opening.await.map_err(blame)?;
        Ok(Key::new(Zeroizing::new(*key.as_bytes())))
    }
}

fn priority(urgency: Urgency) -> Priority {
    match urgency {
        Urgency::Waited => Priority::Interactive,
        Urgency::Background => Priority::Background,
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SealError {
    SealError::Failed(error.into())
}

/// Tells a TPM that says no from one that could not be asked.
fn blame(error: TpmError) -> SealError {
    let foreign = error
        .response_code()
        .is_some_and(|code| code.base().value() == INTEGRITY);
    if foreign || matches!(error, TpmError::PolicyRefused { .. }) {
        SealError::Refused(error.into())
    } else {
        failed(error)
    }
}
