//! The ESAPI context and what every job needs of it: authorizations, sessions and objects that are always given back.
//!
//! Runs on the TPM's thread alone. Nothing here may leave a transient object or a session in the TPM, on any path, except
//! the one key that a caller holds as a [`crate::LoadedKey`].

mod convert;
mod object;
mod session;

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_proof::tpm::{Name, NvIndex};
use tss_esapi::Context;
use tss_esapi::constants::tss::{TPM2_RH_ENDORSEMENT, TPM2_RH_OWNER};
use tss_esapi::handles::{
    KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, PersistentTpmHandle, TpmHandle,
};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Auth;

use crate::config::{AuthValue, Hierarchy, TpmConfig, Transport};
use crate::error::{At as _, ResponseCode, TpmError};

pub(crate) use convert::{
    active_banks, attestation, clock_info, data, digest, pcr_selection, pcr_values, policy_operand,
    public, sha256, signature, to_signature,
};
pub(crate) use session::{Audit, Cipher, Session, blame};

/// The place of the open TPM on its thread: opened again where its connection broke.
pub(crate) struct Slot {
    config: Arc<TpmConfig>,
    engine: Option<Engine>,
    next_resident: u64,
}

/// The open TPM.
pub(crate) struct Engine {
    pub(crate) context: Context,
    pub(crate) config: Arc<TpmConfig>,
    /// ESYS handles of persistent objects and NV indices, so that each costs its ReadPublic once.
    known: HashMap<u32, (ObjectHandle, Name)>,
    /// Keys that callers hold loaded, by the number in their `LoadedKey`.
    resident: HashMap<u64, KeyHandle>,
    next_resident: u64,
    link: Link,
}

enum Link {
    Up,
    /// The connection or the state of the software stack is broken, or the TPM was restarted behind it.
    Broken,
}

impl Slot {
    pub(crate) fn open(config: TpmConfig) -> Result<Self, TpmError> {
        let config = Arc::new(config);
        Ok(Self {
            engine: Some(Engine::open(Arc::clone(&config), 0)?),
            config,
            next_resident: 0,
        })
    }

    /// Runs one job, after opening a TPM again whose connection an earlier job found broken.
    pub(crate) fn run<T>(
        &mut self,
        job: impl FnOnce(&mut Engine) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let mut engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::reopen(Arc::clone(&self.config), self.next_resident)?,
        };
        let result = job(&mut engine).map_err(|error| engine.judge_link(error));
        engine.context.clear_sessions();
        // Numbers go on, so that a key that was loaded before never names one that is loaded later.
        self.next_resident = engine.next_resident;
        if let Link::Up = engine.link {
            self.engine = Some(engine);
        }
        // A broken one is closed here, before the next is opened: a bare TPM device has one opener at a time.
        result
    }

    /// Flushes a key that a caller held loaded, if it is still there.
    pub(crate) fn release(&mut self, number: u64) {
        if let Some(engine) = &mut self.engine
            && let Some(key) = engine.resident.remove(&number)
            && let Err(error) = engine.flush(key.into())
        {
            // Nobody is left to tell; the next job meets a broken connection by itself.
            tracing::warn!(%error, "a loaded key could not be flushed");
        }
    }
}

impl Engine {
    fn open(config: Arc<TpmConfig>, next_resident: u64) -> Result<Self, TpmError> {
        Ok(Self {
            context: connect(&config)?,
            config,
            known: HashMap::new(),
            resident: HashMap::new(),
            next_resident,
            link: Link::Up,
        })
    }

    /// As [`Engine::open`], where a connection before this one may have left something behind.
    fn reopen(config: Arc<TpmConfig>, next_resident: u64) -> Result<Self, TpmError> {
        let mut engine = Self::open(config, next_resident)?;
        match engine.flush_leftovers() {
            Ok(()) => Ok(engine),
            Err(error) => Err(engine.judge_link(error)),
        }
    }

