//! What this job is handed: who signs, and where it is recorded.
//!
//! Traits only, so that the job depends on neither the attestor's client nor the audit job. This
//! module must never hold a fallback: without a signature or a record there is no credential.

use std::error::Error;
use std::sync::Arc;

use holdfast_protocol::audit::What;
use holdfast_protocol::id::SpiffeId;
use tokio::sync::watch;
use tonic::async_trait;
use zeroize::Zeroizing;

use crate::audiences::Audiences;
use crate::bundles::Bundles;

/// Signs for the trust domain: in production the attestor, asked over the node's mTLS channel.
///
/// A future that this trait returns may be dropped at any await point.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Signs an X.509-SVID (X509-SVID §2 to §5) for the key of a PKCS#10 request in DER.
    ///
    /// Gives the chain, DER, leaf first, without the root.
    ///
    /// # Errors
    /// [`AuthorityError`]; by whose fault is told by its variant.
    async fn sign_x509(&self, id: &SpiffeId, csr: &[u8]) -> Result<Vec<Vec<u8>>, AuthorityError>;

    /// Signs several X.509-SVIDs at once, [`MAX_SVIDS`] at most: a name and its request each. Gives a chain for each, in
    /// their order; all of them or none.
    ///
    /// [`MAX_SVIDS`]: holdfast_protocol::wire::MAX_SVIDS
    ///
    /// # Errors
    /// [`AuthorityError`]; by whose fault is told by its variant.
    async fn sign_several_x509(
        &self,
        requests: &[(SpiffeId, Vec<u8>)],
    ) -> Result<Vec<Vec<Vec<u8>>>, AuthorityError>;

    /// Signs a JWT-SVID (JWT-SVID §2, §3), JWS compact serialization, ES256, with `kid`.
    ///
    /// # Errors
    /// [`AuthorityError`]; by whose fault is told by its variant.
    async fn sign_jwt(
        &self,
        id: &SpiffeId,
        audiences: &Audiences,
    ) -> Result<Zeroizing<String>, AuthorityError>;

    /// The trust domain's bundle and those that it federates with, now and as they change.
    fn bundles(&self) -> watch::Receiver<Arc<Bundles>>;
}

/// An SVID was not signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The environment: the authority was not reached, or did not answer in time.
    #[error("the authority was not reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The authority: it does not grant this identity (any more).
    #[error("the authority refused: {0}")]
    Refused(String),
    /// The installation: it has no authority, and will have none while it runs.
    #[error("no authority vouches for what runs here")]
    Nobody,
}

/// Makes an event durable: in production the audit job.
#[async_trait]
pub trait Recorder: Send + Sync + 'static {
    /// Returns once the record is durable.
    ///
    /// # Errors
    /// [`RecordError`] if it is not; then nothing may leave.
    async fn record(&self, what: What) -> Result<(), RecordError>;
}

/// The record could not be made durable.
#[derive(Debug, thiserror::Error)]
#[error("the record is not durable")]
pub struct RecordError(#[source] pub Box<dyn Error + Send + Sync>);
