//! Sessions: salted to the pinned SRK, with parameter encryption, and always ended.
//!
//! No authorization value that is worth anything passes in a password session, and no session outlives the call that
//! started it.

use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::SymmetricDefinition;

use super::Engine;
use crate::config::Hierarchy;
use crate::error::{At as _, TpmError};

/// A session that is open in the TPM.
pub(crate) struct Session {
    auth: AuthSession,
    end: End,
}

/// Which parameters of the commands in a session are encrypted (AES-128-CFB).
#[derive(Clone, Copy)]
pub(crate) enum Cipher {
    /// The first parameter of the command.
    Command,
    /// The first parameter of the response.
    Response,
}

/// Whether the TPM keeps a digest of the next commands in a session and their answers.
#[derive(Clone, Copy)]
pub(crate) enum Audit {
    /// It does.
    On,
    /// It leaves the digest as it is.
    Off,
}

enum End {
    /// By TPM2_FlushContext.
    Flush,
    /// By the last command that succeeds in it, which saves the flush.
    WithCommand,
}

impl Session {
    /// The session as an authorization.
    pub(crate) fn auth(&self) -> AuthSession {
        self.auth
    }

    /// The session as the object of policy commands.
    pub(crate) fn policy(&self) -> Result<PolicySession, TpmError> {
        PolicySession::try_from(self.auth).at("TPM2_StartAuthSession")
    }
}

impl Engine {
    /// Runs `body` in an HMAC session salted to `salt`, and ends the session.
    pub(crate) fn with_hmac_session<T>(
        &mut self,
        salt: Option<KeyHandle>,
        body: impl FnOnce(&mut Self, &mut Session) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        self.with_session(SessionType::Hmac, salt, body)
    }

    /// Runs `body` in a policy session salted to `salt`, and ends the session.
    pub(crate) fn with_policy_session<T>(
        &mut self,
        salt: KeyHandle,
        body: impl FnOnce(&mut Self, &mut Session) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        self.with_session(SessionType::Policy, Some(salt), body)
    }

    /// Encrypts parameters of the next commands in the session.
    pub(crate) fn encrypt(&mut self, session: &Session, cipher: Cipher) -> Result<(), TpmError> {
        let (command, response) = match cipher {
            Cipher::Command => (true, false),
            Cipher::Response => (false, true),
        };
        let (attributes, _) = SessionAttributesBuilder::new()
            .with_decrypt(command)
            .with_encrypt(response)
            .build();
        let (_, mask) = SessionAttributesBuilder::new()
            .with_decrypt(true)
            .with_encrypt(true)
            .build();
        self.context
            .tr_sess_set_attributes(session.auth, attributes, mask)
            .at("ESYS_TRSess_SetAttributes")
    }

    /// Has the next commands in the session audited, or not.
    pub(crate) fn audit(&mut self, session: &Session, audit: Audit) -> Result<(), TpmError> {
        let (attributes, _) = SessionAttributesBuilder::new()
            .with_audit(matches!(audit, Audit::On))
            .build();
        let (_, mask) = SessionAttributesBuilder::new().with_audit(true).build();
        self.context
            .tr_sess_set_attributes(session.auth, attributes, mask)
            .at("ESYS_TRSess_SetAttributes")
    }

    /// Lets the next command that succeeds in the session end it.
    pub(crate) fn end_with_next(&mut self, session: &mut Session) -> Result<(), TpmError> {
        let (attributes, _) = SessionAttributesBuilder::new().build();
        let (_, mask) = SessionAttributesBuilder::new()
            .with_continue_session(true)
            .build();
        self.context
            .tr_sess_set_attributes(session.auth, attributes, mask)
            .at("ESYS_TRSess_SetAttributes")?;
        session.end = End::WithCommand;
        Ok(())
    }

    /// Runs `command` under a hierarchy's authorization: by password where it is empty, else in a session, so that it
    /// never passes in the clear. `salt` is the SRK, once there is one.
    pub(crate) fn with_hierarchy<T>(
        &mut self,
        hierarchy: Hierarchy,
        salt: Option<KeyHandle>,
        name: &'static str,
        command: impl FnOnce(&mut Self) -> tss_esapi::Result<T>,
    ) -> Result<T, TpmError> {
        if self.hierarchy_auth(hierarchy).is_empty() {
            self.context
                .set_sessions((Some(AuthSession::Password), None, None));
            let result = command(self);
            self.context.clear_sessions();
            return result.at(name).map_err(|error| blame(error, hierarchy));
        }
        self.with_hmac_session(salt, |engine, session| {
            engine.end_with_next(session)?;
            engine
                .context
                .set_sessions((Some(session.auth), None, None));
            let result = command(engine);
            engine.context.clear_sessions();
            result.at(name).map_err(|error| blame(error, hierarchy))
        })
    }

    fn with_session<T>(
        &mut self,
        kind: SessionType,
        salt: Option<KeyHandle>,
        body: impl FnOnce(&mut Self, &mut Session) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let started = self.context.execute_without_session(|context| {
            context.start_auth_session(
                salt,
                None,
                None,
                kind,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        });
        let auth = started
            .at("TPM2_StartAuthSession")?
            .ok_or(TpmError::Unsupported {
                what: "it starts no session",
            })?;
        let mut session = Session {
            auth,
            end: End::Flush,
        };
        let result = body(self, &mut session);
        self.context.clear_sessions();
        let mut handle = ObjectHandle::from(SessionHandle::from(auth));
        match (&result, session.end) {
            (Ok(_), End::WithCommand) => {
                // The TPM has ended it; this drops the software stack's record. The wrapper then complains that it should
                // have been flushed, but has dropped its own record too.
                let _ = self.context.tr_close(&mut handle);
            }
            (Ok(_), End::Flush) => self.context.flush_context(handle).at("TPM2_FlushContext")?,
            (Err(_), _) => {
                // The first error is the one to report. A command that fails does not end its session.
                if self.context.flush_context(handle).is_err() {
                    let _ = self.context.tr_close(&mut handle);
                }
            }
        }
        result
    }
}

/// Names the hierarchy whose authorization a command was refused for.
pub(crate) fn blame(error: TpmError, hierarchy: Hierarchy) -> TpmError {
    error.blame(|_, rc| {
        rc.is_auth_failure()
            .then_some(TpmError::HierarchyAuth { hierarchy, rc })
    })
}
