//! A TPM in software, for the tests: its keys are ordinary ones, its structures are real.
//!
//! It signs whatever a test asks it to, which is what an attacker's would; it exists in tests alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod credential;
pub(crate) mod firmware;
mod scene;
#[allow(dead_code, reason = "what only the tests of `proof` make")]
#[path = "../../../proof/src/systemd_log/tests/builder.rs"]
pub(crate) mod systemd;

use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use holdfast_proof::audit::banks_digest;
use holdfast_proof::event_log;
use holdfast_proof::tpm::{
    ActiveBanks, AsymmetricScheme, ClockInfo, Digest, EccCurve, EccPublicKey, EcdsaSignature,
    HashAlg, KdfScheme, KeyKind, Name, NvAttributes, NvIndex, NvIndexType, NvPublic,
    ObjectAttributes, PcrIndex, PcrSelection, PcrValues, Public, PublicParts, Safe, Signature,
    StorageCipher, Writer, pcr_digest,
};
use holdfast_protocol::evidence::Signed;

use crate::attestation_key::qualified_name;
pub(crate) use scene::{Parts, Scene, enrolled, key_with_request, node_key, policy, supplied};

/// Restricted, decrypt, admin with policy, and born in and bound to its TPM: template L-2's attributes.
const EK: u32 = 0x0003_00b2;
/// Restricted, sign, user with auth, no DA, and born in and bound to its TPM.
pub(crate) const AK: u32 = 0x0005_0472;
/// As the AK, but not restricted.
pub(crate) const SIGNING: u32 = 0x0004_0472;

/// A TPM whose keys lie in memory.
pub(crate) struct SoftwareTpm {
    ek: agreement::PrivateKey,
    ak: EcdsaKeyPair,
    checkpoint: EcdsaKeyPair,
    pub(crate) ek_public: Public,
    pub(crate) ak_public: Public,
    pub(crate) checkpoint_key: Public,
    pub(crate) audit_counter: NvPublic,
    pub(crate) audit_value: u64,
    pub(crate) clock: ClockInfo,
    pub(crate) firmware: u64,
    pub(crate) pcrs: PcrValues,
    /// What it answers about its banks: TPML_PCR_SELECTION.
    pub(crate) banks: Vec<u8>,
}

/// A TPMS_ATTEST that is about to be signed.
#[derive(Clone)]
pub(crate) struct Statement {
    pub(crate) magic: u32,
    pub(crate) kind: u16,
    pub(crate) signer: Name,
    pub(crate) extra_data: Vec<u8>,
    pub(crate) clock: ClockInfo,
    pub(crate) firmware: u64,
    pub(crate) body: Vec<u8>,
}

impl SoftwareTpm {
    pub(crate) fn new() -> Self {
        let ek = agreement::PrivateKey::generate(&ECDH_P256).unwrap();
        let ak = signing_key();
        let checkpoint = signing_key();
        let ek_public = ecc_public(
            EK,
            StorageCipher::Aes128Cfb,
            AsymmetricScheme::Any,
            ek.compute_public_key().unwrap().as_ref(),
        );
        let ak_public = signing_public(AK, ak.public_key().as_ref());
        let checkpoint_key = signing_public(SIGNING, checkpoint.public_key().as_ref());
        let mut pcrs = PcrValues::new();
        let by_firmware = event_log::replay(&firmware::event_log()).unwrap().values;
        for index in [0, 2, 4, 7].map(pcr) {
            let value = by_firmware.value(HashAlg::Sha256, index).unwrap();
            assert!(pcrs.insert(index, value.clone()));
        }
        for index in [9, 11] {
            assert!(pcrs.insert(pcr(index), HashAlg::Sha256.digest(&[index])));
        }
        Self {
            ek,
            ak,
            checkpoint,
            ek_public,
            ak_public,
            checkpoint_key,
            audit_counter: counter(),
            audit_value: 5,
            clock: ClockInfo {
                clock_ms: 100_000_000,
                reset_count: 7,
                restart_count: 2,
                safe: Safe::Yes,
            },
            firmware: 0x0007_0002_0003_0004,
            pcrs,
            banks: banks(&[HashAlg::Sha256]),
        }
    }

    /// TPM2_Quote over a selection, with the digest that fits the TPM's PCRs.
    pub(crate) fn quote(&self, selection: &PcrSelection, extra_data: &[u8]) -> Statement {
        let mut selected = PcrValues::new();
        for (alg, index) in selection.iter() {
            assert!(selected.insert(index, self.pcrs.value(alg, index).unwrap().clone()));
        }
        let digest = pcr_digest(HashAlg::Sha256, selection, &selected).unwrap();
        let mut body = selection.encode();
        body.extend(sized(digest.as_bytes()));
        self.statement(0x8018, extra_data, body)
    }

    /// TPM2_GetSessionAuditDigest of a session in which it told these banks.
    pub(crate) fn audit_banks(&self, banks: &[u8], extra_data: &[u8]) -> Statement {
        let digest = banks_digest(&ActiveBanks::parse(banks).unwrap());
        let mut body = vec![1];
        body.extend(sized(digest.as_bytes()));
        self.statement(0x8016, extra_data, body)
    }

    /// TPM2_Certify of an object that has a public area.
    pub(crate) fn certify(&self, object: &Public, extra_data: &[u8]) -> Statement {
        let mut body = object.name().to_sized();
        let storage_root = Name::of_handle(0x4000_0001);
        let qualified = qualified_name(HashAlg::Sha256, &storage_root, &object.name());
        body.extend(qualified.to_sized());
        self.statement(0x8017, extra_data, body)
    }

