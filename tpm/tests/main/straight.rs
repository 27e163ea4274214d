//! Straight to the TPM, around this crate: what an attacker with the owner authorization would send.

use aws_lc_rs::digest::{SHA256, digest};
use holdfast_proof::policy::{CommandCode, cp_hash};
use holdfast_proof::tpm::{NvAttributes, NvIndexType, NvPublic};
use holdfast_protocol::Sha256Digest;
use holdfast_tpm::{ApproverState, Hierarchy, STORAGE_ROOT};
use tss_esapi::Context;
use tss_esapi::attributes::{NvIndexAttributes, SessionAttributesBuilder};
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{
    AuthHandle, KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, PersistentTpmHandle,
    SessionHandle, TpmHandle,
};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::reserved_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Auth, Digest, MaxNvBuffer, Nonce, NvPublic as EsapiNvPublic, Private, Public, SignatureScheme,
    SymmetricDefinition,
};
use tss_esapi::tcti_ldr::{TctiNameConf, TpmSimulatorConfig};
use tss_esapi::traits::UnMarshall as _;
use tss_esapi::tss2_esys::TSS2_RC;

use crate::swtpm::Swtpm;

const PASSWORD: Option<AuthSession> = Some(AuthSession::Password);

pub struct Straight(Context);

pub fn pin_auth(typed: &str) -> Auth {
    let bytes = [b"holdfast-pin-v1".as_slice(), typed.as_bytes()].concat();
    Auth::from_bytes(digest(&SHA256, &bytes).as_ref()).unwrap()
}

pub fn set_hierarchy_auth(swtpm: &Swtpm, hierarchy: Hierarchy, auth: &[u8]) {
    let handle = match hierarchy {
        Hierarchy::Owner => AuthHandle::Owner,
        Hierarchy::Endorsement => AuthHandle::Endorsement,
    };
    Straight::open(swtpm)
        .0
        .execute_with_session(PASSWORD, |context| {
            context.hierarchy_change_auth(handle, Auth::from_bytes(auth).unwrap())
        })
        .unwrap();
}

impl Straight {
    pub fn open(swtpm: &Swtpm) -> Self {
        let path = swtpm.socket().to_str().unwrap().to_owned();
        let conf = TctiNameConf::Swtpm(TpmSimulatorConfig::Unix { path });
        Self(Context::new(conf).unwrap())
    }

    /// Gives the PIN for one digest and signs another, or the same; the response code where that is refused.
    pub fn approve(
        &mut self,
        approver: &ApproverState,
        pin: &Auth,
        bound: Sha256Digest,
        signed: Sha256Digest,
    ) -> Result<(), u32> {
        let index = self.index(approver.pin_index());
        let key = self.load(approver);
        let policy = self.session(SessionType::Policy);
        let proof = self.session(SessionType::Hmac);
        let result = self.sign(approver, index, key, policy, proof, pin, bound, signed);
        for handle in [
            SessionHandle::from(policy).into(),
            SessionHandle::from(proof).into(),
            ObjectHandle::from(key),
        ] {
            self.0.flush_context(handle).unwrap();
        }
        result.map_err(|error| code(&error))
    }

