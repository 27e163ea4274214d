//! A vault's rules: what opens it, and that a secret comes out under the name and use that it went in with.
//!
//! Pure: keys, nonces and times are arguments. Each change makes the next vault and leaves this one as it is, so that
//! what could not be kept did not happen. It must never hold an opened secret.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use data_encoding::BASE64;
use holdfast_proof::hash::canonical_json;
use holdfast_protocol::Timestamp;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::{SecretName, SecretSummary, SecretUse, Sharing};
use zeroize::Zeroizing;

use super::file::{Entry, FileError, MAX_SECRETS, NONCE, SealedRoot, VaultFile};
use super::key::{CryptoError, Key, context};

/// What the key is derived for, and in which version.
const KEY_INFO: &[u8] = b"holdfast-vault-v1";

/// What the two kinds of boxes are told apart by.
const CHECK: &[u8] = b"holdfast-vault-check-v1";
const ENTRY: &[u8] = b"holdfast-vault-entry-v1";

/// The keyring's part of a vault's key.
pub struct Share(Key);

/// A text is not a share: caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is 32 bytes in base64")]
pub struct InvalidShare;

impl Share {
    /// Reads what a keyring delivers.
    ///
    /// # Errors
    /// [`InvalidShare`] if it is anything else than 32 bytes in base64 (RFC 4648 §4).
    pub fn read(text: &Secret) -> Result<Self, InvalidShare> {
        let bytes = BASE64
            .decode(text.expose().as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| InvalidShare)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| InvalidShare)?;
        Ok(Self(Key::new(Zeroizing::new(bytes))))
    }
}

/// The key of one human's vault.
pub struct VaultKey(Key);

impl VaultKey {
    /// HKDF-SHA-256 (RFC 5869) over the TPM's part and the keyring's, for this human.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn derive(root: &Key, share: Option<&Share>, human: HumanUid) -> Result<Self, CryptoError> {
        let mut input = Zeroizing::new(Vec::with_capacity(64));
        input.extend_from_slice(root.as_bytes());
        if let Some(Share(share)) = share {
            input.extend_from_slice(share.as_bytes());
        }
        let mut key = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, &[])
            .extract(&input)
            .expand(&[KEY_INFO, &human.0.to_be_bytes()], HKDF_SHA256)?
            .fill(key.as_mut_slice())?;
        Ok(Self(Key::new(key)))
    }
}

/// One human's vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault(VaultFile);

