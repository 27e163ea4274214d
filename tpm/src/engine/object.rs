//! Transient objects: loaded, used, flushed.
//!
//! The only way to a transient object is a closure that ends before the object is flushed; `load` is for the one caller that
//! keeps a key, which answers for its flush.

use tss_esapi::handles::{KeyHandle, ObjectHandle};
use tss_esapi::structures::{Auth, CreateKeyResult, Private, Public, SensitiveData};
use tss_esapi::traits::UnMarshall as _;
use zeroize::Zeroizing;

use super::{Cipher, Engine, Session, public};
use crate::error::{At as _, TpmError};
use crate::state::KeyBlob;

impl Engine {
    /// Loads `blob` under `parent`, whose authorization is empty.
    pub(crate) fn load(
        &mut self,
        parent: KeyHandle,
        blob: &KeyBlob,
    ) -> Result<KeyHandle, TpmError> {
        let area = Public::unmarshall(blob.public().as_bytes()).at("TPM2_Load")?;
        let private = Private::try_from(blob.private().to_vec()).at("TPM2_Load")?;
        self.plain(1, |context| context.load(parent, private, area))
            .at("TPM2_Load")
    }

    /// Runs `body` with `blob` loaded under `parent`, and flushes it.
    pub(crate) fn with_loaded<T>(
        &mut self,
        parent: KeyHandle,
        blob: &KeyBlob,
        body: impl FnOnce(&mut Self, KeyHandle) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let key = self.load(parent, blob)?;
        self.with_transient(key, body)
    }

    /// Runs `body` with a transient object and flushes it.
    pub(crate) fn with_transient<T>(
        &mut self,
        key: KeyHandle,
        body: impl FnOnce(&mut Self, KeyHandle) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let result = body(self, key);
        let flushed = self.flush(key.into());
        // The first error is the one to report.
        let value = result?;
        flushed.map(|()| value)
    }

    /// Opens 32 sealed bytes in a session in which their policy holds and responses are encrypted.
    pub(crate) fn unseal(
        &mut self,
        session: &Session,
        object: KeyHandle,
    ) -> Result<Zeroizing<[u8; 32]>, TpmError> {
        let opened = self
            .context
            .execute_with_session(Some(session.auth()), |context| {
                context.unseal(object.into())
            })
            .at("TPM2_Unseal")?;
        let mut key = Zeroizing::new([0; 32]);
        if opened.as_bytes().len() != key.len() {
            return Err(TpmError::Unsupported {
                what: "a sealed key does not have 32 bytes",
            });
        }
        key.copy_from_slice(opened.as_bytes());
        Ok(key)
    }

    /// Flushes a transient object.
    pub(crate) fn flush(&mut self, object: ObjectHandle) -> Result<(), TpmError> {
        self.context.flush_context(object).at("TPM2_FlushContext")
    }

    /// Creates a child of the SRK without secrets of ours: its authorization is empty.
    pub(crate) fn create_open(
        &mut self,
        parent: KeyHandle,
        template: Public,
    ) -> Result<KeyBlob, TpmError> {
        let created = self
            .plain(1, |context| {
                context.create(parent, template, None, None, None, None)
            })
            .at("TPM2_Create")?;
        blob_of(&created)
    }

    /// Creates a child of the SRK from secrets of ours, which pass encrypted in a session salted to that SRK.
    pub(crate) fn create_secret(
        &mut self,
        srk: KeyHandle,
        template: Public,
        auth: Option<Auth>,
        data: Option<SensitiveData>,
    ) -> Result<KeyBlob, TpmError> {
        let created = self.with_hmac_session(Some(srk), |engine, session| {
            engine.encrypt(session, Cipher::Command)?;
            engine.end_with_next(session)?;
            engine
                .context
                .execute_with_session(Some(session.auth()), |context| {
                    context.create(srk, template, auth, data, None, None)
                })
                .at("TPM2_Create")
        })?;
        blob_of(&created)
    }
}

/// What TPM2_Create returned, as what we keep.
pub(crate) fn blob_of(created: &CreateKeyResult) -> Result<KeyBlob, TpmError> {
    KeyBlob::new(public(&created.out_public)?, created.out_private.as_bytes()).ok_or(
        TpmError::Unsupported {
            what: "its wrapped keys are larger than any that the specification allows",
        },
    )
}
