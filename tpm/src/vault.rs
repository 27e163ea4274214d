//! The vault root: the key under which the long-lived secrets lie. It survives reboots, and those software states that a
//! human approved with the recovery code.
//!
//! Bound to no deadline, boot or epoch: that is for leases, which derive from it. The TPM's part alone is never the whole:
//! the caller mixes in the share of the user's keyring.

use holdfast_proof::hash::sha256;
use holdfast_proof::policy::PolicyDigest;
use holdfast_proof::tpm::{HashAlg, Name, PcrSelection, PcrValues, Signature, pcr_digest};
use holdfast_protocol::Sha256Digest;
use serde::{Deserialize, Serialize};
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::VerifiedTicket;
use tss_esapi::structures::{Name as EsapiName, Nonce, SensitiveData, SignatureScheme};
use zeroize::Zeroizing;

use crate::approver::recovery_refusal;
use crate::engine::{self, Cipher, Engine, pcr_selection, sha256 as narrow, to_signature};
use crate::error::{At as _, TpmError};
use crate::lease::pcr_refusal;
use crate::pin::RecoveryCode;
use crate::provision::Provisioned;
use crate::queue::Priority;
use crate::state::{KeyBlob, TpmState};
use crate::templates;

/// What an approval is for: it holds for nothing else that the same key might sign.
const POLICY_REF: &[u8] = b"holdfast-vault-root-v1";

/// The 256 bits that the TPM keeps for the vault; zeroized when dropped, never printed.
pub struct VaultRoot(Zeroizing<[u8; 32]>);

impl VaultRoot {
    /// Takes over a key.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for VaultRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VaultRoot(..)")
    }
}

/// The vault root, sealed, with the software states that it opens in: what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedVaultRoot {
    blob: KeyBlob,
    authority: KeyBlob,
    pcrs: PcrSelection,
    approvals: Vec<Approval>,
}

/// The authority's word that the vault root may open while the PCRs have this digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    pcr_digest: Sha256Digest,
    signature: Signature,
}

impl SealedVaultRoot {
    /// How many states stay approved: the running one, the one before it, and updates accepted ahead.
    pub const MAX_APPROVALS: usize = 8;

    /// The PCRs that it is bound to.
    pub fn pcrs(&self) -> &PcrSelection {
        &self.pcrs
    }

    /// Whether a state with these PCR values is approved: a hint, never the enforcement.
    ///
    /// # Errors
    /// [`TpmError::Unsupported`] if the values are not those of [`Self::pcrs`].
    pub fn approves(&self, values: &PcrValues) -> Result<bool, TpmError> {
        let digest = digest_of(&self.pcrs, values)?;
        Ok(self.approval(&digest).is_some())
    }

    fn approval(&self, pcr_digest: &Sha256Digest) -> Option<&Approval> {
        self.approvals
            .iter()
            .find(|approval| approval.pcr_digest == *pcr_digest)
    }

    /// Adds an approval as the newest; the oldest beyond the limit is dropped.
    fn with(mut self, approval: Approval) -> Self {
        self.approvals
            .retain(|known| known.pcr_digest != approval.pcr_digest);
        self.approvals.insert(0, approval);
        self.approvals.truncate(Self::MAX_APPROVALS);
        self
    }
}

impl Provisioned {
    /// Seals the vault root to whatever states the holder of the recovery code approves, and approves the present one.
    ///
    /// # Errors
    /// [`TpmError::Caller`] if no PCR is selected: PCR 7 is what is meant by default.
    pub async fn seal_vault_root(
        &self,
        root: &VaultRoot,
        pcrs: PcrSelection,
        recovery: RecoveryCode,
    ) -> Result<SealedVaultRoot, TpmError> {
        if pcrs.is_empty() {
            return Err(TpmError::Caller(
                "the vault root must be bound to at least one PCR",
            ));
        }
        let state = self.shared_state();
        let root = VaultRoot(root.0.clone());
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                engine.seal_vault_root(&state, &root, pcrs, &recovery)
            })
            .await
    }

    /// Opens the vault root. 11 commands.
    ///
    /// # Errors
    /// [`TpmError::PolicyRefused`] in a software state that was not approved.
    pub async fn unseal_vault_root(&self, sealed: &SealedVaultRoot) -> Result<VaultRoot, TpmError> {
        let (state, sealed) = (self.shared_state(), sealed.clone());
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                engine.unseal_vault_root(&state, &sealed)
            })
            .await
    }

    /// Approves the software state with these PCR values: the present one after an update, or one that is expected.
    ///
    /// # Errors
    /// [`TpmError::RecoveryWrong`]; [`TpmError::Unsupported`] if the values are not those of [`SealedVaultRoot::pcrs`].
    pub async fn approve_vault_state(
        &self,
        sealed: SealedVaultRoot,
        values: &PcrValues,
        recovery: RecoveryCode,
    ) -> Result<SealedVaultRoot, TpmError> {
        let pcr_digest = digest_of(&sealed.pcrs, values)?;
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                let srk = engine.srk(&state)?;
                let approval = engine.approve_state(
                    srk,
                    &sealed.authority,
                    &sealed.pcrs,
                    pcr_digest,
                    &recovery,
                )?;
                Ok(sealed.with(approval))
            })
            .await
    }
}

