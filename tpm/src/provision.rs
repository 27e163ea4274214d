//! This host's keys and counters: found if they are there, created if not, and refused if they are somebody else's.
//!
//! Idempotent. Nothing that another system may be using is ever replaced, and no authorization of a hierarchy is set.

use std::sync::Arc;

use holdfast_proof::tpm::{
    HashAlg, Name, NvAttributes, NvIndexType, NvPublic, ObjectAttributes, Public,
};
use tss_esapi::attributes::NvIndexAttributes;
use tss_esapi::handles::{
    KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, PersistentTpmHandle, TpmHandle,
};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::data_handles::Persistent;
use tss_esapi::interface_types::reserved_handles::{
    Hierarchy as EsapiHierarchy, NvAuth, Provision,
};
use tss_esapi::structures::{Digest, NvPublic as EsapiNvPublic};

use crate::config::Hierarchy;
use crate::engine::{Engine, public};
use crate::error::{At as _, ResponseCode, TpmError};
use crate::owner::Tpm;
use crate::places;
use crate::queue::Priority;
use crate::state::{CounterRole, KeyBlob, TpmState};
use crate::templates;

/// A TPM with this host's keys and counters in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provisioned {
    tpm: Tpm,
    state: Arc<TpmState>,
}

impl Tpm {
    /// Finds or creates this host's keys and counters. With the `previous` state it insists on exactly those; without it,
    /// it adopts what an earlier run left and creates the rest. The caller keeps [`Provisioned::state`].
    ///
    /// # Errors
    /// [`TpmError::Changed`] if the TPM is not the one of `previous`, or was cleared; [`TpmError::Unsupported`] if something
    /// foreign stands where Holdfast's objects belong; [`TpmError::HierarchyAuth`] if an authorization is set and not given.
    pub async fn provision(self, previous: Option<TpmState>) -> Result<Provisioned, TpmError> {
        let state = self
            .run(Priority::Background, move |engine| match previous {
                Some(state) => {
                    engine.flush_leftovers()?;
                    engine.verify_state(state)
                }
                None => engine.provision(),
            })
            .await?;
        Ok(Provisioned {
            tpm: self,
            state: Arc::new(state),
        })
    }
}

impl Provisioned {
    /// What to keep, and to give to [`Tpm::provision`] next time.
    pub fn state(&self) -> &TpmState {
        &self.state
    }

    /// The handle to the TPM.
    pub fn tpm(&self) -> &Tpm {
        &self.tpm
    }

    pub(crate) fn shared_state(&self) -> Arc<TpmState> {
        Arc::clone(&self.state)
    }

    /// Gives back what Holdfast keeps in the TPM: the attestation key and both counters, for an uninstall. The SRK stays,
    /// because others may use it. Approvers are removed one by one, before.
    ///
    /// # Errors
    /// As the TPM refuses; what is already gone is no error.
    pub async fn deprovision(self) -> Result<(), TpmError> {
        let state = self.state;
        self.tpm
            .run(Priority::Background, move |engine| {
                let srk = engine.srk(&state)?;
                engine.deprovision(srk)
            })
            .await
    }
}

impl Engine {
    /// The pinned SRK; no command once it is known.
    pub(crate) fn srk(&mut self, state: &TpmState) -> Result<KeyHandle, TpmError> {
        self.persistent(
            places::STORAGE_ROOT,
            &state.storage_root,
            "storage root key",
        )
    }

    /// The pinned AK; no command once it is known.
    pub(crate) fn ak(&mut self, state: &TpmState) -> Result<KeyHandle, TpmError> {
        let name = state.attestation_key.name();
        self.persistent(places::ATTESTATION_KEY, &name, "attestation key")
    }

    /// A pinned counter; no command once it is known.
    pub(crate) fn counter(
        &mut self,
        state: &TpmState,
        role: CounterRole,
    ) -> Result<NvIndexHandle, TpmError> {
        let area = state.counter(role);
        self.nv_index(area.index, &area.name(), counter_word(role))
    }

    fn verify_state(&mut self, state: TpmState) -> Result<TpmState, TpmError> {
        self.srk(&state)?;
        self.ak(&state)?;
        self.counter(&state, CounterRole::Epoch)?;
        self.counter(&state, CounterRole::Audit)?;
        Ok(state)
    }

    fn provision(&mut self) -> Result<TpmState, TpmError> {
        let (srk, storage_root) = self.provision_storage_root()?;
        let (endorsement_key, attestation_key) = self.provision_attestation_key(srk)?;
        Ok(TpmState {
            endorsement_key,
            storage_root,
            attestation_key,
            epoch_counter: self.provision_counter(srk, CounterRole::Epoch)?,
            audit_counter: self.provision_counter(srk, CounterRole::Audit)?,
            checkpoint_key: self.provision_checkpoint_key(srk)?,
        })
    }

