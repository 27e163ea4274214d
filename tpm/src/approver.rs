//! Approval by PIN: a key of one human that signs exactly the digest that the PIN was given for.
//!
//! The key's policy is `PolicySecret(PIN index) ∧ PolicyAuthValue`. Only the recovery code can write the index, so that an
//! owner who deletes and defines it again cannot make it usable: its name differs until it is written. The PIN never passes in
//! the clear, and its failures never count toward the TPM's lockout.

use holdfast_proof::policy::{CommandCode, PolicyDigest, cp_hash};
use holdfast_proof::tpm::{HashAlg, NvAttributes, NvIndexType, NvPublic, Public, Signature};
use holdfast_protocol::Sha256Digest;
use serde::{Deserialize, Serialize};
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexHandle, ObjectHandle};
use tss_esapi::interface_types::reserved_handles::{NvAuth, Provision};
use tss_esapi::structures::{
    Auth, Digest as EsapiDigest, MaxNvBuffer, Nonce, SensitiveData, SignatureScheme,
};

use crate::config::Hierarchy;
use crate::engine::{self, Cipher, Engine, Session};
use crate::error::{At as _, ResponseCode, TpmError};
use crate::pin::{Pin, PinFailures, RecoveryCode};
use crate::places::ApproverSlot;
use crate::provision::{Provisioned, nv_definition, written};
use crate::queue::Priority;
use crate::state::{KeyBlob, TpmState};
use crate::templates;

/// One human's approval key, PIN index and recovery object: what is kept. None of it approves anything without the PIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproverState {
    key: KeyBlob,
    pin_index: NvPublic,
    recovery: KeyBlob,
}

impl ApproverState {
    /// The public key that receipts verify with.
    pub fn public(&self) -> &Public {
        self.key.public()
    }

    /// The approval key, for [`Provisioned::certify_key`].
    pub fn key(&self) -> &KeyBlob {
        &self.key
    }

    /// The PIN index as it is once written; its name is in the key's policy.
    pub fn pin_index(&self) -> &NvPublic {
        &self.pin_index
    }

    /// The authPolicy that an approval key with this PIN index must have; a verifier compares it with [`Self::public`].
    pub fn policy(pin_index: &NvPublic) -> Sha256Digest {
        PolicyDigest::new()
            .policy_secret(&pin_index.name(), b"")
            .policy_auth_value()
            .digest()
    }
}

impl Provisioned {
    /// Makes an approval key for one human, at a free slot.
    ///
    /// # Errors
    /// [`TpmError::Caller`] if the slot is taken.
    pub async fn enroll_approver(
        &self,
        slot: ApproverSlot,
        pin: Pin,
        recovery: RecoveryCode,
    ) -> Result<ApproverState, TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                engine.enroll_approver(&state, slot, &pin, &recovery)
            })
            .await
    }

    /// Signs `digest`, and nothing else, if the PIN is right. 8 commands.
    ///
    /// # Errors
    /// [`TpmError::PinWrong`], counted; [`TpmError::PinLocked`] after [`PinFailures::LIMIT`] of them;
    /// [`TpmError::Changed`] if the PIN index was replaced.
    pub async fn approve(
        &self,
        approver: &ApproverState,
        pin: Pin,
        digest: Sha256Digest,
    ) -> Result<Signature, TpmError> {
        let (state, approver) = (self.shared_state(), approver.clone());
        self.tpm()
            .run(Priority::Approval, move |engine| {
                engine.approve(&state, &approver, &pin, &digest)
            })
            .await
    }

    /// How often the PIN was wrong in a row; read by the owner, so that looking costs no attempt. 1 command.
    ///
    /// # Errors
    /// [`TpmError::Changed`] if the PIN index was replaced.
    pub async fn pin_failures(&self, approver: &ApproverState) -> Result<PinFailures, TpmError> {
        let (state, area) = (self.shared_state(), approver.pin_index.clone());
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                let srk = engine.srk(&state)?;
                let index = engine.pin_index(&area)?;
                let owner = Hierarchy::Owner;
                let counters =
                    engine.with_hierarchy(owner, Some(srk), "TPM2_NV_Read", |engine| {
                        engine.context.nv_read(NvAuth::Owner, index, 8, 0)
                    })?;
                PinFailures::parse(counters.as_bytes()).ok_or(TpmError::Unsupported {
                    what: "a PIN index does not have 8 bytes",
                })
            })
            .await
    }

    /// Unlocks the PIN with the recovery code.
    ///
    /// # Errors
    /// [`TpmError::RecoveryWrong`]; [`TpmError::Changed`] if the PIN index was replaced.
    pub async fn reset_pin_failures(
        &self,
        approver: &ApproverState,
        recovery: RecoveryCode,
    ) -> Result<(), TpmError> {
        let (state, approver) = (self.shared_state(), approver.clone());
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                let srk = engine.srk(&state)?;
                let index = engine.pin_index(&approver.pin_index)?;
                engine.write_pin_limit(srk, index, &approver.recovery, &recovery)
            })
            .await
    }

    /// Gives the slot back: the key is useless from then on.
    ///
    /// # Errors
    /// As the TPM refuses; an index that is already gone is no error.
    pub async fn remove_approver(&self, approver: ApproverState) -> Result<(), TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                let srk = engine.srk(&state)?;
                engine.undefine(srk, &approver.pin_index)
            })
            .await
    }
}

