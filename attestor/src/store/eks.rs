//! Where the endorsement keys live that an operator lets in.

use std::future::Future;

use super::{Found, StoreError};
use crate::ek_hashes::ListedEk;
use crate::registry::EkFingerprint;

/// What came of listing keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// So many were not listed before.
    pub added: usize,
    /// So many were, with another host name.
    pub renamed: usize,
    /// So many were, with the same.
    pub unchanged: usize,
}

/// The home of listed keys.
pub trait EkStore {
    /// Lists keys: all of them, or none. One that is listed already takes the host name that comes now.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be written.
    fn list_eks(&self, eks: &[ListedEk])
    -> impl Future<Output = Result<Listed, StoreError>> + Send;

    /// A key, if it is listed.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be read.
    fn listed_ek(
        &self,
        ek: EkFingerprint,
    ) -> impl Future<Output = Result<Option<ListedEk>, StoreError>> + Send;

    /// All listed keys, in their order.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be read.
    fn listed_eks(&self) -> impl Future<Output = Result<Vec<ListedEk>, StoreError>> + Send;

    /// Takes a key from the list. A host that has joined by it stays.
    ///
    /// # Errors
    /// [`StoreError`] if that could not be made durable.
    fn unlist_ek(
        &self,
        ek: EkFingerprint,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}