    fn provision_storage_root(&mut self) -> Result<(KeyHandle, Name), TpmError> {
        let handle = PersistentTpmHandle::new(places::STORAGE_ROOT).at("TPM2_ReadPublic")?;
        if let Some((object, name)) = self.find(TpmHandle::Persistent(handle))? {
            let srk = KeyHandle::from(object);
            let (area, _, _) = self
                .context
                .execute_without_session(|context| context.read_public(srk))
                .at("TPM2_ReadPublic")?;
            let attributes = public(&area)?.attributes();
            let usable = attributes.is_bound_storage_key()
                && attributes.contains(ObjectAttributes::USER_WITH_AUTH);
            return if usable {
                Ok((srk, name))
            } else {
                Err(TpmError::Unsupported {
                    what: "the object at 0x81000001 is not a storage key",
                })
            };
        }
        let template = templates::storage_root().at("TPM2_CreatePrimary")?;
        let created = self
            .with_hierarchy(Hierarchy::Owner, None, "TPM2_CreatePrimary", |engine| {
                engine.context.create_primary(
                    EsapiHierarchy::Owner,
                    template,
                    None,
                    None,
                    None,
                    None,
                )
            })
            .map_err(without_p256)?;
        self.with_transient(created.key_handle, |engine, key| {
            engine.make_persistent(None, key, handle)
        })
    }

    fn provision_attestation_key(&mut self, srk: KeyHandle) -> Result<(Public, Public), TpmError> {
        let handle = PersistentTpmHandle::new(places::ATTESTATION_KEY).at("TPM2_ReadPublic")?;
        if let Some((object, _)) = self.find(TpmHandle::Persistent(handle))? {
            return self.adopt_attestation_key(srk, KeyHandle::from(object));
        }
        let template = templates::attestation_key(self.config.attestation_key).at("TPM2_Create")?;
        self.with_ek(Some(srk), |engine, ek, ek_public| {
            let (blob, ak) = engine.with_ek_auth(srk, |engine, session| {
                let created = engine
                    .context
                    .execute_with_session(Some(session.auth()), |context| {
                        context.create(ek, template, None, None, None, None)
                    })
                    .at("TPM2_Create")?;
                // Using a policy session starts its policy over.
                engine.renew_ek_auth(srk, session)?;
                engine.end_with_next(session)?;
                let ak_public = public(&created.out_public)?;
                let ak = engine
                    .context
                    .execute_with_session(Some(session.auth()), |context| {
                        context.load(ek, created.out_private, created.out_public)
                    })
                    .at("TPM2_Load")?;
                Ok((ak_public, ak))
            })?;
            engine.with_transient(ak, |engine, ak| {
                engine.make_persistent(Some(srk), ak, handle)
            })?;
            Ok((ek_public, blob))
        })
    }

    /// Takes an AK that an earlier run left, if it is really one: an attestation key, and a child of this EK.
    fn adopt_attestation_key(
        &mut self,
        srk: KeyHandle,
        ak: KeyHandle,
    ) -> Result<(Public, Public), TpmError> {
        let (area, _, qualified) = self
            .context
            .execute_without_session(|context| context.read_public(ak))
            .at("TPM2_ReadPublic")?;
        let ak_public = public(&area)?;
        let qualified = Name::parse(qualified.value()).at("TPM2_ReadPublic")?;
        let ek_public = self.with_ek(Some(srk), |_, _, area| Ok(area))?;
        let ek_qualified = qualify(&Name::endorsement(), &ek_public);
        let ours = ak_public.attributes().is_attestation_key()
            && qualified == qualify(&ek_qualified, &ak_public);
        if ours {
            Ok((ek_public, ak_public))
        } else {
            Err(TpmError::Unsupported {
                what: "the object at Holdfast's attestation handle is not an attestation key of this endorsement key",
            })
        }
    }

    fn provision_counter(
        &mut self,
        srk: KeyHandle,
        role: CounterRole,
    ) -> Result<NvPublic, TpmError> {
        let area = counter_area(role)?;
        let written = written(&area);
        let handle = NvIndexTpmHandle::new(area.index.handle()).at("TPM2_NV_DefineSpace")?;
        let index = match self.find(TpmHandle::NvIndex(handle))? {
            Some((_, name)) if name == written.name() => return Ok(written),
            // An earlier run was stopped between definition and first increment.
            Some((object, name)) if name == area.name() => NvIndexHandle::from(object),
            Some(_) => {
                return Err(TpmError::Unsupported {
                    what: "something foreign is at the NV index of one of Holdfast's counters",
                });
            }
            None => {
                let definition = nv_definition(&area)?;
                self.with_hierarchy(
                    Hierarchy::Owner,
                    Some(srk),
                    "TPM2_NV_DefineSpace",
                    |engine| {
                        engine
                            .context
                            .nv_define_space(Provision::Owner, None, definition)
                    },
                )?
            }
        };
        self.plain(1, |context| {
            context.nv_increment(NvAuth::NvIndex(index), index)
        })
        .at("TPM2_NV_Increment")?;
        self.remember(area.index.handle(), ObjectHandle::from(index))?;
        self.nv_index(area.index, &written.name(), counter_word(role))?;
        Ok(written)
    }

