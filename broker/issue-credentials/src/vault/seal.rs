//! What this job asks of the TPM: to seal a vault's root for good, and a lease's key for a while.
//!
//! Contracts: the broker hands in the implementations. A sealer must never keep an opened key.

use std::time::Duration;

use holdfast_protocol::call::HumanUid;
use holdfast_protocol::secret::Secret;
use tonic::async_trait;

use super::file::SealedRoot;
use super::key::Key;

/// A lease's key, sealed by a TPM: what only the sealer reads. Kept in memory alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedLease(pub Vec<u8>);

/// Who waits for the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A request or a human.
    Waited,
    /// Nobody yet.
    Background,
}

/// Why a TPM did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The TPM's word is no, and stays no: the lease is over, or this is not the machine or software that it was
    /// sealed to.
    #[error("the TPM refuses to open it")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Caller: the code that was typed is not that of this root.
    #[error("the recovery code is not the one of this vault")]
    WrongCode,
    /// Environment: the TPM could not be asked, and may be asked again.
    #[error("the TPM fails")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Seals keys to this host's TPM.
#[async_trait]
pub trait Sealer: Send + Sync + 'static {
    /// Seals a vault's root to this TPM and this software, without an end; with the code that lets it open after the
    /// software has changed.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    async fn seal_root(&self, root: &Key) -> Result<(SealedRoot, Secret), SealError>;

    /// Opens a vault's root.
    ///
    /// # Errors
    /// [`SealError::Refused`] on another TPM or in another software state.
    async fn open_root(&self, sealed: &SealedRoot) -> Result<Key, SealError>;

    /// Lets a root open in the present software state too, by the code that [`Sealer::seal_root`] gave.
    ///
    /// # Errors
    /// [`SealError::WrongCode`], and [`SealError::Refused`] on another TPM.
    async fn approve(&self, sealed: &SealedRoot, code: &Secret) -> Result<SealedRoot, SealError>;

    /// Seals a lease's key for so long, in this boot and revocation epoch.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    async fn make_lease(
        &self,
        key: &Key,
        lasts: Duration,
        urgency: Urgency,
    ) -> Result<SealedLease, SealError>;

    /// Opens a lease's key.
    ///
    /// # Errors
    /// [`SealError::Refused`] once it is over.
    async fn open_lease(&self, lease: &SealedLease, urgency: Urgency) -> Result<Key, SealError>;
}

/// Where vaults' files lie.
pub trait Keep: Send + Sync + 'static {
    /// A human's file, where there is one; one byte more than [`super::MAX_FILE`] if it is longer than that.
    ///
    /// # Errors
    /// The file system's own.
    fn load(&self, human: HumanUid) -> std::io::Result<Option<Vec<u8>>>;

    /// Replaces it, durably, so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// The file system's own; the old file is then still there.
    fn replace(&self, human: HumanUid, bytes: &[u8]) -> std::io::Result<()>;
}
