//! Which PCR banks the TPM keeps, with its own signature: it is asked in an audit session, whose digest the AK signs.
//!
//! The banks change only with a reset of the TPM, so that the session does not have to be exclusive. It then authorizes
//! its own signing, and ends with that. Its key has no part in the digest: it is salted only where the endorsement hierarchy
//! has an authorization to protect.

use holdfast_proof::audit::{PCRS_COUNT, banks_digest};
use holdfast_proof::tpm::{ActiveBanks, Attested};
use holdfast_protocol::Sha256Digest;
use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{CapabilityData, SignatureScheme};

use crate::config::Hierarchy;
use crate::engine::{Audit, Engine, Session, active_banks, blame, data};
use crate::error::{At as _, ResponseCode, TpmError};
use crate::evidence::Attestation;
use crate::property::OTHER_ANSWER;
use crate::state::TpmState;

/// The active banks, and what proves them.
#[derive(Clone, Debug)]
pub struct ProvenBanks {
    /// What TPM2_GetCapability answered.
    pub banks: ActiveBanks,
    /// TPM2_GetSessionAuditDigest of the session in which it did.
    pub audited: Attestation,
}

impl Engine {
    /// Proves which banks are active; `None` where the TPM has no TPM2_GetSessionAuditDigest. 3 commands.
    pub(crate) fn prove_banks(
        &mut self,
        state: &TpmState,
        ak: KeyHandle,
        extra_data: &Sha256Digest,
    ) -> Result<Option<ProvenBanks>, TpmError> {
        let salt = if self.hierarchy_auth(Hierarchy::Endorsement).is_empty() {
            None
        } else {
            Some(self.srk(state)?)
        };
        let proven = self.with_hmac_session(salt, |engine, session| {
            let banks = engine.banks_audited(session)?;
            let audited = engine.session_digest(ak, session, extra_data)?;
            // What nobody could verify is not worth sending; it would be the software stack that told other bytes than it got.
            match audited.statement.attested() {
                Attested::SessionAudit(info)
                    if info.session_digest.as_bytes() == banks_digest(&banks).as_bytes() =>
                {
                    Ok(ProvenBanks { banks, audited })
                }
                Attested::SessionAudit(_)
                | Attested::Quote(_)
                | Attested::Certify(_)
                | Attested::NvCertify(_) => Err(TpmError::Unsupported {
                    what: "it signs another answer than it gave about its PCR banks",
                }),
            }
        });
        match proven {
            Ok(proven) => Ok(Some(proven)),
            Err(error) if error.response_code() == Some(ResponseCode::COMMAND_CODE) => {
                tracing::warn!("the TPM cannot prove which PCR banks it keeps");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn banks_audited(&mut self, session: &Session) -> Result<ActiveBanks, TpmError> {
        self.audit(session, Audit::On)?;
        let (answer, _) = self
            .context
            .execute_with_session(Some(session.auth()), |context| {
                context.get_capability(CapabilityType::AssignedPcr, 0, PCRS_COUNT)
            })
            .at("TPM2_GetCapability")?;
        let CapabilityData::AssignedPcr(list) = answer else {
            return Err(OTHER_ANSWER);
        };
        active_banks(list)
    }

    fn session_digest(
        &mut self,
        ak: KeyHandle,
        session: &mut Session,
        extra_data: &Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        const COMMAND: &str = "TPM2_GetSessionAuditDigest";
        let qualifying = data(extra_data)?;
        self.audit(session, Audit::Off)?;
        self.end_with_next(session)?;
        let audited = SessionHandle::from(session.auth());
        let sessions = (Some(session.auth()), Some(AuthSession::Password), None);
        let answer = self
            .context
            .execute_with_sessions(sessions, |context| {
                context.get_session_audit_digest(
                    ObjectHandle::Endorsement,
                    ak,
                    audited,
                    qualifying,
                    SignatureScheme::Null,
                )
            })
            .at(COMMAND)
            .map_err(|error| blame(error, Hierarchy::Endorsement))?;
        Attestation::new(answer, COMMAND)
    }
}
