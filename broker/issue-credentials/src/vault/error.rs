//! What can go wrong with a vault, told apart by who is to blame.

use holdfast_protocol::record::NotRecorded;

use super::ambient::NoRandomness;
use super::file::FileError;
use super::key::CryptoError;
use super::lease::LeaseError;
use super::seal::SealError;
use super::state::{InvalidShare, StateError};

/// A vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Caller: there is no vault.
    #[error("you have no vault")]
    NoVault,
    /// Caller: there is one already.
    #[error("you have a vault already")]
    Exists,
    /// Caller: the share of the human's keyring has not been delivered since the broker started.
    #[error("your vault is locked")]
    Locked,
    /// Caller: the vault was made without a share.
    #[error("your vault has no share and opens by itself")]
    Shareless,
    /// Caller: the share cannot be one.
    #[error(transparent)]
    Share(#[from] InvalidShare),
    /// Caller: it is another vault's share, or the vault's file was changed.
    #[error("the share does not open your vault")]
    WrongShare,
    /// Caller: the value cannot be a secret of this kind.
    #[error(
        "a secret is 1 to {} bytes of text without control characters",
        holdfast_protocol::vault::MAX_VALUE
    )]
    Value,
    /// Caller or environment: what the vault itself says.
    #[error(transparent)]
    State(#[from] StateError),
    /// Environment: the vault's file was changed or damaged.
    #[error("your vault's file was changed or damaged: its key does not fit it")]
    Damaged,
    /// Environment: the vault's file is not one.
    #[error("your vault's file cannot be used")]
    File(#[from] FileError),
    /// Environment: the vault's file cannot be read or written.
    #[error("your vault's file cannot be read or written")]
    Io(#[source] std::io::Error),
    /// Environment: the TPM refuses or fails.
    #[error("your vault's key is not to be had")]
    Tpm(#[from] SealError),
    /// Environment: there is no lease to be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Environment: what was to be done cannot be recorded.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// Environment.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Us.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}
