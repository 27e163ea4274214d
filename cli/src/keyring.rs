//! The vault's share in the human's keyring: 32 random bytes, kept by whatever serves the Secret Service API here.
//!
//! It keeps the share and nothing else, and must never let a keyring that asks and gets no answer hold a command up for
//! good. A keyring does not keep one program of a session from another's items, so the share alone opens nothing: it takes
//! this machine's TPM, too.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use holdfast_protocol::secret::Secret;
use rustix::rand::{GetRandomFlags, getrandom};
use secret_service::EncryptionType;
use secret_service::blocking::{Item, SecretService};
use zeroize::Zeroizing;

/// The share's size in bytes.
const SHARE: usize = 32;

/// What the share is found by, as the `keyring` crates name it: service and user.
const ATTRIBUTES: [(&str, &str); 2] = [("service", "holdfast"), ("username", "vault-share")];

/// What a keyring's own program shows.
const LABEL: &str = "Holdfast: share of the vault";

/// The longest that a keyring may take: a human may have to type its password.
const PATIENCE: Duration = Duration::from_secs(120);

/// The keyring does not give or keep the share.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Environment: there is no keyring.
    #[error("no keyring answers: there is no Secret Service on your session's D-Bus")]
    None,
    /// Environment: there is a service, but no place that outlives it.
    #[error("your keyring has no default collection")]
    NoCollection,
    /// The human, or a session without a screen: the keyring stayed locked.
    #[error("your keyring is locked, and was not unlocked")]
    Locked,
    /// Environment: it has no share.
    #[error("your keyring has no share of a vault")]
    NoShare,
    /// Environment: what it has is none, or more than one.
    #[error("what your keyring has as the share of a vault cannot be one")]
    NotAShare,
    /// Environment: it asked somebody and got no answer.
    #[error("your keyring did not answer in {} seconds", PATIENCE.as_secs())]
    Silence,
    /// Environment: anything else that it says.
    #[error("your keyring failed")]
    Failed(#[source] secret_service::Error),
}

/// The share that the keyring has: base64 of 32 bytes.
pub fn share() -> Result<Secret, KeyringError> {
    patiently(|service| find(&service))
}

/// The share that the keyring has, or a new one that it has from now on.
///
/// One that is there is never replaced: it could be all that opens a vault.
pub fn make_share() -> Result<Secret, KeyringError> {
    patiently(|service| match find(&service) {
        Err(KeyringError::NoShare) => {
            keep(&service, &random()?)?;
            // What is read back is what a later login will find.
            find(&service)
        }
        found => found,
    })
}

/// Works with the service on a thread of its own, which is left behind if the service does not answer.
fn patiently(
    work: impl FnOnce(SecretService<'static>) -> Result<Secret, KeyringError> + Send + 'static,
) -> Result<Secret, KeyringError> {
    let (done, outcome) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let worked = SecretService::connect(EncryptionType::Dh)
            .map_err(failed)
            .and_then(work);
        // Nobody listens once patience is over.
        let _ = done.send(worked);
    });
    outcome
        .recv_timeout(PATIENCE)
        .unwrap_or(Err(KeyringError::Silence))
}

fn find(service: &SecretService<'static>) -> Result<Secret, KeyringError> {
    let found = service
        .search_items(HashMap::from(ATTRIBUTES))
        .map_err(failed)?;
    let items: Vec<&Item<'_>> = found.unlocked.iter().chain(&found.locked).collect();
    let item = match *items.as_slice() {
        [] => return Err(KeyringError::NoShare),
        [item] => item,
        // Which of them opens the vault cannot be told.
        [_, _, ..] => return Err(KeyringError::NotAShare),
    };
    if item.is_locked().map_err(failed)? {
        item.unlock().map_err(failed)?;
    }
    let text = Zeroizing::new(item.get_secret().map_err(failed)?);
    let bytes = BASE64
        .decode(&text)
        .map(Zeroizing::new)
        .map_err(|_| KeyringError::NotAShare)?;
    if bytes.len() != SHARE {
        return Err(KeyringError::NotAShare);
    }
    Ok(Secret::new(Zeroizing::new(BASE64.encode(&bytes))))
}

fn keep(service: &SecretService<'static>, share: &Secret) -> Result<(), KeyringError> {
    // The default collection alone: the `session` one would lose the share at logout.
    let collection = match service.get_default_collection() {
        Err(secret_service::Error::NoResult) => return Err(KeyringError::NoCollection),
        collection => collection.map_err(failed)?,
    };
    if collection.is_locked().map_err(failed)? {
        collection.unlock().map_err(failed)?;
    }
    let attributes = HashMap::from(ATTRIBUTES);
    collection
        .create_item(
            LABEL,
            attributes,
            share.expose().as_bytes(),
            false,
            "text/plain",
        )
        .map(drop)
        .map_err(failed)
}

fn random() -> Result<Secret, KeyringError> {
    let mut bytes = Zeroizing::new([0; SHARE]);
    // Up to 256 bytes come whole (getrandom(2)).
    let drawn = getrandom(bytes.as_mut_slice(), GetRandomFlags::empty());
    if drawn != Ok(SHARE) {
        return Err(KeyringError::NotAShare);
    }
    Ok(Secret::new(Zeroizing::new(BASE64.encode(&*bytes))))
}

fn failed(error: secret_service::Error) -> KeyringError {
    use secret_service::Error;
    if matches!(error, Error::Unavailable) || no_service(&error) {
        KeyringError::None
    } else if matches!(
        error,
        Error::Locked | Error::Prompt | Error::PromptDisconnected
    ) {
        KeyringError::Locked
    } else {
        KeyringError::Failed(error)
    }
}

/// Whether the bus is there, and on it nobody who serves the API.
fn no_service(error: &secret_service::Error) -> bool {
    // The crate keeps zbus's own types to itself; D-Bus's name for it is part of the protocol.
    error
        .to_string()
        .contains("org.freedesktop.DBus.Error.ServiceUnknown")
}

#[cfg(test)]
mod tests;
