//! The public areas that Holdfast asks a TPM to create.
//!
//! What an attestor insists on is decided here: a template that is changed makes other keys, and old hosts stop verifying.

use holdfast_protocol::Sha256Digest;
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Digest, EccParameter, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme,
    KeyedHashScheme, Public, PublicBuilder, PublicEccParametersBuilder, PublicKeyRsa,
    PublicKeyedHashParameters, PublicRsaParametersBuilder, RsaExponent, RsaScheme,
    SymmetricDefinitionObject,
};

use crate::config::{AttestationKey, EkRange, EndorsementKey};

type Template = tss_esapi::Result<Public>;

/// An EK (TCG EK Credential Profile 2.5, templates L-1, L-2, H-3 and H-6).
pub(crate) fn endorsement_key(kind: EndorsementKey) -> Template {
    // PolicySecret(TPM_RH_ENDORSEMENT), §B.6.2.
    const POLICY_A: [u8; 32] = [
        0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7,
        0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14,
        0x69, 0xaa,
    ];
    // PolicyOR of that and of an authorization by an NV index, with SHA-384, §B.6.5.
    const POLICY_B: [u8; 48] = [
        0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a,
        0x1a, 0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4,
        0x19, 0xca, 0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3,
        0xf8, 0x0e, 0x12,
    ];
    let range = kind.range();
    let attributes = bound()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(range == EkRange::High)
        .with_admin_with_policy(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let (hash, policy, cipher) = match range {
        EkRange::Low => (
            HashingAlgorithm::Sha256,
            Digest::from(POLICY_A),
            SymmetricDefinitionObject::AES_128_CFB,
        ),
        EkRange::High => (
            HashingAlgorithm::Sha384,
            Digest::from(POLICY_B),
            SymmetricDefinitionObject::AES_256_CFB,
        ),
    };
    let common = Common {
        hash,
        attributes,
        policy,
    };
    let with_bits = |bits| {
        let exponent = RsaExponent::default();
        PublicRsaParametersBuilder::new_restricted_decryption_key(cipher, bits, exponent)
    };
    let on_curve = |curve| PublicEccParametersBuilder::new_restricted_decryption_key(cipher, curve);
    // The low range has a unique value of zeros, the high range an empty one.
    match kind {
        EndorsementKey::Rsa2048 => rsa(common, with_bits(RsaKeyBits::Rsa2048), &[0; 256]),
        EndorsementKey::EccP256 => ecc(common, on_curve(EccCurve::NistP256), &[0; 32]),
        EndorsementKey::Rsa3072 => rsa(common, with_bits(RsaKeyBits::Rsa3072), &[]),
        EndorsementKey::EccP384 => ecc(common, on_curve(EccCurve::NistP384), &[]),
    }
}

/// The SRK (TCG TPM v2.0 Provisioning Guidance §7.5.1).
pub(crate) fn storage_root() -> Template {
    let attributes = bound()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    ecc(
        Common::named_by_sha256(attributes, Digest::default()),
        PublicEccParametersBuilder::new_restricted_decryption_key(
            SymmetricDefinitionObject::AES_128_CFB,
            EccCurve::NistP256,
        ),
        &[0; 32],
    )
}

/// The attestation key. Without dictionary-attack protection: its authorization is empty, and somebody else's wrong guesses
/// must not stop this host from proving itself.
pub(crate) fn attestation_key(kind: AttestationKey) -> Template {
    let attributes = bound()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_sign_encrypt(true)
        .build()?;
    match kind {
        AttestationKey::EccP256 => ecc(
            Common::named_by_sha256(attributes, Digest::default()),
            PublicEccParametersBuilder::new()
                .with_ecc_scheme(ecdsa())
                .with_curve(EccCurve::NistP256)
                .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
                .with_is_signing_key(true)
                .with_restricted(true),
            &[],
        ),
        AttestationKey::Rsa2048 => rsa(
            Common::named_by_sha256(attributes, Digest::default()),
            PublicRsaParametersBuilder::new()
                .with_scheme(RsaScheme::RsaSsa(sha256()))
                .with_key_bits(RsaKeyBits::Rsa2048)
                .with_exponent(RsaExponent::default())
                .with_is_signing_key(true)
                .with_restricted(true),
            &[],
        ),
    }
}

/// A P-256 key that signs any digest for whoever can reach the TPM: node keys and the checkpoint key.
pub(crate) fn signing_key() -> Template {
    let attributes = bound()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .build()?;
    ecc(
        Common::named_by_sha256(attributes, Digest::default()),
        signing_p256(),
        &[],
    )
}

/// A P-256 key that signs only where `policy` holds. Its own authorization never suffices, and guesses at it are limited by
/// the policy's PIN index, not by the lockout that would take everybody's keys along.
pub(crate) fn approval_key(policy: &Sha256Digest) -> Template {
    let attributes = bound()
        .with_sensitive_data_origin(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .build()?;
    ecc(
        Common::named_by_sha256(attributes, super::engine::digest(policy)),
        signing_p256(),
        &[],
    )
}

/// A P-256 key that approves software states for the vault root; its authorization is the recovery code.
pub(crate) fn vault_authority() -> Template {
    signing_key()
}

/// Sealed data that opens only where `policy` holds.
pub(crate) fn sealed(policy: &Sha256Digest) -> Template {
    let attributes = bound().with_no_da(true).build()?;
    keyed_hash(attributes, super::engine::digest(policy))
}

/// An object that is good for nothing but its authorization, which a recovery code is.
pub(crate) fn recovery_object() -> Template {
    let attributes = bound().with_no_da(true).with_user_with_auth(true).build()?;
    keyed_hash(attributes, Digest::default())
}

/// Whether `public` is what `template` makes, whatever its unique value.
pub(crate) fn made_from(public: &Public, template: &Public) -> bool {
    match (public.clone(), template.clone()) {
        (
            Public::Rsa {
                object_attributes,
                name_hashing_algorithm,
                auth_policy,
                parameters,
                unique: _,
            },
            Public::Rsa {
                object_attributes: expected_attributes,
                name_hashing_algorithm: expected_hash,
                auth_policy: expected_policy,
                parameters: expected_parameters,
                unique: _,
            },
        ) => {
            object_attributes == expected_attributes
                && name_hashing_algorithm == expected_hash
                && auth_policy == expected_policy
                && parameters == expected_parameters
        }
        (
            Public::Ecc {
                object_attributes,
                name_hashing_algorithm,
                auth_policy,
                parameters,
                unique: _,
            },
            Public::Ecc {
                object_attributes: expected_attributes,
                name_hashing_algorithm: expected_hash,
                auth_policy: expected_policy,
                parameters: expected_parameters,
                unique: _,
            },
        ) => {
            object_attributes == expected_attributes
                && name_hashing_algorithm == expected_hash
                && auth_policy == expected_policy
                && parameters == expected_parameters
        }
        (
            Public::Rsa { .. }
            | Public::Ecc { .. }
            | Public::KeyedHash { .. }
            | Public::SymCipher { .. },
            _,
        ) => false,
    }
}

fn bound() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
}

fn sha256() -> HashScheme {
    HashScheme::new(HashingAlgorithm::Sha256)
}

fn ecdsa() -> EccScheme {
    EccScheme::EcDsa(sha256())
}

fn signing_p256() -> PublicEccParametersBuilder {
    PublicEccParametersBuilder::new_unrestricted_signing_key(ecdsa(), EccCurve::NistP256)
}

fn ecc(common: Common, parameters: PublicEccParametersBuilder, unique: &[u8]) -> Template {
    common
        .of(PublicAlgorithm::Ecc)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::new(
            EccParameter::from_bytes(unique)?,
            EccParameter::from_bytes(unique)?,
        ))
        .build()
}

fn rsa(common: Common, parameters: PublicRsaParametersBuilder, unique: &[u8]) -> Template {
    common
        .of(PublicAlgorithm::Rsa)
        .with_rsa_parameters(parameters.build()?)
        .with_rsa_unique_identifier(PublicKeyRsa::from_bytes(unique)?)
        .build()
}

fn keyed_hash(attributes: ObjectAttributes, policy: Digest) -> Template {
    Common::named_by_sha256(attributes, policy)
        .of(PublicAlgorithm::KeyedHash)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}

/// What every public area has.
struct Common {
    hash: HashingAlgorithm,
    attributes: ObjectAttributes,
    policy: Digest,
}

impl Common {
    fn named_by_sha256(attributes: ObjectAttributes, policy: Digest) -> Self {
        Self {
            hash: HashingAlgorithm::Sha256,
            attributes,
            policy,
        }
    }

    fn of(self, algorithm: PublicAlgorithm) -> PublicBuilder {
        PublicBuilder::new()
            .with_public_algorithm(algorithm)
            .with_name_hashing_algorithm(self.hash)
            .with_object_attributes(self.attributes)
            .with_auth_policy(self.policy)
    }
}
