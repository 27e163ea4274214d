//! Signing keys: the fresh node key of every attestation, and the checkpoint key.
//!
//! A private part never leaves the TPM in a form that another TPM could use.

use holdfast_proof::tpm::{Public, Signature};
use holdfast_protocol::Sha256Digest;
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::SignatureScheme;

use crate::engine::{self, Engine, data};
use crate::error::{At as _, TpmError};
use crate::evidence::Attestation;
use crate::owner::Tpm;
use crate::provision::Provisioned;
use crate::queue::Priority;
use crate::state::KeyBlob;
use crate::templates;

/// A key that stays loaded in the TPM, so that several commands cost one load. It is flushed when this is dropped.
///
/// It takes one of the few slots of a TPM without resource manager: hold one at a time, and not for long.
#[derive(Debug)]
pub struct LoadedKey {
    number: u64,
    blob: KeyBlob,
    tpm: Tpm,
}

impl LoadedKey {
    /// The key as it is kept: [`Provisioned::sign`] takes it later.
    pub fn blob(&self) -> &KeyBlob {
        &self.blob
    }

    /// The public area.
    pub fn public(&self) -> &Public {
        self.blob.public()
    }

    /// Signs a digest with ECDSA. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn sign(&self, digest: Sha256Digest) -> Result<Signature, TpmError> {
        let number = self.number;
        self.tpm
            .run(Priority::Interactive, move |engine| {
                let key = engine.resident_key(number)?;
                engine.sign(key, &digest)
            })
            .await
    }

    /// As [`Self::sign`], but blocks: for a caller that cannot wait asynchronously, such as a certificate request's signer.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub fn sign_blocking(&self, digest: Sha256Digest) -> Result<Signature, TpmError> {
        let number = self.number;
        self.tpm.run_blocking(Priority::Interactive, move |engine| {
            let key = engine.resident_key(number)?;
            engine.sign(key, &digest)
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for LoadedKey {
    fn drop(&mut self) {
        let number = self.number;
        self.tpm.release(move |slot| slot.release(number));
    }
}

impl Provisioned {
    /// Creates a fresh node key (P-256, bound to this TPM) under the SRK, and keeps it loaded. 2 commands, and 1 to flush.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn create_node_key(&self) -> Result<LoadedKey, TpmError> {
        let state = self.shared_state();
        let tpm = self.tpm().clone();
        self.tpm()
            .run(Priority::Background, move |engine| {
                let srk = engine.srk(&state)?;
                let template = templates::signing_key().at("TPM2_Create")?;
                let blob = engine.create_open(srk, template)?;
                let key = engine.load(srk, &blob)?;
                // Made here, so that a caller who went away meanwhile still gives the slot back.
                Ok(LoadedKey {
                    number: engine.keep_resident(key),
                    blob,
                    tpm,
                })
            })
            .await
    }

    /// Signs a digest with a key that an earlier [`Self::create_node_key`] made. 3 commands.
    ///
    /// # Errors
    /// As the TPM refuses; [`TpmError::Refused`] for a key of another TPM.
    pub async fn sign(
        &self,
        key: &KeyBlob,
        digest: Sha256Digest,
        priority: Priority,
    ) -> Result<Signature, TpmError> {
        let (state, key) = (self.shared_state(), key.clone());
        self.tpm()
            .run(priority, move |engine| {
                let srk = engine.srk(&state)?;
                engine.sign_with(srk, &key, &digest)
            })
            .await
    }

    /// As [`Self::sign`], but blocks: for a TLS handshake's signer. Never call it on the TPM's own thread.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_blocking(
        &self,
        key: &KeyBlob,
        digest: Sha256Digest,
    ) -> Result<Signature, TpmError> {
        let (state, key) = (self.shared_state(), key.clone());
        self.tpm()
            .run_blocking(Priority::Interactive, move |engine| {
                let srk = engine.srk(&state)?;
                engine.sign_with(srk, &key, &digest)
            })
    }

    /// Signs the digest of an audit checkpoint with the checkpoint key. 3 commands.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn sign_checkpoint(&self, digest: Sha256Digest) -> Result<Signature, TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                let srk = engine.srk(&state)?;
                engine.sign_with(srk, &state.checkpoint_key, &digest)
            })
            .await
    }

    /// Certifies the checkpoint key by the AK over `extra_data`, at enrollment. 3 commands.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn certify_checkpoint_key(
        &self,
        extra_data: Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        self.certify_key(&self.state().checkpoint_key, extra_data)
            .await
    }

    /// Certifies the SRK by the AK over `extra_data`, at enrollment. 1 command.
    ///
    /// The SRK is pinned from its first use on. This lets the attestor see that it was this TPM's from the start, and not that
    /// of somebody on the bus: its name must be [`crate::TpmState::storage_root`].
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn certify_storage_root(
        &self,
        extra_data: Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Background, move |engine| {
                let srk = engine.srk(&state)?;
                let ak = engine.ak(&state)?;
                engine.certify(ak, srk, &extra_data)
            })
            .await
    }

    /// Certifies a child of the SRK by the AK over `extra_data`; an approval key too, at its enrollment. 3 commands.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn certify_key(
        &self,
        key: &KeyBlob,
        extra_data: Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        let (state, key) = (self.shared_state(), key.clone());
        self.tpm()
            .run(Priority::Background, move |engine| {
                let srk = engine.srk(&state)?;
                let ak = engine.ak(&state)?;
                engine.with_loaded(srk, &key, |engine, key| {
                    engine.certify(ak, key, &extra_data)
                })
            })
            .await
    }
}

impl Engine {
    pub(crate) fn certify(
        &mut self,
        ak: KeyHandle,
        key: KeyHandle,
        extra_data: &Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        let qualifying = data(extra_data)?;
        self.plain(2, |context| {
            context.certify(key.into(), ak, qualifying, SignatureScheme::Null)
        })
        .at("TPM2_Certify")
        .and_then(|answer| Attestation::new(answer, "TPM2_Certify"))
    }

    fn sign(&mut self, key: KeyHandle, digest: &Sha256Digest) -> Result<Signature, TpmError> {
        let message = engine::digest(digest);
        let signed = self
            .plain(1, |context| {
                context.sign(key, message, SignatureScheme::Null, None)
            })
            .at("TPM2_Sign")?;
        engine::signature(&signed, "TPM2_Sign")
    }

    fn sign_with(
        &mut self,
        srk: KeyHandle,
        key: &KeyBlob,
        digest: &Sha256Digest,
    ) -> Result<Signature, TpmError> {
        self.with_loaded(srk, key, |engine, key| engine.sign(key, digest))
    }
}