    /// Flushes what a client left behind that ended without doing so: a software TPM has room for three objects, and is ours
    /// alone. A resource manager does it by itself. Nothing, where a caller of ours holds a key loaded.
    pub(crate) fn flush_leftovers(&mut self) -> Result<(), TpmError> {
        match self.config.transport {
            Transport::Device(_) => Ok(()),
            Transport::Swtpm(_) if self.resident.is_empty() => self.flush_all(),
            Transport::Swtpm(_) => Ok(()),
        }
    }

    /// Runs `command` with password authorizations only: for authorizations that are empty, so that nothing secret passes.
    pub(crate) fn plain<T>(
        &mut self,
        sessions: usize,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> tss_esapi::Result<T> {
        let password = |wanted: usize| (sessions >= wanted).then_some(AuthSession::Password);
        self.context
            .execute_with_sessions((password(1), password(2), password(3)), command)
    }

    /// The persistent object at `handle`, which must have the `pinned` name; one ReadPublic the first time.
    pub(crate) fn persistent(
        &mut self,
        handle: u32,
        pinned: &Name,
        what: &'static str,
    ) -> Result<KeyHandle, TpmError> {
        let tpm_handle =
            TpmHandle::Persistent(PersistentTpmHandle::new(handle).at("TPM2_ReadPublic")?);
        self.known(handle, tpm_handle, pinned, what)
            .map(KeyHandle::from)
    }

    /// The NV index, which must have the `pinned` name; one NV_ReadPublic the first time.
    pub(crate) fn nv_index(
        &mut self,
        index: NvIndex,
        pinned: &Name,
        what: &'static str,
    ) -> Result<NvIndexHandle, TpmError> {
        let handle = NvIndexTpmHandle::new(index.handle()).at("TPM2_NV_ReadPublic")?;
        self.known(index.handle(), TpmHandle::NvIndex(handle), pinned, what)
            .map(NvIndexHandle::from)
    }

    /// Whether something is at `handle`: its ESYS handle and name. One command, or none if it is known.
    pub(crate) fn find(
        &mut self,
        handle: TpmHandle,
    ) -> Result<Option<(ObjectHandle, Name)>, TpmError> {
        let number = u32::from(handle);
        if let Some((known, name)) = self.known.get(&number) {
            return Ok(Some((*known, name.clone())));
        }
        let read = self
            .context
            .execute_without_session(|context| context.tr_from_tpm_public(handle));
        let found = match read {
            Ok(found) => found,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error).at("TPM2_ReadPublic"),
        };
        let name = match self.name_of(found) {
            Ok(name) => name,
            Err(error) => {
                let mut refused = found;
                // Closing costs no command and fails only for a handle that is closed already.
                let _ = self.context.tr_close(&mut refused);
                return Err(error);
            }
        };
        self.known.insert(number, (found, name.clone()));
        Ok(Some((found, name)))
    }

    /// Remembers a persistent object or index that was just created.
    pub(crate) fn remember(&mut self, handle: u32, object: ObjectHandle) -> Result<Name, TpmError> {
        let name = self.name_of(object)?;
        self.known.insert(handle, (object, name.clone()));
        Ok(name)
    }

    /// Forgets a persistent object or index that was just deleted.
    pub(crate) fn forget(&mut self, handle: u32) {
        self.known.remove(&handle);
    }

    /// Forgets an index and closes its ESYS handle: its name may have changed in the TPM.
    pub(crate) fn reread(&mut self, handle: u32) {
        if let Some((mut object, _)) = self.known.remove(&handle) {
            // Closing costs no command and fails only for a handle that is closed already.
            let _ = self.context.tr_close(&mut object);
        }
    }

    /// The loaded key of this number.
    pub(crate) fn resident_key(&self, number: u64) -> Result<KeyHandle, TpmError> {
        self.resident
            .get(&number)
            .copied()
            .ok_or(TpmError::Changed {
                what: "loaded key (the TPM was restarted)",
            })
    }

    /// Keeps a loaded key until its number is released.
    pub(crate) fn keep_resident(&mut self, key: KeyHandle) -> u64 {
        let number = self.next_resident;
        self.next_resident += 1;
        self.resident.insert(number, key);
        number
    }

