//! The endorsement key: who this TPM is, and the secrets that only this TPM can open.
//!
//! The EK is used where a vendor made it persistent, else created again from its seed and flushed when done; it is never made
//! persistent here.

use holdfast_proof::tpm::Public;
use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::{
    AuthHandle, KeyHandle, NvIndexHandle, NvIndexTpmHandle, PersistentTpmHandle, TpmHandle,
};
use tss_esapi::interface_types::reserved_handles::{Hierarchy as EsapiHierarchy, NvAuth};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    CapabilityData, Digest, EncryptedSecret, IdObject, Nonce, Public as EsapiPublic,
};
use zeroize::Zeroizing;

use crate::config::{EkRange, Hierarchy};
use crate::engine::{Cipher, Engine, Session, public};
use crate::error::{At as _, TpmError};
use crate::places;
use crate::provision::Provisioned;
use crate::queue::Priority;
use crate::templates;

/// The endorsement key and what vouches for it.
#[derive(Clone, Debug)]
pub struct EkInfo {
    /// The key.
    pub public: Public,
    /// Its certificate as the vendor stored it (DER, perhaps with bytes of the NV index behind it); a TPM may have none.
    pub certificate: Option<Vec<u8>>,
    /// The certificates of an on-die issuer, as stored in 0x01c00100 and following (EK Credential Profile 2.5).
    pub chain: Vec<Vec<u8>>,
}

impl Provisioned {
    /// The endorsement key with its certificates. 6 commands for a certificate of 1.5 kB, and up to 5 more for each
    /// of an on-die chain.
    ///
    /// # Errors
    /// [`TpmError::Refused`] where a certificate cannot be read.
    pub async fn ek(&self) -> Result<EkInfo, TpmError> {
        let public = self.state().endorsement_key.clone();
        self.tpm()
            .run(Priority::Background, move |engine| {
                engine.endorsement_certificates(public)
            })
            .await
    }

    /// Opens a challenge that was made for this EK and this AK (TPM2_ActivateCredential): `credential_blob` is the content of
    /// the TPM2B_ID_OBJECT, `encrypted_secret` that of the TPM2B_ENCRYPTED_SECRET.
    ///
    /// # Errors
    /// [`TpmError::Refused`] where the challenge was made for another TPM or another AK.
    pub async fn activate_credential(
        &self,
        credential_blob: Vec<u8>,
        encrypted_secret: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Background, move |engine| {
                let blob = IdObject::try_from(credential_blob).at("TPM2_ActivateCredential")?;
                let secret =
                    EncryptedSecret::try_from(encrypted_secret).at("TPM2_ActivateCredential")?;
                let srk = engine.srk(&state)?;
                let ak = engine.ak(&state)?;
                engine.with_ek(Some(srk), |engine, ek, _| {
                    engine.with_ek_auth(srk, |engine, session| {
                        engine.encrypt(session, Cipher::Response)?;
                        engine.end_with_next(session)?;
                        let sessions = (Some(AuthSession::Password), Some(session.auth()), None);
                        let opened = engine
                            .context
                            .execute_with_sessions(sessions, |context| {
                                context.activate_credential(ak, ek, blob, secret)
                            })
                            .at("TPM2_ActivateCredential")?;
                        Ok(Zeroizing::new(opened.as_bytes().to_vec()))
                    })
                })
            })
            .await
    }
}

impl Engine {
    /// Runs `body` with the EK and its public area. `salt` is the SRK, once there is one.
    pub(crate) fn with_ek<T>(
        &mut self,
        salt: Option<KeyHandle>,
        body: impl FnOnce(&mut Self, KeyHandle, Public) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let kind = self.config.endorsement_key;
        let template = templates::endorsement_key(kind).at("TPM2_CreatePrimary")?;
        if let Some((ek, area)) = self.persistent_ek(&template)? {
            return body(self, ek, area);
        }
        let created = self.with_hierarchy(
            Hierarchy::Endorsement,
            salt,
            "TPM2_CreatePrimary",
            |engine| {
                engine.context.create_primary(
                    EsapiHierarchy::Endorsement,
                    template,
                    None,
                    None,
                    None,
                    None,
                )
            },
        )?;
        self.with_transient(created.key_handle, |engine, ek| {
            let area = public(&created.out_public)?;
            body(engine, ek, area)
        })
    }

    /// Runs `body` in a session that authorizes the EK: by its policy, which is the endorsement hierarchy's authorization, or
    /// in the high range by its own, which is empty.
    pub(crate) fn with_ek_auth<T>(
        &mut self,
        srk: KeyHandle,
        body: impl FnOnce(&mut Self, &mut Session) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        match self.config.endorsement_key.range() {
            EkRange::Low => self.with_policy_session(srk, |engine, session| {
                engine.renew_ek_auth(srk, session)?;
                body(engine, session)
            }),
            EkRange::High => self.with_hmac_session(Some(srk), body),
        }
    }

