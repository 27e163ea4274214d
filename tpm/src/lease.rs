//! Leases: a key that the TPM gives out only before a deadline, in this boot, in this revocation epoch, with these PCRs.
//!
//! The policy is computed in software and the TPM enforces it; this module never judges whether a lease still holds, and
//! keeps no opened key.

use holdfast_proof::policy::{Operation, PolicyDigest};
use holdfast_proof::tpm::{ClockInfo, HashAlg, PcrSelection, TimeField, pcr_digest};
use holdfast_protocol::Sha256Digest;
use serde::{Deserialize, Serialize};
use tss_esapi::handles::{KeyHandle, NvIndexHandle};
use tss_esapi::interface_types::ArithmeticComparison;
use tss_esapi::interface_types::reserved_handles::NvAuth;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::SensitiveData;
use zeroize::Zeroizing;

use crate::engine::{self, Cipher, Engine, Session, pcr_selection, policy_operand, sha256};
use crate::error::{At as _, ResponseCode, TpmError};
use crate::provision::Provisioned;
use crate::queue::Priority;
use crate::state::{CounterRole, KeyBlob, TpmState};
use crate::templates;

/// The 256-bit key that a lease holds; zeroized when dropped, never printed.
pub struct LeaseKey(Zeroizing<[u8; 32]>);

impl LeaseKey {
    /// Takes over a key.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeaseKey(..)")
    }
}

/// How long, and in which software state, a lease shall hold. Boot and revocation epoch are those of the moment it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The TPM refuses from here on: milliseconds of the TPM's clock, which counts powered time only.
    pub deadline_ms: u64,
    /// PCRs that must stay as they are: those that do not change after boot, so never 10.
    pub pcrs: PcrSelection,
}

/// A lease, sealed: what is kept. Worthless after its deadline, on another TPM, after a restart or a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedLease {
    blob: KeyBlob,
    conditions: Conditions,
}

/// All that must hold for a lease to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conditions {
    deadline_ms: u64,
    reset_count: u32,
    restart_count: u32,
    epoch: u64,
    pcrs: PcrSelection,
    pcr_digest: Sha256Digest,
}

impl SealedLease {
    /// When it ends, in milliseconds of the TPM's clock.
    pub fn deadline_ms(&self) -> u64 {
        self.conditions.deadline_ms
    }

    /// The revocation epoch it belongs to.
    pub fn epoch(&self) -> u64 {
        self.conditions.epoch
    }

    /// Whether the TPM would refuse it already by this clock: a hint that saves commands, never the enforcement.
    pub fn is_over(&self, clock: &ClockInfo) -> bool {
        clock.clock_ms >= self.conditions.deadline_ms
            || clock.reset_count != self.conditions.reset_count
            || clock.restart_count != self.conditions.restart_count
    }
}

impl Provisioned {
    /// Seals `key` under `terms`. 5 commands for up to 8 PCRs, 7 for all 24.
    ///
    /// # Errors
    /// [`TpmError::Caller`] for a deadline that has passed or PCR 10, which changes with every program that runs.
    pub async fn make_lease(
        &self,
        terms: LeaseTerms,
        key: &LeaseKey,
        priority: Priority,
    ) -> Result<SealedLease, TpmError> {
        if terms.pcrs.iter().any(|(_, index)| index.get() == 10) {
            return Err(TpmError::Caller(
                "a lease cannot be bound to PCR 10, which changes all the time",
            ));
        }
        let state = self.shared_state();
        let key = LeaseKey(key.0.clone());
        self.tpm()
            .run(priority, move |engine| {
                engine.make_lease(&state, &terms, &key)
            })
            .await
    }

    /// Opens a lease. 9 commands; 6 more each time that PCRs change in between, at most twice.
    ///
    /// # Errors
    /// [`TpmError::PolicyRefused`] once it is over: code 0x126 (deadline, restart or epoch), or 0x1c4 or 0x99d (PCRs).
    pub async fn unseal_lease(
        &self,
        lease: &SealedLease,
        priority: Priority,
    ) -> Result<LeaseKey, TpmError> {
        let (state, lease) = (self.shared_state(), lease.clone());
        self.tpm()
            .run(priority, move |engine| engine.unseal_lease(&state, &lease))
            .await
    }
}

impl Engine {
    fn make_lease(
        &mut self,
        state: &TpmState,
        terms: &LeaseTerms,
        key: &LeaseKey,
    ) -> Result<SealedLease, TpmError> {
        let srk = self.srk(state)?;
        let clock = self.clock()?;
        if terms.deadline_ms <= clock.clock_ms {
            return Err(TpmError::Caller("the deadline of the lease has passed"));
        }
        let epoch = self.read_counter(state, CounterRole::Epoch)?;
        let values = self.read_pcrs(&terms.pcrs)?;
        let pcrs = pcr_digest(HashAlg::Sha256, &terms.pcrs, &values)?;
        let pcrs = sha256(&pcrs).ok_or(TpmError::Caller("a PCR digest is a SHA-256 digest"))?;
        let data = SensitiveData::from_bytes(key.as_bytes()).at("TPM2_Create")?;
        let conditions = Conditions {
            deadline_ms: terms.deadline_ms,
            reset_count: clock.reset_count,
            restart_count: clock.restart_count,
            epoch,
            pcrs: terms.pcrs.clone(),
            pcr_digest: pcrs,
        };
        let template = templates::sealed(&conditions.policy(state)).at("TPM2_Create")?;
        Ok(SealedLease {
            blob: self.create_secret(srk, template, None, Some(data))?,
            conditions,
        })
    }