impl Engine {
    fn enroll_approver(
        &mut self,
        state: &TpmState,
        slot: ApproverSlot,
        pin: &Pin,
        code: &RecoveryCode,
    ) -> Result<ApproverState, TpmError> {
        let srk = self.srk(state)?;
        let recovery = self.create_recovery_object(srk, code)?;
        let defined = pin_area(slot, &recovery)?;
        let pin_index = written(&defined);
        let index = self.define_pin_index(srk, &defined, pin)?;
        let made = self
            .write_pin_limit(srk, index, &recovery, code)
            .and_then(|()| {
                // Its name changed with the first write.
                self.reread(defined.index.handle());
                self.pin_index(&pin_index)?;
                let template = templates::approval_key(&ApproverState::policy(&pin_index))
                    .at("TPM2_Create")?;
                self.create_secret(srk, template, Some(pin.auth()?), None)
            });
        match made {
            Ok(key) => Ok(ApproverState {
                key,
                pin_index,
                recovery,
            }),
            Err(error) => {
                // A half-made approver would block its slot; the first error is the one to report.
                let _ = self.undefine(srk, &defined);
                Err(error)
            }
        }
    }

    fn approve(
        &mut self,
        state: &TpmState,
        approver: &ApproverState,
        pin: &Pin,
        digest: &Sha256Digest,
    ) -> Result<Signature, TpmError> {
        let srk = self.srk(state)?;
        let index = self.pin_index(&approver.pin_index)?;
        let bound = sign_cp_hash(approver.public(), digest);
        self.with_loaded(srk, &approver.key, |engine, key| {
            engine.with_policy_session(srk, |engine, session| {
                engine.prove_pin(srk, session, index, pin, &bound)?;
                engine.sign_with_pin(session, key, pin, digest)
            })
        })
    }

    /// TPM2_PolicySecret of the PIN index, which lets the session authorize one command: the one of `bound`.
    fn prove_pin(
        &mut self,
        srk: KeyHandle,
        session: &Session,
        index: NvIndexHandle,
        pin: &Pin,
        bound: &Sha256Digest,
    ) -> Result<(), TpmError> {
        self.policy_secret(
            srk,
            session,
            ObjectHandle::from(index),
            pin.auth()?,
            Some(bound),
        )
        .map_err(|error| {
            error.blame(|_, rc| {
                if rc.is_auth_failure() {
                    Some(TpmError::PinWrong { rc })
                } else if rc == ResponseCode::AUTH_UNAVAILABLE {
                    Some(TpmError::PinLocked { rc })
                } else {
                    None
                }
            })
        })
    }

    fn sign_with_pin(
        &mut self,
        session: &mut Session,
        key: KeyHandle,
        pin: &Pin,
        digest: &Sha256Digest,
    ) -> Result<Signature, TpmError> {
        let policy = session.policy()?;
        self.context
            .execute_without_session(|context| context.policy_auth_value(policy))
            .at("TPM2_PolicyAuthValue")?;
        // The software stack forgets the authorization with the key, when that is flushed.
        self.context
            .tr_set_auth(key.into(), pin.auth()?)
            .at("ESYS_TR_SetAuth")?;
        let message = engine::digest(digest);
        let signed = self
            .context
            .execute_with_session(Some(session.auth()), |context| {
                context.sign(key, message, SignatureScheme::Null, None)
            })
            .at("TPM2_Sign")?;
        engine::signature(&signed, "TPM2_Sign")
    }

    fn create_recovery_object(
        &mut self,
        srk: KeyHandle,
        code: &RecoveryCode,
    ) -> Result<KeyBlob, TpmError> {
        // Sealed data must not be empty. What it is does not matter: only the authorization is ever used.
        let data = SensitiveData::from_bytes(b"holdfast-recovery").at("TPM2_Create")?;
        let template = templates::recovery_object().at("TPM2_Create")?;
        self.create_secret(srk, template, Some(code.auth()?), Some(data))
    }