    fn provision_checkpoint_key(&mut self, srk: KeyHandle) -> Result<KeyBlob, TpmError> {
        let template = templates::signing_key().at("TPM2_Create")?;
        self.create_open(srk, template)
    }

    fn make_persistent(
        &mut self,
        salt: Option<KeyHandle>,
        key: KeyHandle,
        handle: PersistentTpmHandle,
    ) -> Result<(KeyHandle, Name), TpmError> {
        let object =
            self.with_hierarchy(Hierarchy::Owner, salt, "TPM2_EvictControl", |engine| {
                engine.context.evict_control(
                    Provision::Owner,
                    key.into(),
                    Persistent::Persistent(handle),
                )
            })?;
        let name = self.remember(u32::from(TpmHandle::Persistent(handle)), object)?;
        Ok((KeyHandle::from(object), name))
    }

    fn deprovision(&mut self, srk: KeyHandle) -> Result<(), TpmError> {
        let handle = PersistentTpmHandle::new(places::ATTESTATION_KEY).at("TPM2_EvictControl")?;
        if let Some((object, _)) = self.find(TpmHandle::Persistent(handle))? {
            self.with_hierarchy(Hierarchy::Owner, Some(srk), "TPM2_EvictControl", |engine| {
                engine.context.evict_control(
                    Provision::Owner,
                    object,
                    Persistent::Persistent(handle),
                )
            })?;
            self.forget(places::ATTESTATION_KEY);
        }
        for role in [CounterRole::Epoch, CounterRole::Audit] {
            self.undefine(srk, &counter_area(role)?)?;
        }
        Ok(())
    }

    /// Deletes an NV index, if it is there.
    pub(crate) fn undefine(&mut self, srk: KeyHandle, area: &NvPublic) -> Result<(), TpmError> {
        let number = area.index.handle();
        let handle = NvIndexTpmHandle::new(number).at("TPM2_NV_UndefineSpace")?;
        if let Some((object, _)) = self.find(TpmHandle::NvIndex(handle))? {
            self.with_hierarchy(
                Hierarchy::Owner,
                Some(srk),
                "TPM2_NV_UndefineSpace",
                |engine| {
                    engine
                        .context
                        .nv_undefine_space(Provision::Owner, NvIndexHandle::from(object))
                },
            )?;
            self.forget(number);
        }
        Ok(())
    }
}

/// The first key that is made tells what a TPM cannot: every key of Holdfast's but EK and AK is on P-256.
fn without_p256(error: TpmError) -> TpmError {
    error.blame(|_, rc| {
        let lacking = [ResponseCode::CURVE, ResponseCode::ASYMMETRIC, ResponseCode::TYPE];
        lacking.contains(&rc.base()).then_some(TpmError::Unsupported {
            what: "it has no elliptic curve P-256, which Holdfast's keys are on; TPMs made before 2016 or so may lack it",
        })
    })
}

/// The public area as the software stack takes it.
pub(crate) fn nv_definition(area: &NvPublic) -> Result<EsapiNvPublic, TpmError> {
    const COMMAND: &str = "TPM2_NV_DefineSpace";
    let policy = match &area.auth_policy {
        Some(policy) => Digest::from_bytes(policy.as_bytes()).at(COMMAND)?,
        None => Digest::default(),
    };
    EsapiNvPublic::builder()
        .with_nv_index(NvIndexTpmHandle::new(area.index.handle()).at(COMMAND)?)
        .with_index_name_algorithm(HashingAlgorithm::Sha256)
        .with_index_attributes(NvIndexAttributes::try_from(area.attributes.bits()).at(COMMAND)?)
        .with_index_auth_policy(policy)
        .with_data_area_size(usize::from(area.data_size))
        .build()
        .at(COMMAND)
}

/// The public area as it is once the index was written, which changes its name.
pub(crate) fn written(area: &NvPublic) -> NvPublic {
    NvPublic {
        attributes: area.attributes.with(NvAttributes::WRITTEN),
        ..area.clone()
    }
}

/// A counter that whoever reaches the TPM may read and increment. Burning counts harms only availability, and shows.
fn counter_area(role: CounterRole) -> Result<NvPublic, TpmError> {
    Ok(NvPublic {
        index: places::counter(role).ok_or(TpmError::Caller("a counter has no place"))?,
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::of(NvIndexType::Counter)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::AUTH_WRITE)
            .with(NvAttributes::NO_DA),
        auth_policy: None,
        data_size: 8,
    })
}

fn counter_word(role: CounterRole) -> &'static str {
    match role {
        CounterRole::Epoch => "epoch counter",
        CounterRole::Audit => "audit counter",
    }
}

/// A qualified name: the hash, by the object's own algorithm, of the parent's qualified name and the object's name (Part 1
/// §16.5).
fn qualify(parent: &Name, object: &Public) -> Name {
    let names = [parent.as_bytes(), object.name().as_bytes()].concat();
    Name::of_public(object.name_alg(), &names)
}
