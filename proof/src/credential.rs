//! TPM2_MakeCredential in software (Part 1 §24; annexes B.10 for RSA and C.6 for ECC): a secret that only the TPM which
//! holds both the EK and the named object can open.
//!
//! This is the one module that draws randomness, through the system's generator: a challenge whose seed a caller could
//! choose would prove nothing. It must never be given a key that is not a restricted storage key bound to its TPM.

mod kdf;
mod seed;

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::tpm::{HashAlg, KeyKind, Name, Public, StorageCipher, Writer};

const STORAGE: &str = "STORAGE";
const INTEGRITY: &str = "INTEGRITY";

/// What TPM2_ActivateCredential takes. Both are the contents of their TPM2B, without the 16-bit length in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// TPMS_ID_OBJECT, the content of `credentialBlob` (TPM2B_ID_OBJECT): a TPM2B_DIGEST with the HMAC, then the encrypted
    /// TPM2B_DIGEST with the secret.
    pub credential_blob: Vec<u8>,
    /// The content of `secret` (TPM2B_ENCRYPTED_SECRET): for RSA the OAEP ciphertext, for ECC the ephemeral TPMS_ECC_POINT.
    pub encrypted_secret: Vec<u8>,
}

/// Why no challenge was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The peer sent a public area that is not one of an EK.
    #[error("the public area is not one of a storage key that is bound to its tpm")]
    NotAStorageKey,
    /// The peer sent an EK whose algorithms are not accepted, such as a SHA-1 name.
    #[error("the algorithms of the endorsement key are not accepted")]
    UnsupportedKey,
    /// The peer sent an EK that is not a valid key: a point off its curve, or an impossible modulus.
    #[error("the endorsement key is not a valid public key")]
    InvalidKey,
    /// The caller's secret is empty or longer than a digest of the EK's name algorithm.
    #[error("the secret has {length} bytes; 1 to {limit} are possible")]
    SecretLength {
        /// The secret's length in bytes.
        length: usize,
        /// The longest that is possible.
        limit: usize,
    },
    /// The environment: the cryptographic library or its random generator failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// Makes a challenge to the TPM that holds `ek`: it gives the `secret` back only if it also holds the object of this name.
pub fn make_credential(
    ek: &Public,
    object_name: &Name,
    secret: &[u8],
) -> Result<Challenge, CredentialError> {
    let hash = ek.name_alg();
    if hash == HashAlg::Sha1 {
        return Err(CredentialError::UnsupportedKey);
    }
    if !ek.attributes().is_bound_storage_key() {
        return Err(CredentialError::NotAStorageKey);
    }
    let limit = hash.digest_len();
    if secret.is_empty() || secret.len() > limit {
        return Err(CredentialError::SecretLength {
            length: secret.len(),
            limit,
        });
    }
    let (cipher, seed) = match ek.kind() {
        KeyKind::Rsa { storage, key, .. } => (storage, seed::for_rsa(key, hash)?),
        KeyKind::Ecc { storage, key, .. } => (storage, seed::for_ecc(key, hash)?),
        KeyKind::KeyedHash { .. } => return Err(CredentialError::NotAStorageKey),
    };
    Ok(Challenge {
        credential_blob: protect(*cipher, hash, &seed.value, object_name, secret)?,
        encrypted_secret: seed.encrypted,
    })
}

/// Builds the TPMS_ID_OBJECT (Part 1 §24.3 to §24.5).
fn protect(
    cipher: StorageCipher,
    hash: HashAlg,
    seed: &[u8],
    name: &Name,
    secret: &[u8],
) -> Result<Vec<u8>, CredentialError> {
    let (algorithm, bits) = match cipher {
        StorageCipher::None => return Err(CredentialError::NotAStorageKey),
        StorageCipher::Aes128Cfb => (&AES_128, 128),
        StorageCipher::Aes256Cfb => (&AES_256, 256),
    };
    let key = kdf::kdf_a(hash, seed, STORAGE, name.as_bytes(), b"", bits);
    // The secret is bounded by a digest's length, so its own length fits.
    let mut identity = Writer::new()
        .u16(secret.len() as u16)
        .bytes(secret)
        .finish();
    UnboundCipherKey::new(algorithm, &key)
        .and_then(EncryptingKey::cfb128)
        // The zero IV is the specification's: the key is used for this one message.
        .and_then(|key| {
            let zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
            key.less_safe_encrypt(&mut identity, zero)
        })
        .map_err(|_| CredentialError::Crypto)?;

    let hash_bits = hash.digest_len() as u32 * 8;
    let key = kdf::kdf_a(hash, seed, INTEGRITY, b"", b"", hash_bits);
    let mac = kdf::hmac(hash, &key, &[&identity, name.as_bytes()]);
    let mut blob = Writer::new();
    blob.u16(hash.digest_len() as u16)
        .bytes(&mac)
        .bytes(&identity);
    Ok(blob.finish())
}

/// Bytes that are wiped when dropped.
type Secret = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod tests;