/// A vault cannot take a secret, or not give it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Caller: it keeps as many secrets as it can.
    #[error("the vault is full")]
    Full,
    /// Caller: it has none of this name.
    #[error("there is no secret `{0}` in the vault")]
    NoSecret(SecretName),
    /// Environment: what is in the file under this name does not open, though the key is right.
    #[error("the secret `{0}` was changed or damaged in the vault's file")]
    Damaged(SecretName),
    /// Us.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl Vault {
    /// An empty vault under `key`.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub fn new(
        human: HumanUid,
        sharing: Sharing,
        root: SealedRoot,
        key: &VaultKey,
        nonce: [u8; NONCE],
    ) -> Result<Self, CryptoError> {
        let check = key.0.seal(nonce, &check_context(human, sharing), b"")?;
        Ok(Self(VaultFile::new(human, sharing, root, check)))
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// [`FileError`] if that is no vault of `human`.
    pub fn read(bytes: &[u8], human: HumanUid) -> Result<Self, FileError> {
        VaultFile::read(bytes, human).map(Self)
    }

    /// What is to be kept.
    ///
    /// # Errors
    /// [`FileError::TooLarge`].
    pub fn write(&self) -> Result<Vec<u8>, FileError> {
        self.0.write()
    }

    /// What else than the TPM opens it.
    pub fn sharing(&self) -> Sharing {
        self.0.sharing
    }

    /// The TPM's part of its key, sealed.
    pub fn root(&self) -> &SealedRoot {
        &self.0.root
    }

    /// The same, with the TPM's part of its key sealed in another way.
    pub fn with_root(&self, root: SealedRoot) -> Self {
        let mut file = self.0.clone();
        file.root = root;
        Self(file)
    }

    /// Whether this is its key.
    pub fn fits(&self, key: &VaultKey) -> bool {
        let context = check_context(self.0.human, self.0.sharing);
        key.0.open(&self.0.check, &context).is_some()
    }

    /// What is in it, by name; as the file says, which nothing is done by.
    pub fn summaries(&self) -> Vec<SecretSummary> {
        let secrets = self.0.secrets.iter();
        secrets
            .map(|(name, entry)| SecretSummary {
                name: name.clone(),
                purpose: entry.purpose.clone(),
                added: entry.added,
            })
            .collect()
    }

    /// What the file says that a secret is for.
    ///
    /// # Errors
    /// [`StateError::NoSecret`].
    pub fn purpose(&self, name: &SecretName) -> Result<&SecretUse, StateError> {
        self.entry(name).map(|entry| &entry.purpose)
    }

    /// The same vault with this secret in it, instead of one of the same name.
    ///
    /// # Errors
    /// [`StateError::Full`].
    pub fn with(
        &self,
        key: &VaultKey,
        (name, purpose): (SecretName, SecretUse),
        added: Timestamp,
        value: &str,
        nonce: [u8; NONCE],
    ) -> Result<Self, StateError> {
        let context = self.entry_context(&name, &purpose, added)?;
        let sealed = key.0.seal(nonce, &context, value.as_bytes())?;
        let mut next = self.clone();
        let entry = Entry {
            purpose,
            added,
            sealed,
        };
        next.0.secrets.insert(name, entry);
        if next.0.secrets.len() > MAX_SECRETS {
            return Err(StateError::Full);
        }
        Ok(next)
    }

    /// The same vault without this secret.
    ///
    /// # Errors
    /// [`StateError::NoSecret`].
    pub fn without(&self, name: &SecretName) -> Result<Self, StateError> {
        self.entry(name)?;
        let mut next = self.clone();
        next.0.secrets.remove(name);
        Ok(next)
    }

    /// The secret of this name, if it went in for `purpose`.
    ///
    /// # Errors
    /// [`StateError::NoSecret`]; [`StateError::Damaged`] if it went in under another name, for another use or human, or
    /// under another key.
    pub fn open(
        &self,
        key: &VaultKey,
        name: &SecretName,
        purpose: &SecretUse,
    ) -> Result<Zeroizing<String>, StateError> {
        let entry = self.entry(name)?;
        let context = self.entry_context(name, purpose, entry.added)?;
        key.0
            .open_text(&entry.sealed, &context)
            .ok_or_else(|| StateError::Damaged(name.clone()))
    }

    /// Whether every secret in it opens under its name and use.
    ///
    /// # Errors
    /// [`StateError::Damaged`] for the first that does not.
    pub fn check(&self, key: &VaultKey) -> Result<(), StateError> {
        let mut secrets = self.0.secrets.iter();
        secrets.try_for_each(|(name, entry)| self.open(key, name, &entry.purpose).map(drop))
    }

    fn entry(&self, name: &SecretName) -> Result<&Entry, StateError> {
        let entry = self.0.secrets.get(name);
        entry.ok_or_else(|| StateError::NoSecret(name.clone()))
    }

    fn entry_context(
        &self,
        name: &SecretName,
        purpose: &SecretUse,
        added: Timestamp,
    ) -> Result<Vec<u8>, CryptoError> {
        let purpose = canonical_json(purpose).map_err(|_| CryptoError)?;
        Ok(context(&[
            ENTRY,
            name.as_str().as_bytes(),
            &purpose,
            &self.0.human.0.to_be_bytes(),
            &added.as_millis().to_be_bytes(),
        ]))
    }
}

fn check_context(human: HumanUid, sharing: Sharing) -> Vec<u8> {
    let sharing: &[u8] = match sharing {
        Sharing::Keyring => b"keyring",
        Sharing::Headless => b"headless",
    };
    context(&[CHECK, &human.0.to_be_bytes(), sharing])
}

#[cfg(test)]
mod tests;