impl Engine {
    fn seal_vault_root(
        &mut self,
        state: &TpmState,
        root: &VaultRoot,
        pcrs: PcrSelection,
        recovery: &RecoveryCode,
    ) -> Result<SealedVaultRoot, TpmError> {
        let srk = self.srk(state)?;
        let values = self.read_pcrs(&pcrs)?;
        let pcr_digest = digest_of(&pcrs, &values)?;
        let template = templates::vault_authority().at("TPM2_Create")?;
        let authority = self.create_secret(srk, template, Some(recovery.auth()?), None)?;
        let approval = self.approve_state(srk, &authority, &pcrs, pcr_digest, recovery)?;
        let template = templates::sealed(&policy(&authority.public().name())).at("TPM2_Create")?;
        let data = SensitiveData::from_bytes(root.as_bytes()).at("TPM2_Create")?;
        Ok(SealedVaultRoot {
            blob: self.create_secret(srk, template, None, Some(data))?,
            authority,
            pcrs,
            approvals: vec![approval],
        })
    }

    /// Lets the authority sign, in an HMAC session: the recovery code does not pass.
    fn approve_state(
        &mut self,
        srk: KeyHandle,
        authority: &KeyBlob,
        pcrs: &PcrSelection,
        pcr_digest: Sha256Digest,
        recovery: &RecoveryCode,
    ) -> Result<Approval, TpmError> {
        let message = engine::digest(&approved(pcrs, &pcr_digest));
        let signature = self.with_loaded(srk, authority, |engine, key| {
            // The software stack forgets the authorization with the key, when that is flushed.
            engine
                .context
                .tr_set_auth(key.into(), recovery.auth()?)
                .at("ESYS_TR_SetAuth")?;
            let signed = engine.with_hmac_session(Some(srk), |engine, session| {
                engine.end_with_next(session)?;
                engine
                    .context
                    .execute_with_session(Some(session.auth()), |context| {
                        context.sign(key, message, SignatureScheme::Null, None)
                    })
                    .at("TPM2_Sign")
                    .map_err(recovery_refusal)
            })?;
            engine::signature(&signed, "TPM2_Sign")
        })?;
        Ok(Approval {
            pcr_digest,
            signature,
        })
    }

    fn unseal_vault_root(
        &mut self,
        state: &TpmState,
        sealed: &SealedVaultRoot,
    ) -> Result<VaultRoot, TpmError> {
        let srk = self.srk(state)?;
        let values = self.read_pcrs(&sealed.pcrs)?;
        let present = digest_of(&sealed.pcrs, &values)?;
        // Where no approval fits, the newest goes to the TPM, so that the refusal is the TPM's own.
        let approval = sealed
            .approval(&present)
            .or_else(|| sealed.approvals.first())
            .ok_or(TpmError::Caller("the vault root was never approved"))?;
        let ticket = self.verify_approval(srk, sealed, approval)?;
        let root = self.with_loaded(srk, &sealed.blob, |engine, object| {
            engine.with_policy_session(srk, |engine, session| {
                engine.encrypt(session, Cipher::Response)?;
                let policy = session.policy()?;
                let selection = pcr_selection(&sealed.pcrs)?;
                let pcrs = engine::digest(&approval.pcr_digest);
                let approved = pcr_policy(&sealed.pcrs, &approval.pcr_digest);
                let reference = Nonce::from_bytes(POLICY_REF).at("TPM2_PolicyAuthorize")?;
                let name = sealed.authority.public().name();
                let name =
                    EsapiName::try_from(name.as_bytes().to_vec()).at("TPM2_PolicyAuthorize")?;
                engine
                    .context
                    .execute_without_session(|context| context.policy_pcr(policy, pcrs, selection))
                    .at("TPM2_PolicyPCR")
                    .map_err(pcr_refusal)?;
                engine
                    .context
                    .execute_without_session(|context| {
                        let approved = engine::digest(&approved);
                        context.policy_authorize(policy, approved, reference, &name, ticket)
                    })
                    .at("TPM2_PolicyAuthorize")?;
                engine.unseal(session, object)
            })
        })?;
        Ok(VaultRoot(root))
    }

    /// The TPM's own ticket that the authority signed the approval.
    fn verify_approval(
        &mut self,
        srk: KeyHandle,
        sealed: &SealedVaultRoot,
        approval: &Approval,
    ) -> Result<VerifiedTicket, TpmError> {
        const COMMAND: &str = "TPM2_VerifySignature";
        let message = engine::digest(&approved(&sealed.pcrs, &approval.pcr_digest));
        let signature = to_signature(&approval.signature, COMMAND)?;
        self.with_loaded(srk, &sealed.authority, |engine, key| {
            engine
                .context
                .execute_without_session(|context| {
                    context.verify_signature(key, message, signature)
                })
                .at(COMMAND)
        })
    }
}

/// The policy of the sealed root: any state that the authority approved.
fn policy(authority: &Name) -> Sha256Digest {
    PolicyDigest::new()
        .policy_authorize(authority, POLICY_REF)
        .digest()
}

/// The policy of one state.
fn pcr_policy(pcrs: &PcrSelection, pcr_digest: &Sha256Digest) -> Sha256Digest {
    PolicyDigest::new().policy_pcr(pcrs, pcr_digest).digest()
}

/// What the authority signs: aHash of TPM2_PolicyAuthorize (Part 3 §23.16).
fn approved(pcrs: &PcrSelection, pcr_digest: &Sha256Digest) -> Sha256Digest {
    let policy = pcr_policy(pcrs, pcr_digest);
    sha256(&[policy.as_bytes().as_slice(), POLICY_REF].concat())
}

fn digest_of(pcrs: &PcrSelection, values: &PcrValues) -> Result<Sha256Digest, TpmError> {
    let digest = pcr_digest(HashAlg::Sha256, pcrs, values)?;
    narrow(&digest).ok_or(TpmError::Caller("a PCR digest is a SHA-256 digest"))
}
