//! Each human's approval key: in the TPM, behind a PIN that the TPM counts wrong guesses at.
//!
//! What is kept here approves nothing without the PIN, and the PIN is never kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use data_encoding::HEXLOWER;
use holdfast_attest_host::durable;
use holdfast_authorize_calls::task::ApprovalKeys;
use holdfast_proof::hash::sha256;
use holdfast_proof::receipt::consent_digest;
use holdfast_proof::tpm::{EccPublicKey, PublicKey};
use holdfast_protocol::approval::PinRecovery;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::receipt::{Consent, ConsentProof};
use holdfast_protocol::record::{NotRecorded, Record};
use holdfast_protocol::secret::Secret;
use holdfast_tpm::{
    ApproverSlot, ApproverState, InvalidPin, Pin, Provisioned, RecoveryCode, TpmError,
};
use serde::{Deserialize, Serialize};

/// The largest file that is read: 64 humans.
const MAX_FILE: u64 = 512 * 1024;

/// The approval keys of this host's humans. Clones are the same.
#[derive(Clone)]
pub struct Approvers(Arc<Shared>);

struct Shared {
    path: PathBuf,
    tpm: Provisioned,
    record: Arc<dyn Record>,
    enrolled: RwLock<BTreeMap<u32, Enrolled>>,
    /// One enrollment at a time: each takes the first free slot.
    enrolling: tokio::sync::Mutex<()>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolled {
    slot: ApproverSlot,
    state: ApproverState,
}

/// An approval key could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ApproverError {
    /// The caller's PIN cannot be one.
    #[error(transparent)]
    Pin(#[from] InvalidPin),
    /// The caller has a key already.
    #[error("you have an approval key already")]
    Enrolled,
    /// The caller has none.
    #[error("you have no approval key")]
    NotEnrolled,
    /// The caller's code is not that of their key.
    #[error("the recovery code is not the one of your approval key")]
    Code,
    /// Environment: every place for a key is taken.
    #[error("this host has no place for another approval key")]
    Full,
    /// Environment, or a wrong PIN.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// Environment: what was done cannot be recorded.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// Environment: the key cannot be kept.
    #[error("the approval key cannot be kept")]
    Io(#[source] std::io::Error),
    /// Us: a value has no canonical form.
    #[error("the consent has no canonical form")]
    Form,
}

impl Approvers {
    /// The keys that are kept at `path`.
    pub fn open(path: PathBuf, tpm: Provisioned, record: Arc<dyn Record>) -> anyhow::Result<Self> {
        let enrolled = RwLock::new(load(&path)?);
        Ok(Self(Arc::new(Shared {
            path,
            tpm,
            record,
            enrolled,
            enrolling: tokio::sync::Mutex::new(()),
        })))
    }

    /// Makes an approval key for `human` behind `pin`; gives the code that unlocks the PIN.
    pub async fn enroll(&self, human: HumanUid, pin: &Secret) -> Result<Secret, ApproverError> {
        let pin = Pin::new(pin.expose())?;
        let _alone = self.0.enrolling.lock().await;
        let slot = {
            let enrolled = self
                .0
                .enrolled
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if enrolled.contains_key(&human.0) {
                return Err(ApproverError::Enrolled);
            }
            (0..ApproverSlot::COUNT)
                .filter_map(ApproverSlot::new)
                .find(|slot| enrolled.values().all(|other| other.slot != *slot))
                .ok_or(ApproverError::Full)?
        };
        let recovery = RecoveryCode::generate()?;
        let shown = Secret::new(recovery.reveal());
        let state = self.0.tpm.enroll_approver(slot, pin, recovery).await?;
        match self
            .keep(
                human,
                Enrolled {
                    slot,
                    state: state.clone(),
                },
            )
            .await
        {
            Ok(()) => Ok(shown),
            Err(error) => {
                // What is not on record must not be able to approve.
                self.0.tpm.remove_approver(state).await?;
                Err(error)
            }
        }
    }

    /// Unlocks a human's approval key, or gives it up, by the code that [`Approvers::enroll`] gave. Without the code nobody
    /// does either: whoever could take the key away could put one of their own in its place.
    pub async fn recover(
        &self,
        human: HumanUid,
        code: &Secret,
        act: PinRecovery,
    ) -> Result<(), ApproverError> {
        let code = RecoveryCode::parse(&code.expose()).map_err(|_| ApproverError::Code)?;
        let _alone = self.0.enrolling.lock().await;
        let state = self.state(human).ok_or(ApproverError::NotEnrolled)?;
        self.0
            .record
            .record(What::FactorRecovered { human, act })
            .await?;
        self.0
            .tpm
            .reset_pin_failures(&state, code)
            .await
            .map_err(|error| {
                if matches!(error, TpmError::RecoveryWrong { .. }) {
                    ApproverError::Code
                } else {
                    error.into()
                }
            })?;
        match act {
            PinRecovery::Unlock => Ok(()),
            PinRecovery::Remove => {
                self.0.tpm.remove_approver(state).await?;
                let mut next = self.all();
                next.remove(&human.0);
                self.replace(next)
            }
        }
    }

    async fn keep(&self, human: HumanUid, new: Enrolled) -> Result<(), ApproverError> {
        let spki = approval_key(&new.state)
            .map(PublicKey::Ecc)
            .map(|key| key.to_spki_der());
        self.0
            .record
            .record(What::FactorEnrolled {
                human,
                key: sha256(&spki.unwrap_or_default()),
            })
            .await?;
        let mut next = self.all();
        next.insert(human.0, new);
        self.replace(next)
    }

    fn all(&self) -> BTreeMap<u32, Enrolled> {
        let enrolled = self.0.enrolled.read();
        enrolled.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps these keys and no others.
    fn replace(&self, next: BTreeMap<u32, Enrolled>) -> Result<(), ApproverError> {
        let text = serde_json::to_vec_pretty(&next).map_err(|_| ApproverError::Form)?;
        durable::replace(&self.0.path, &text).map_err(ApproverError::Io)?;
        *self
            .0
            .enrolled
            .write()
            .unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Has the TPM sign `consent` and nothing else, if the PIN is right.
    pub async fn prove(
        &self,
        human: HumanUid,
        pin: &Secret,
        consent: &Consent,
    ) -> Result<ConsentProof, ApproverError> {
        let pin = Pin::new(pin.expose())?;
        let state = self.state(human).ok_or(ApproverError::NotEnrolled)?;
        let digest = consent_digest(consent).map_err(|_| ApproverError::Form)?;
        let signature = self.0.tpm.approve(&state, pin, digest).await?;
        let key = approval_key(&state).ok_or(ApproverError::NotEnrolled)?;
        Ok(ConsentProof::TpmPin {
            public_key: HEXLOWER.encode(&PublicKey::Ecc(key).to_spki_der()),
            signature: HEXLOWER.encode(&signature.to_x509()),
        })
    }

    fn state(&self, human: HumanUid) -> Option<ApproverState> {
        self.0
            .enrolled
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&human.0)
            .map(|enrolled| enrolled.state.clone())
    }
}

impl ApprovalKeys for Approvers {
    fn approval_key(&self, human: HumanUid) -> Option<EccPublicKey> {
        self.state(human).as_ref().and_then(approval_key)
    }
}

fn approval_key(state: &ApproverState) -> Option<EccPublicKey> {
    match state.public().key()? {
        PublicKey::Ecc(key) => Some(key),
        PublicKey::Rsa(_) => None,
    }
}

fn load(path: &Path) -> anyhow::Result<BTreeMap<u32, Enrolled>> {
    let kept = durable::load(path, MAX_FILE)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    let Some(text) = kept else {
        return Ok(BTreeMap::new());
    };
    serde_json::from_slice(&text)
        .with_context(|| format!("`{}` does not hold approval keys", path.display()))
}