    /// Makes a session authorize the EK that is new or was just used.
    pub(crate) fn renew_ek_auth(
        &mut self,
        srk: KeyHandle,
        session: &Session,
    ) -> Result<(), TpmError> {
        if self.config.endorsement_key.range() == EkRange::High {
            return Ok(());
        }
        let policy = session.policy()?;
        self.with_hierarchy(
            Hierarchy::Endorsement,
            Some(srk),
            "TPM2_PolicySecret",
            |engine| {
                engine.context.policy_secret(
                    policy,
                    AuthHandle::Endorsement,
                    Nonce::default(),
                    Digest::default(),
                    Nonce::default(),
                    None,
                )
            },
        )?;
        Ok(())
    }

    fn persistent_ek(
        &mut self,
        template: &EsapiPublic,
    ) -> Result<Option<(KeyHandle, Public)>, TpmError> {
        let handle = places::endorsement_key(self.config.endorsement_key);
        let handle = PersistentTpmHandle::new(handle).at("TPM2_ReadPublic")?;
        let Some((object, _)) = self.find(TpmHandle::Persistent(handle))? else {
            return Ok(None);
        };
        let key = KeyHandle::from(object);
        let (area, _, _) = self
            .context
            .execute_without_session(|context| context.read_public(key))
            .at("TPM2_ReadPublic")?;
        if !templates::made_from(&area, template) {
            return Ok(None);
        }
        Ok(Some((key, public(&area)?)))
    }

    fn endorsement_certificates(&mut self, public: Public) -> Result<EkInfo, TpmError> {
        /// More than any issuer stores; a bound on what a TPM can make us read.
        const MAX_CHAIN: usize = 16;
        let leaf = places::endorsement_certificate(self.config.endorsement_key);
        let (first, last) = places::CERTIFICATE_CHAIN;
        let mut certificate = None;
        let mut chain = Vec::new();
        for index in self.nv_indices(leaf)? {
            if index == leaf {
                certificate = Some(self.read_certificate(index)?);
            } else if (first..=last).contains(&index) && chain.len() < MAX_CHAIN {
                chain.push(self.read_certificate(index)?);
            }
        }
        Ok(EkInfo {
            public,
            certificate,
            chain,
        })
    }

    /// The NV indices from `first` upwards, in order.
    fn nv_indices(&mut self, first: u32) -> Result<Vec<u32>, TpmError> {
        /// One answer holds 254 handles; a TPM has room for far fewer indices.
        const COUNT: u32 = 254;
        let (answer, _) = self
            .context
            .execute_without_session(|context| {
                context.get_capability(CapabilityType::Handles, first, COUNT)
            })
            .at("TPM2_GetCapability")?;
        let CapabilityData::Handles(handles) = answer else {
            return Err(TpmError::Unsupported {
                what: "it answers TPM2_GetCapability with something else",
            });
        };
        Ok(handles.into_inner().into_iter().map(u32::from).collect())
    }

    fn read_certificate(&mut self, index: u32) -> Result<Vec<u8>, TpmError> {
        /// The largest index that is read: certificates with RSA-4096 signatures are under 2 kB.
        const MAX: u16 = 4096;
        /// What every PC Client TPM reads at once (TPM_PT_NV_BUFFER_MAX is at least this).
        const CHUNK: u16 = 512;
        let handle = NvIndexTpmHandle::new(index).at("TPM2_NV_ReadPublic")?;
        let index_handle = match self.find(TpmHandle::NvIndex(handle))? {
            Some((object, _)) => NvIndexHandle::from(object),
            None => return Ok(Vec::new()),
        };
        let (area, _) = self
            .context
            .execute_without_session(|context| context.nv_read_public(index_handle))
            .at("TPM2_NV_ReadPublic")?;
        let size = u16::try_from(area.data_size())
            .ok()
            .filter(|size| *size <= MAX)
            .ok_or(TpmError::Unsupported {
                what: "its endorsement certificate is too large",
            })?;
        let mut certificate = Vec::new();
        let mut offset = 0;
        while offset < size {
            let count = CHUNK.min(size - offset);
            let part = self
                .plain(1, |context| {
                    context.nv_read(NvAuth::NvIndex(index_handle), index_handle, count, offset)
                })
                .at("TPM2_NV_Read")?;
            certificate.extend_from_slice(part.as_bytes());
            offset += count;
        }
        Ok(certificate)
    }
}