    /// TPM2_NV_Certify of the audit counter.
    pub(crate) fn certify_counter(&self, extra_data: &[u8]) -> Statement {
        self.certify_nv(&self.audit_counter.name(), self.audit_value, extra_data)
    }

    pub(crate) fn certify_nv(&self, index: &Name, value: u64, extra_data: &[u8]) -> Statement {
        let mut body = index.to_sized();
        body.extend([0, 0]);
        body.extend(sized(&value.to_be_bytes()));
        self.statement(0x8014, extra_data, body)
    }

    /// Signs a statement with the AK.
    pub(crate) fn sign(&self, statement: &Statement) -> Signed {
        sign(&self.ak, statement)
    }

    /// Signs bytes that no TPM would make with the AK.
    pub(crate) fn sign_bytes(&self, attest: Vec<u8>) -> Signed {
        sign_bytes(&self.ak, attest)
    }

    /// A checkpoint's signature by the checkpoint key: ECDSA-Sig-Value, DER.
    pub(crate) fn sign_checkpoint(&self, text: &str) -> Vec<u8> {
        let signature = self
            .checkpoint
            .sign(&SystemRandom::new(), text.as_bytes())
            .unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        Signature::Ecdsa(EcdsaSignature::new(HashAlg::Sha256, r, s).unwrap()).to_x509()
    }

    fn statement(&self, kind: u16, extra_data: &[u8], body: Vec<u8>) -> Statement {
        let ek = qualified_name(
            HashAlg::Sha256,
            &Name::endorsement(),
            &self.ek_public.name(),
        );
        Statement {
            magic: 0xff54_4347,
            kind,
            signer: qualified_name(HashAlg::Sha256, &ek, &self.ak_public.name()),
            extra_data: extra_data.to_vec(),
            clock: self.clock,
            firmware: self.firmware,
            body,
        }
    }
}

impl Statement {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u32(self.magic)
            .u16(self.kind)
            .bytes(&self.signer.to_sized())
            .bytes(&sized(&self.extra_data))
            .u64(self.clock.clock_ms)
            .u32(self.clock.reset_count)
            .u32(self.clock.restart_count)
            .u8(u8::from(self.clock.safe == Safe::Yes))
            .u64(self.firmware)
            .bytes(&self.body);
        writer.finish()
    }
}

/// Signs a statement with any P-256 key.
pub(crate) fn sign(key: &EcdsaKeyPair, statement: &Statement) -> Signed {
    sign_bytes(key, statement.encode())
}

fn sign_bytes(key: &EcdsaKeyPair, attest: Vec<u8>) -> Signed {
    let signature = key.sign(&SystemRandom::new(), &attest).unwrap();
    let (r, s) = signature.as_ref().split_at(32);
    let signature = EcdsaSignature::new(HashAlg::Sha256, r, s).unwrap();
    Signed {
        attest,
        signature: Signature::Ecdsa(signature).encode(),
    }
}

pub(crate) fn signing_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

/// The public area of a signing key, with its scheme fixed to ECDSA with SHA-256.
pub(crate) fn signing_public(attributes: u32, point: &[u8]) -> Public {
    ecc_public(
        attributes,
        StorageCipher::None,
        AsymmetricScheme::Ecdsa(HashAlg::Sha256),
        point,
    )
}

pub(crate) fn ecc_public(
    attributes: u32,
    storage: StorageCipher,
    scheme: AsymmetricScheme,
    point: &[u8],
) -> Public {
    Public::from_parts(&PublicParts {
        name_alg: HashAlg::Sha256,
        attributes: ObjectAttributes::from_bits(attributes).unwrap(),
        auth_policy: None,
        kind: KeyKind::Ecc {
            storage,
            scheme,
            kdf: KdfScheme::None,
            key: EccPublicKey::from_sec1(EccCurve::P256, point).unwrap(),
        },
    })
    .unwrap()
}

/// The audit counter as Holdfast defines it.
pub(crate) fn counter() -> NvPublic {
    NvPublic {
        index: NvIndex::new(0x0180_4801).unwrap(),
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::of(NvIndexType::Counter)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::AUTH_WRITE)
            .with(NvAttributes::NO_DA)
            .with(NvAttributes::WRITTEN),
        auth_policy: None,
        data_size: 8,
    }
}

/// All PCRs of these banks, as a TPM tells them.
pub(crate) fn banks(algs: &[HashAlg]) -> Vec<u8> {
    let all = (0..PcrIndex::COUNT).map(pcr);
    let none = PcrSelection::none();
    algs.iter()
        .fold(none, |banks, alg| banks.with(*alg, all.clone()))
        .encode()
}

pub(crate) fn pcr(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}

pub(crate) fn digest(byte: u8) -> Digest {
    HashAlg::Sha256.digest(&[byte])
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut sized = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    sized.extend_from_slice(bytes);
    sized
}

#[test]
fn its_signatures_are_real() {
    let tpm = SoftwareTpm::new();
    let signed = tpm.sign(&tpm.certify_counter(b"extra"));
    let attest = holdfast_proof::tpm::Attest::parse(&signed.attest).unwrap();
    let signature = Signature::parse(&signed.signature).unwrap();
    tpm.ak_public
        .key()
        .unwrap()
        .verify(attest.as_bytes(), &signature)
        .unwrap();
    UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        tpm.ak.public_key(),
    )
    .verify(&signed.attest, &signature.to_x509())
    .unwrap();
}