    /// Puts `contents` into an index that anybody may read, as a vendor puts a certificate there.
    pub fn store(&mut self, index: u32, contents: &[u8]) {
        let attributes = NvAttributes::of(NvIndexType::Ordinary)
            .with(NvAttributes::OWNER_WRITE)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::NO_DA);
        let definition = EsapiNvPublic::builder()
            .with_nv_index(NvIndexTpmHandle::new(index).unwrap())
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(NvIndexAttributes::try_from(attributes.bits()).unwrap())
            .with_data_area_size(contents.len())
            .build()
            .unwrap();
        self.0
            .execute_with_session(PASSWORD, |context| {
                let index = context.nv_define_space(Provision::Owner, None, definition)?;
                for (part, offset) in contents.chunks(500).zip((0..).step_by(500)) {
                    let part = MaxNvBuffer::from_bytes(part).unwrap();
                    context.nv_write(NvAuth::Owner, index, part, offset)?;
                }
                Ok::<_, tss_esapi::Error>(())
            })
            .unwrap();
    }

    /// Deletes the index and defines one with the same public area and another PIN.
    pub fn recreate(&mut self, area: &NvPublic, pin: &Auth) {
        let index = self.index(area);
        let written = area.attributes.bits() & !NvAttributes::WRITTEN.bits();
        let policy = area.auth_policy.as_ref().unwrap();
        let definition = EsapiNvPublic::builder()
            .with_nv_index(NvIndexTpmHandle::new(area.index.handle()).unwrap())
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(NvIndexAttributes::try_from(written).unwrap())
            .with_index_auth_policy(Digest::from_bytes(policy.as_bytes()).unwrap())
            .with_data_area_size(8)
            .build()
            .unwrap();
        self.0
            .execute_with_session(PASSWORD, |context| {
                context.nv_undefine_space(Provision::Owner, index)?;
                context.nv_define_space(Provision::Owner, Some(pin.clone()), definition)
            })
            .unwrap();
    }

    pub fn write_as_owner(&mut self, area: &NvPublic) -> Result<(), u32> {
        let index = self.index(area);
        self.write(NvAuth::Owner, index)
    }

    pub fn write_by_pin(&mut self, area: &NvPublic, pin: &Auth) -> Result<(), u32> {
        let index = self.index(area);
        self.0
            .tr_set_auth(ObjectHandle::from(index), pin.clone())
            .unwrap();
        self.write(NvAuth::NvIndex(index), index)
    }

    fn write(&mut self, auth: NvAuth, index: NvIndexHandle) -> Result<(), u32> {
        let contents = MaxNvBuffer::from_bytes(&[0, 0, 0, 0, 0, 0, 0, 9]).unwrap();
        self.0
            .execute_with_session(PASSWORD, |context| {
                context.nv_write(auth, index, contents, 0)
            })
            .map_err(|error| code(&error))
    }

    #[allow(clippy::too_many_arguments, reason = "one TPM flow in one place")]
    fn sign(
        &mut self,
        approver: &ApproverState,
        index: NvIndexHandle,
        key: KeyHandle,
        policy: AuthSession,
        proof: AuthSession,
        pin: &Auth,
        bound: Sha256Digest,
        signed: Sha256Digest,
    ) -> tss_esapi::Result<()> {
        let session = PolicySession::try_from(policy).unwrap();
        let mut parameters = vec![0, 32];
        parameters.extend_from_slice(bound.as_bytes());
        parameters.extend_from_slice(&[0, 0x10, 0x80, 0x24, 0x40, 0, 0, 7, 0, 0]);
        let bound = cp_hash(CommandCode::SIGN, &[&approver.public().name()], &parameters);
        self.0.tr_set_auth(ObjectHandle::from(index), pin.clone())?;
        self.0.execute_with_session(Some(proof), |context| {
            context.policy_secret(
                session,
                AuthHandle::from(index),
                Nonce::default(),
                Digest::from(*bound.as_bytes()),
                Nonce::default(),
                None,
            )
        })?;
        self.0
            .execute_without_session(|context| context.policy_auth_value(session))?;
        self.0.tr_set_auth(key.into(), pin.clone())?;
        self.0.execute_with_session(Some(policy), |context| {
            context.sign(
                key,
                Digest::from(*signed.as_bytes()),
                SignatureScheme::Null,
                None,
            )
        })?;
        Ok(())
    }

    fn load(&mut self, approver: &ApproverState) -> KeyHandle {
        let handle = TpmHandle::Persistent(PersistentTpmHandle::new(STORAGE_ROOT).unwrap());
        let srk = self.0.tr_from_tpm_public(handle).unwrap();
        let public = Public::unmarshall(approver.public().as_bytes()).unwrap();
        let private = Private::try_from(approver.key().private().to_vec()).unwrap();
        self.0
            .execute_with_session(PASSWORD, |context| {
                context.load(KeyHandle::from(srk), private, public)
            })
            .unwrap()
    }

    fn index(&mut self, area: &NvPublic) -> NvIndexHandle {
        let handle = NvIndexTpmHandle::new(area.index.handle()).unwrap();
        let found = self.0.tr_from_tpm_public(TpmHandle::NvIndex(handle));
        NvIndexHandle::from(found.unwrap())
    }

    fn session(&mut self, kind: SessionType) -> AuthSession {
        let cipher = SymmetricDefinition::AES_128_CFB;
        let hash = HashingAlgorithm::Sha256;
        let session = self
            .0
            .start_auth_session(None, None, None, kind, cipher, hash)
            .unwrap()
            .unwrap();
        let (attributes, mask) = SessionAttributesBuilder::new()
            .with_continue_session(true)
            .build();
        self.0
            .tr_sess_set_attributes(session, attributes, mask)
            .unwrap();
        session
    }
}

fn code(error: &tss_esapi::Error) -> u32 {
    match error {
        tss_esapi::Error::TssError(code) => TSS2_RC::from(*code),
        tss_esapi::Error::WrapperError(error) => panic!("{error}"),
    }
}