    fn define_pin_index(
        &mut self,
        srk: KeyHandle,
        area: &NvPublic,
        pin: &Pin,
    ) -> Result<NvIndexHandle, TpmError> {
        const COMMAND: &str = "TPM2_NV_DefineSpace";
        let definition = nv_definition(area)?;
        let auth = pin.auth()?;
        // Not `with_hierarchy`: the PIN must be encrypted even where the owner authorization is empty.
        let index = self.with_hmac_session(Some(srk), |engine, session| {
            engine.encrypt(session, Cipher::Command)?;
            engine.end_with_next(session)?;
            engine
                .context
                .execute_with_session(Some(session.auth()), |context| {
                    context.nv_define_space(Provision::Owner, Some(auth), definition)
                })
                .at(COMMAND)
                .map_err(|error| {
                    error.blame(|_, rc| {
                        if rc == ResponseCode::NV_DEFINED {
                            Some(TpmError::Caller("this approver slot is taken"))
                        } else if rc.is_auth_failure() {
                            let hierarchy = Hierarchy::Owner;
                            Some(TpmError::HierarchyAuth { hierarchy, rc })
                        } else {
                            None
                        }
                    })
                })
        })?;
        self.remember(area.index.handle(), ObjectHandle::from(index))?;
        Ok(index)
    }

    /// Sets the failures to none, by the recovery code.
    fn write_pin_limit(
        &mut self,
        srk: KeyHandle,
        index: NvIndexHandle,
        recovery: &KeyBlob,
        code: &RecoveryCode,
    ) -> Result<(), TpmError> {
        let counters = PinFailures {
            count: 0,
            limit: PinFailures::LIMIT,
        };
        let contents = MaxNvBuffer::from_bytes(&counters.encode()).at("TPM2_NV_Write")?;
        self.with_loaded(srk, recovery, |engine, object| {
            engine.with_policy_session(srk, |engine, session| {
                engine
                    .policy_secret(srk, session, object.into(), code.auth()?, None)
                    .map_err(recovery_refusal)?;
                engine.end_with_next(session)?;
                engine
                    .context
                    .execute_with_session(Some(session.auth()), |context| {
                        context.nv_write(NvAuth::NvIndex(index), index, contents, 0)
                    })
                    .at("TPM2_NV_Write")
            })
        })
    }

    /// Proves `auth` of `entity` to a policy session, in an HMAC session of its own: only a MAC of it passes.
    fn policy_secret(
        &mut self,
        srk: KeyHandle,
        session: &Session,
        entity: ObjectHandle,
        auth: Auth,
        bound: Option<&Sha256Digest>,
    ) -> Result<(), TpmError> {
        let policy = session.policy()?;
        let bound = bound.map_or_else(EsapiDigest::default, engine::digest);
        self.context
            .tr_set_auth(entity, auth)
            .at("ESYS_TR_SetAuth")?;
        let result = self.with_hmac_session(Some(srk), |engine, proof| {
            engine.end_with_next(proof)?;
            engine
                .context
                .execute_with_session(Some(proof.auth()), |context| {
                    context.policy_secret(
                        policy,
                        AuthHandle::from(entity),
                        Nonce::default(),
                        bound,
                        Nonce::default(),
                        None,
                    )
                })
                .at("TPM2_PolicySecret")
        });
        // An index stays known to the software stack, and must not keep the PIN.
        self.context
            .tr_set_auth(entity, Auth::default())
            .at("ESYS_TR_SetAuth")?;
        result.map(|_| ())
    }

    fn pin_index(&mut self, area: &NvPublic) -> Result<NvIndexHandle, TpmError> {
        self.nv_index(area.index, &area.name(), "PIN index")
    }
}

/// A failed authorization by recovery code.
pub(crate) fn recovery_refusal(error: TpmError) -> TpmError {
    error.blame(|_, rc| {
        rc.is_auth_failure()
            .then_some(TpmError::RecoveryWrong { rc })
    })
}

/// A PIN index that only its recovery object can write. The owner may read it: that shows failures and proves nothing.
fn pin_area(slot: ApproverSlot, recovery: &KeyBlob) -> Result<NvPublic, TpmError> {
    let write = PolicyDigest::new().policy_secret(&recovery.public().name(), b"");
    Ok(NvPublic {
        index: slot
            .pin_index()
            .ok_or(TpmError::Caller("an approver slot has no place"))?,
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::of(NvIndexType::PinFail)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::OWNER_READ)
            .with(NvAttributes::POLICY_WRITE)
            .with(NvAttributes::NO_DA),
        auth_policy: write.auth_policy(),
        data_size: 8,
    })
}

/// The cpHash of TPM2_Sign(`key`, `digest`, no scheme, no ticket), which is all that the PIN authorizes.
fn sign_cp_hash(key: &Public, digest: &Sha256Digest) -> Sha256Digest {
    /// TPM_ALG_NULL as scheme; TPM_ST_HASHCHECK, TPM_RH_NULL and an empty digest as ticket.
    const SCHEME_AND_TICKET: [u8; 10] =
        [0x00, 0x10, 0x80, 0x24, 0x40, 0x00, 0x00, 0x07, 0x00, 0x00];
    let mut parameters = vec![0, 32];
    parameters.extend_from_slice(digest.as_bytes());
    parameters.extend_from_slice(&SCHEME_AND_TICKET);
    cp_hash(CommandCode::SIGN, &[&key.name()], &parameters)
}
