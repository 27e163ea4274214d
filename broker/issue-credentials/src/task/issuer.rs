//! Has credentials signed and recorded, one at a time, within bounds.
//!
//! What comes back is judged before it is believed. The operator's log says why something failed,
//! the client learns only a [`Refusal`]. This module must never keep a credential.

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::audit::What;
use holdfast_protocol::id::SessionId;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Session, SessionIdentity};
use crate::audiences::Audiences;
use crate::bundles::Bundles;
use crate::material::{FreshKey, JwtSvid, MaterialError, X509Svid};
use crate::sources::{Authority, AuthorityError, RecordError, Recorder};
use crate::state::{Refusal, Wanted};

/// How long the authority and the recorder may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes sessions' credentials out of an authority and a recorder.
#[derive(Clone)]
pub struct Issuer {
    authority: Arc<dyn Authority>,
    recorder: Arc<dyn Recorder>,
}

/// Why a signature or a record was not had. The client learns only the [`Refusal`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no signature")]
    Authority(#[source] AuthorityError),
    #[error("the svid could not be made")]
    Material(#[source] MaterialError),
    #[error("no record")]
    Record(#[source] RecordError),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

impl Issuer {
    /// Issues what `authority` signs and `recorder` records.
    pub fn new(authority: Arc<dyn Authority>, recorder: Arc<dyn Recorder>) -> Self {
        Self {
            authority,
            recorder,
        }
    }

    /// The credentials of a session that starts. [`Session::run`] brings them to life.
    pub fn session(&self, identity: SessionIdentity) -> Session {
        Session::new(self.clone(), identity)
    }

    pub(super) fn bundles(&self) -> watch::Receiver<Arc<Bundles>> {
        self.authority.bundles()
    }

    pub(super) async fn x509(&self, identity: &SessionIdentity) -> Result<X509Svid, Failure> {
        let id = &identity.spiffe_id;
        let key = FreshKey::generate().map_err(Failure::Material)?;
        let request = key.request(id).map_err(Failure::Material)?;
        let chain = patiently(self.authority.sign_x509(id, &request)).await?;
        let chain = chain.map_err(Failure::Authority)?;
        key.certified(&chain, id).map_err(Failure::Material)
    }

    pub(super) async fn jwt(
        &self,
        identity: &SessionIdentity,
        audiences: &Audiences,
    ) -> Result<JwtSvid, Failure> {
        let id = &identity.spiffe_id;
        let token = patiently(self.authority.sign_jwt(id, audiences)).await?;
        let token = token.map_err(Failure::Authority)?;
        JwtSvid::issued(token, id, audiences).map_err(Failure::Material)
    }

    pub(super) async fn record(
        &self,
        identity: &SessionIdentity,
        wanted: &Wanted,
        not_after: Timestamp,
    ) -> Result<(), Failure> {
        let what = What::SvidIssued {
            session: identity.session,
            spiffe_id: identity.spiffe_id.clone(),
            audience: match wanted {
                Wanted::X509 => "x509".to_owned(),
                Wanted::Jwt(audiences) => audiences.to_string(),
            },
            not_after,
        };
        let recorded = patiently(self.recorder.record(what)).await?;
        recorded.map_err(Failure::Record)
    }
}

async fn patiently<T>(answer: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(PATIENCE, answer).await.map_err(|_| Failure::Late)
}

/// Tells the operator why, and the core what it means.
pub(super) fn refused(session: SessionId, failure: Failure) -> Refusal {
    let refusal = match &failure {
        Failure::Authority(AuthorityError::Refused(_)) => Refusal::NoIdentity,
        Failure::Authority(AuthorityError::Unreachable(_))
        | Failure::Material(_)
        | Failure::Record(_)
        | Failure::Late => Refusal::Unavailable,
    };
    let error: &(dyn std::error::Error + 'static) = &failure;
    match refusal {
        Refusal::NoIdentity => warn!(%session, error, "the authority does not grant the identity"),
        Refusal::Unavailable | Refusal::Busy => debug!(%session, error, "no credential"),
    }
    refusal
}
