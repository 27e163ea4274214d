//! What is held of one human's vault between requests: the file as it was read or written last, and the key once it was
//! opened.
//!
//! It must never hold a vault that is not on disk.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_protocol::call::HumanUid;
use holdfast_protocol::vault::MAX_VALUE;

use super::error::VaultError;
use super::seal::Keep;
use super::state::{Vault, VaultKey};

/// One human.
pub struct Human {
    pub uid: HumanUid,
    /// Held by whoever changes the vault or takes from it, for as long as that takes.
    pub change: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    vault: Option<Arc<Vault>>,
    key: Option<Arc<VaultKey>>,
}

impl Human {
    pub fn new(uid: HumanUid) -> Self {
        Self {
            uid,
            change: tokio::sync::Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// The vault, where there is one; read from its file when it is first wanted.
    pub fn vault(&self, keep: &dyn Keep) -> Result<Option<Arc<Vault>>, VaultError> {
        let mut held = self.held();
        if held.vault.is_none() {
            let bytes = keep.load(self.uid).map_err(VaultError::Io)?;
            let vault = bytes.map(|bytes| Vault::read(&bytes, self.uid));
            held.vault = vault.transpose()?.map(Arc::new);
        }
        Ok(held.vault.clone())
    }

    /// The vault's key, if it was opened.
    pub fn key(&self) -> Option<Arc<VaultKey>> {
        self.held().key.clone()
    }

    /// Holds the key from now on.
    pub fn hold(&self, key: VaultKey) -> Arc<VaultKey> {
        let key = Arc::new(key);
        self.held().key = Some(Arc::clone(&key));
        key
    }

    /// Writes the vault's next state; the present one stays if that fails.
    pub fn keep(&self, keep: &dyn Keep, next: Vault) -> Result<(), VaultError> {
        let bytes = next.write()?;
        keep.replace(self.uid, &bytes).map_err(VaultError::Io)?;
        self.held().vault = Some(Arc::new(next));
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses what could not be sent: both uses put a secret into a field of HTTP.
pub fn check_value(value: &str) -> Result<(), VaultError> {
    let valid = (1..=MAX_VALUE).contains(&value.len()) && !value.chars().any(char::is_control);
    valid.then_some(()).ok_or(VaultError::Value)
}