    /// The name of an object or index, recomputed from the public area that the software stack will use.
    ///
    /// The stack itself believes whatever name the bus returned beside that area. Whoever sits on the bus could so keep the
    /// pinned name of the SRK and put a key of their own under it, to which every session would then be salted.
    fn name_of(&mut self, object: ObjectHandle) -> Result<Name, TpmError> {
        let record = self.context.tr_serialize(object).at("ESYS_TR_Serialize")?;
        let (claimed, actual) = convert::names_in_record(&record).at("ESYS_TR_Serialize")?;
        if claimed == actual {
            Ok(actual)
        } else {
            Err(TpmError::Changed {
                what: "public area of an object, which does not fit its name,",
            })
        }
    }

    pub(crate) fn hierarchy_auth(&self, hierarchy: Hierarchy) -> &AuthValue {
        match hierarchy {
            Hierarchy::Owner => &self.config.auths.owner,
            Hierarchy::Endorsement => &self.config.auths.endorsement,
        }
    }

    fn known(
        &mut self,
        number: u32,
        handle: TpmHandle,
        pinned: &Name,
        what: &'static str,
    ) -> Result<ObjectHandle, TpmError> {
        match self.find(handle)? {
            Some((object, name)) if name == *pinned => Ok(object),
            Some(_) => {
                // Read it anew next time: whoever replaced it may have put it back.
                self.reread(number);
                Err(TpmError::Changed { what })
            }
            None => Err(TpmError::Changed { what }),
        }
    }

    /// Notices an error after which the connection must be opened again.
    fn judge_link(&mut self, error: TpmError) -> TpmError {
        // A TPM that does not know what we loaded was restarted behind a connection that still stands.
        if error.response_code() == Some(ResponseCode::REFERENCE_H0) {
            self.link = Link::Broken;
        }
        if let TpmError::Stack { source, .. } = &error
            && breaks_the_link(source)
        {
            self.link = Link::Broken;
            return TpmError::Unreachable {
                transport: self.config.transport.to_string(),
                source: *source,
            };
        }
        error
    }
}

fn connect(config: &TpmConfig) -> Result<Context, TpmError> {
    let unreachable = |source| TpmError::Unreachable {
        transport: config.transport.to_string(),
        source,
    };
    let mut context = config
        .transport
        .tcti()
        .and_then(Context::new)
        .map_err(unreachable)?;
    for (handle, auth) in [
        (TPM2_RH_OWNER, &config.auths.owner),
        (TPM2_RH_ENDORSEMENT, &config.auths.endorsement),
    ] {
        if !auth.is_empty() {
            let hierarchy = if handle == TPM2_RH_OWNER {
                ObjectHandle::Owner
            } else {
                ObjectHandle::Endorsement
            };
            Auth::from_bytes(auth.as_bytes())
                .and_then(|auth| context.tr_set_auth(hierarchy, auth))
                .map_err(unreachable)?;
        }
    }
    Ok(context)
}

/// Whether the TPM says that nothing is at a handle.
fn is_absence(error: &tss_esapi::Error) -> bool {
    ResponseCode::of(error)
        .is_some_and(|rc| [ResponseCode::HANDLE, ResponseCode::VALUE].contains(&rc.base()))
}

/// Whether an error of the software stack means that its context or its connection cannot be used any more.
fn breaks_the_link(error: &tss_esapi::Error) -> bool {
    use tss_esapi::ReturnCode;
    match error {
        tss_esapi::Error::TssError(code) => match code {
            ReturnCode::Tcti(_) | ReturnCode::Esapi(_) | ReturnCode::Sapi(_) => true,
            ReturnCode::Tpm(_)
            | ReturnCode::Fapi(_)
            | ReturnCode::Mu(_)
            | ReturnCode::ResourceManager(_)
            | ReturnCode::TpmResourceManager(_) => false,
        },
        tss_esapi::Error::WrapperError(_) => false,
    }
}
