//! Private keys as they lie on the disk: plain, or encrypted under a passphrase (PKCS#8, PBES2: RFC 8018 §6.2), as
//! `openssl pkcs8` reads and writes them.
//!
//! What is decrypted is zeroized and never logged. It must never write a key plain where there is a passphrase.

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::cipher::{
    AES_256, AES_256_KEY_LEN, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use der::asn1::{AnyRef, OctetString};
use der::pem::{self, LineEnding};
use der::{Decode, Encode, Sequence, Tag, Tagged};
use pkcs5::pbes2::{self, Kdf, Pbkdf2Prf};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::{CertifyError, key};
use crate::random;

/// What one guess at a passphrase costs: OWASP's figure for PBKDF2-HMAC-SHA256.
const ITERATIONS: u32 = 600_000;

/// The most that is done for a file that another program made.
const MAX_ITERATIONS: u32 = 10_000_000;

const LABEL: &str = "ENCRYPTED PRIVATE KEY";

const BLOCK: usize = 16;

/// What the keys' passphrase may be, in bytes: 16 to 1024.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=1024;

/// What private keys are encrypted under. `Debug` hides it.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// A passphrase is too short or too long. The operator is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a passphrase has 16 to 1024 bytes")]
pub struct InvalidPassphrase;

impl Passphrase {
    /// These bytes, without the newline at their end.
    ///
    /// # Errors
    /// [`InvalidPassphrase`] if they are too few or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidPassphrase> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if !LENGTH.contains(&bytes.len()) {
            return Err(InvalidPassphrase);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    fn derive(
        &self,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<UnboundCipherKey, CertifyError> {
        let mut key = Zeroizing::new([0; AES_256_KEY_LEN]);
        pbkdf2::derive(PBKDF2_HMAC_SHA256, iterations, salt, &self.0, &mut *key);
        UnboundCipherKey::new(&AES_256, &*key)
            .map_err(|_| CertifyError::Crypto("deriving a key from the passphrase"))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// How private keys lie on the disk.
#[derive(Clone, Debug)]
pub enum AtRest {
    /// As they are.
    Plain,
    /// Encrypted; plain ones that are there are read all the same.
    Encrypted(Passphrase),
}

/// RFC 5958 §3.
#[derive(Sequence)]
struct EncryptedPrivateKeyInfo {
    algorithm: pkcs5::EncryptionScheme,
    data: OctetString,
}

/// Whether a key file's content is encrypted.
pub(super) fn is_encrypted(text: &str) -> bool {
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

impl AtRest {
    /// A plain PKCS#8 key in PEM as it is to lie on the disk.
    pub(super) fn seal(
        &self,
        path: &Path,
        plain: Zeroizing<String>,
    ) -> Result<Zeroizing<String>, CertifyError> {
        match self {
            Self::Plain => Ok(plain),
            Self::Encrypted(passphrase) => {
                let key = Zeroizing::new(key::pkcs8(path, &plain)?);
                encrypt(passphrase, key.secret_pkcs8_der()).map(Zeroizing::new)
            }
        }
    }

    /// The key in a file's content. It costs a derivation where that is encrypted.
    pub(super) fn open(
        &self,
        path: &Path,
        text: &str,
    ) -> Result<Zeroizing<PrivatePkcs8KeyDer<'static>>, CertifyError> {
        let path_buf = || path.to_owned();
        match self {
            _ if !is_encrypted(text) => key::pkcs8(path, text).map(Zeroizing::new),
            Self::Plain => Err(CertifyError::Encrypted { path: path_buf() }),
            Self::Encrypted(passphrase) => decrypt(passphrase, path, text),
        }
    }
}

fn encrypt(passphrase: &Passphrase, plain: &[u8]) -> Result<String, CertifyError> {
    let failed = || CertifyError::Crypto("encrypting a key");
    let salt: [u8; 16] = random::bytes()?;
    let iv: [u8; BLOCK] = random::bytes()?;
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv)
        .map_err(|_| failed())?;
    let iterations = NonZeroU32::new(ITERATIONS).ok_or_else(failed)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(passphrase.derive(&salt, iterations)?)
        .map_err(|_| failed())?;
    // Room for the padding, so that no copy of the key is left behind by a growing buffer.
    let mut data = Zeroizing::new(Vec::with_capacity(plain.len() + BLOCK));
    data.extend_from_slice(plain);
    key.less_safe_encrypt(&mut *data, EncryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(|_| failed())?;
    let sealed = EncryptedPrivateKeyInfo {
        algorithm: pkcs5::EncryptionScheme::Pbes2(parameters),
        data: OctetString::new(data.as_slice()).map_err(|_| failed())?,
    };
    let der = sealed.to_der().map_err(|_| failed())?;
    pem::encode_string(LABEL, LineEnding::LF, &der).map_err(|_| failed())
}

fn decrypt(
    passphrase: &Passphrase,
    path: &Path,
    text: &str,
) -> Result<Zeroizing<PrivatePkcs8KeyDer<'static>>, CertifyError> {
    let unusable = |problem| CertifyError::Unusable {
        path: path.to_owned(),
        problem,
    };
    let damaged = || unusable("is damaged: it is not an encrypted PKCS#8 key in PEM");
    let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| damaged())?;
    if label != LABEL {
        return Err(damaged());
    }
    let sealed = EncryptedPrivateKeyInfo::from_der(&der).map_err(|_| damaged())?;
    let (salt, iterations, iv) = ours(&sealed.algorithm).ok_or_else(|| {
        unusable(
            "is encrypted in another way than PBES2 with PBKDF2-HMAC-SHA256, 600000 to 10000000 times, and AES-256-CBC",
        )
    })?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(passphrase.derive(salt.as_bytes(), iterations)?)
        .map_err(|_| CertifyError::Crypto("decrypting a key"))?;
    let mut data = Zeroizing::new(sealed.data.as_bytes().to_vec());
    // PBES2 has no authentication: what tells a wrong passphrase is that neither padding nor content make sense. A
    // changed byte that leaves both is found by whoever opens the key: its public half lies beside it.
    let wrong = || CertifyError::WrongPassphrase {
        path: path.to_owned(),
    };
    if data.is_empty() || data.len() % BLOCK != 0 {
        return Err(damaged());
    }
    let plain = key
        .decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(|_| wrong())?;
    let whole = AnyRef::from_der(plain).is_ok_and(|any| any.tag() == Tag::Sequence);
    if !whole {
        return Err(wrong());
    }
    Ok(Zeroizing::new(PrivatePkcs8KeyDer::from(plain.to_vec())))
}

/// Salt, iterations and IV, of the one way that we encrypt.
fn ours(scheme: &pkcs5::EncryptionScheme) -> Option<(pbes2::Salt, NonZeroU32, [u8; BLOCK])> {
    let pkcs5::EncryptionScheme::Pbes2(parameters) = scheme else {
        return None;
    };
    let pbes2::EncryptionScheme::Aes256Cbc { iv } = parameters.encryption else {
        return None;
    };
    let Kdf::Pbkdf2(kdf) = &parameters.kdf else {
        return None;
    };
    let fits = kdf.prf == Pbkdf2Prf::HmacWithSha256
        && kdf
            .key_length
            .is_none_or(|length| usize::from(length) == AES_256_KEY_LEN)
        && (ITERATIONS..=MAX_ITERATIONS).contains(&kdf.iteration_count);
    let iterations = NonZeroU32::new(kdf.iteration_count).filter(|_| fits)?;
    Some((kdf.salt, iterations, iv))
}