    fn unseal_lease(
        &mut self,
        state: &TpmState,
        lease: &SealedLease,
    ) -> Result<LeaseKey, TpmError> {
        let srk = self.srk(state)?;
        let epoch = self.counter(state, CounterRole::Epoch)?;
        self.with_loaded(srk, &lease.blob, |engine, object| {
            engine.with_policy_session(srk, |engine, session| {
                engine.encrypt(session, Cipher::Response)?;
                engine.unseal_while_pcrs_change(session, object, epoch, &lease.conditions)
            })
        })
    }

    fn unseal_while_pcrs_change(
        &mut self,
        session: &mut Session,
        object: KeyHandle,
        epoch: NvIndexHandle,
        conditions: &Conditions,
    ) -> Result<LeaseKey, TpmError> {
        /// Any PCR that changes between PolicyPCR and Unseal spoils the session, even one that the policy does not name.
        const ATTEMPTS: usize = 3;
        let mut attempt = 1;
        loop {
            let result = self
                .satisfy_lease(session, epoch, conditions)
                .and_then(|()| self.unseal(session, object))
                .map(LeaseKey);
            match result {
                Err(TpmError::PolicyRefused { rc, .. })
                    if rc == ResponseCode::PCR_CHANGED && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    let policy = session.policy()?;
                    self.context
                        .execute_without_session(|context| context.policy_restart(policy))
                        .at("TPM2_PolicyRestart")?;
                }
                other => return other,
            }
        }
    }

    /// The policy of [`Conditions::policy`], in the same order. PolicyPCR is last, so that little time is left for PCRs to change.
    fn satisfy_lease(
        &mut self,
        session: &Session,
        epoch_index: NvIndexHandle,
        conditions: &Conditions,
    ) -> Result<(), TpmError> {
        let policy = session.policy()?;
        let (deadline, counts, epoch) = conditions.operands();
        for (operand, field, operation) in [
            (deadline, TimeField::Clock, ArithmeticComparison::UnsignedLt),
            (counts, TimeField::ResetCount, ArithmeticComparison::Eq),
        ] {
            let operand = policy_operand(&operand)?;
            self.context
                .execute_without_session(|context| {
                    context.policy_counter_timer(policy, operand, field.offset(), operation)
                })
                .at("TPM2_PolicyCounterTimer")?;
        }
        let operand = policy_operand(&epoch)?;
        self.context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.policy_nv(
                    policy,
                    NvAuth::NvIndex(epoch_index),
                    epoch_index,
                    operand,
                    0,
                    ArithmeticComparison::Eq,
                )
            })
            .at("TPM2_PolicyNV")?;
        if conditions.pcrs.is_empty() {
            return Ok(());
        }
        let selection = pcr_selection(&conditions.pcrs)?;
        let digest = engine::digest(&conditions.pcr_digest);
        self.context
            .execute_without_session(|context| context.policy_pcr(policy, digest, selection))
            .at("TPM2_PolicyPCR")
            .map_err(pcr_refusal)
    }
}

impl Conditions {
    /// The policy that a TPM enforces; resetCount and restartCount are neighbors in TPMS_TIME_INFO and compared at once.
    fn policy(&self, state: &TpmState) -> Sha256Digest {
        let (deadline, counts, epoch) = self.operands();
        let index = state.counter(CounterRole::Epoch).name();
        let policy = PolicyDigest::new()
            .policy_counter_timer(&deadline, TimeField::Clock.offset(), Operation::UnsignedLt)
            .policy_counter_timer(&counts, TimeField::ResetCount.offset(), Operation::Eq)
            .policy_nv(&index, &epoch, 0, Operation::Eq);
        if self.pcrs.is_empty() {
            return policy.digest();
        }
        policy.policy_pcr(&self.pcrs, &self.pcr_digest).digest()
    }

    /// The deadline, resetCount ‖ restartCount, and the epoch, as the TPM compares them.
    fn operands(&self) -> ([u8; 8], [u8; 8], [u8; 8]) {
        let counts = u64::from(self.reset_count) << 32 | u64::from(self.restart_count);
        (
            self.deadline_ms.to_be_bytes(),
            counts.to_be_bytes(),
            self.epoch.to_be_bytes(),
        )
    }
}

/// TPM2_PolicyPCR says TPM_RC_VALUE where the PCRs are not those of the digest: that is a policy that does not hold.
pub(crate) fn pcr_refusal(error: TpmError) -> TpmError {
    error.blame(|command, rc| {
        (rc.base() == ResponseCode::VALUE).then_some(TpmError::PolicyRefused { command, rc })
    })
}
