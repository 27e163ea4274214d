//! The seed that a challenge's keys come from, and how it reaches the TPM: OAEP for RSA (Part 1 §B.10.4), one-pass ECDH
//! for ECC (§C.6.4).
//!
//! A seed is fresh for each challenge and never leaves this module's caller.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, UnparsedPublicKey};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepPublicEncryptingKey, PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::{CredentialError, Secret, kdf};
use crate::tpm::{EccCurve, EccPublicKey, HashAlg, PublicKey, RsaPublicKey, Writer};

const LABEL: &str = "IDENTITY";
/// OAEP's label carries its terminating zero byte (Part 1 §B.4).
const OAEP_LABEL: &[u8] = b"IDENTITY\0";

/// A seed, and the same for the TPM alone.
pub(super) struct Seed {
    pub(super) value: Secret,
    pub(super) encrypted: Vec<u8>,
}

pub(super) fn for_rsa(key: &RsaPublicKey, hash: HashAlg) -> Result<Seed, CredentialError> {
    let algorithm = match hash {
        HashAlg::Sha1 => return Err(CredentialError::UnsupportedKey),
        HashAlg::Sha256 => &OAEP_SHA256_MGF1SHA256,
        HashAlg::Sha384 => &OAEP_SHA384_MGF1SHA384,
        HashAlg::Sha512 => &OAEP_SHA512_MGF1SHA512,
    };
    let mut value = Zeroizing::new(vec![0; hash.digest_len()]);
    aws_lc_rs::rand::fill(&mut value).map_err(|_| CredentialError::Crypto)?;
    let spki = PublicKey::Rsa(key.clone()).to_spki_der();
    let key = PublicEncryptingKey::from_der(&spki).map_err(|_| CredentialError::InvalidKey)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| CredentialError::InvalidKey)?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(algorithm, &value, &mut encrypted, Some(OAEP_LABEL))
        .map_err(|_| CredentialError::Crypto)?
        .len();
    encrypted.truncate(length);
    Ok(Seed { value, encrypted })
}

pub(super) fn for_ecc(key: &EccPublicKey, hash: HashAlg) -> Result<Seed, CredentialError> {
    let algorithm = match key.curve() {
        EccCurve::P256 => &ECDH_P256,
        EccCurve::P384 => &ECDH_P384,
    };
    let ephemeral =
        agreement::PrivateKey::generate(algorithm).map_err(|_| CredentialError::Crypto)?;
    let point = ephemeral
        .compute_public_key()
        .map_err(|_| CredentialError::Crypto)?;
    let point =
        EccPublicKey::from_sec1(key.curve(), point.as_ref()).ok_or(CredentialError::Crypto)?;
    let bits = hash.digest_len() as u32 * 8;
    let value = agreement::agree(
        &ephemeral,
        UnparsedPublicKey::new(algorithm, key.to_sec1()),
        CredentialError::InvalidKey,
        |z| {
            let (ephemeral_x, key_x) = (point.coordinates().0, key.coordinates().0);
            Ok(kdf::kdf_e(hash, z, LABEL, ephemeral_x, key_x, bits))
        },
    )?;
    let mut encrypted = Writer::new();
    point.write_point(&mut encrypted);
    Ok(Seed {
        value,
        encrypted: encrypted.finish(),
    })
}
