//! Has credentials signed and recorded, within bounds.
//!
//! What comes back is judged before it is believed. The operator's log says why something failed,
//! the client learns only a [`Refusal`]. This module must never keep a credential.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::fill;
use holdfast_protocol::Timestamp;
use holdfast_protocol::audit::What;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::id::{AgentKind, SessionId, SpiffeId};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Session, SessionIdentity};
use crate::audiences::Audiences;
use crate::bundles::Bundles;
use crate::material::{FreshKey, JwtSvid, MaterialError, X509Svid};
use crate::sources::{Authority, AuthorityError, RecordError, Recorder};
use crate::spares::{Footing, Order, Spare};
use crate::state::{Credentials, Refusal, Signed, Wanted};

/// How long the authority and the recorder may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes sessions' credentials out of an authority and a recorder.
#[derive(Clone)]
pub struct Issuer {
    authority: Arc<dyn Authority>,
    recorder: Arc<dyn Recorder>,
    clock: Clock,
}

/// Why a signature or a record was not had. The client learns only the [`Refusal`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no signature")]
    Authority(#[source] AuthorityError),
    #[error("the svid could not be made")]
    Material(#[source] MaterialError),
    #[error("no record")]
    Record(#[source] RecordError),
    #[error("no answer of the authority within {} s", PATIENCE.as_secs())]
    NoAnswer,
    #[error("no record within {} s", PATIENCE.as_secs())]
    Late,
    #[error("no randomness")]
    Random,
}

impl Issuer {
    /// Issues what `authority` signs and `recorder` records, for as long as `clock` says.
    pub fn new(authority: Arc<dyn Authority>, recorder: Arc<dyn Recorder>, clock: Clock) -> Self {
        Self {
            authority,
            recorder,
            clock,
        }
    }

    /// The credentials of a session that starts. [`Session::run`] brings them to life.
    pub fn session(&self, identity: SessionIdentity) -> Session {
        Session::new(self.clone(), identity, Credentials::new())
    }

    /// The credentials of a session that starts with a name that was signed ahead.
    pub fn session_with(&self, spare: Spare) -> Session {
        let Spare {
            identity,
            svid,
            signed_at,
            ..
        } = spare;
        let signed = Signed {
            not_after: svid.not_after(),
            credential: svid,
        };
        let credentials = Credentials::signed_ahead(signed, signed_at);
        Session::new(self.clone(), identity, credentials)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn bundles(&self) -> watch::Receiver<Arc<Bundles>> {
        self.authority.bundles()
    }

    pub(super) async fn x509(&self, identity: &SessionIdentity) -> Result<X509Svid, Failure> {
        let id = &identity.spiffe_id;
        let key = FreshKey::generate().map_err(Failure::Material)?;
        let request = key.request(id).map_err(Failure::Material)?;
        let chain = answered(self.authority.sign_x509(id, &request)).await?;
        key.certified(&chain, id).map_err(Failure::Material)
    }

    pub(super) async fn jwt(
        &self,
        identity: &SessionIdentity,
        audiences: &Audiences,
    ) -> Result<JwtSvid, Failure> {
        let id = &identity.spiffe_id;
        let token = answered(self.authority.sign_jwt(id, audiences)).await?;
        JwtSvid::issued(token, id, audiences).map_err(Failure::Material)
    }

    /// Has names signed that no session has yet, each with a key of its own.
    pub(crate) async fn ahead(
        &self,
        Order { node, kinds }: &Order,
    ) -> Result<Vec<(AgentKind, Spare)>, Failure> {
        // As it is before anything is signed: what leaves it meanwhile is missed.
        let bundles = self.bundles().borrow().clone();
        let Footing {
            trust_domain, host, ..
        } = &node.footing;
        let mut fresh = Vec::with_capacity(kinds.len());
        let mut requests = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let mut bits = [0; 16];
            fill(&mut bits).map_err(|_| Failure::Random)?;
            let session = SessionId::from_random(bits);
            let identity = SessionIdentity {
                session,
                spiffe_id: SpiffeId::session(trust_domain, *host, kind, session),
            };
            let key = FreshKey::generate().map_err(Failure::Material)?;
            let request = key
                .request(&identity.spiffe_id)
                .map_err(Failure::Material)?;
            requests.push((identity.spiffe_id.clone(), request));
            fresh.push((kind.clone(), identity, key));
        }
        let chains = answered(self.authority.sign_several_x509(&requests)).await?;
        if chains.len() != fresh.len() {
            return Err(Failure::Material(MaterialError::NotAsked));
        }
        let signed_at = self.now();
        let spares = fresh
            .into_iter()
            .zip(&chains)
            .map(|((kind, identity, key), chain)| {
                let svid = key.certified(chain, &identity.spiffe_id)?;
                let spare = Spare {
                    identity,
                    svid,
                    signed_at,
                    bundles: Arc::clone(&bundles),
                };
                Ok((kind, spare))
            });
        spares.collect::<Result<_, _>>().map_err(Failure::Material)
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
        let recorded = timeout(PATIENCE, self.recorder.record(what)).await;
        recorded
            .map_err(|_| Failure::Late)?
            .map_err(Failure::Record)
    }
}

async fn answered<T>(
    answer: impl Future<Output = Result<T, AuthorityError>>,
) -> Result<T, Failure> {
    let answer = timeout(PATIENCE, answer).await;
    answer
        .map_err(|_| Failure::NoAnswer)?
        .map_err(Failure::Authority)
}

/// Tells the operator why, and the core what it means.
pub(super) fn refused(session: SessionId, failure: Failure) -> Refusal {
    let refusal = failure.meaning();
    let error: &(dyn std::error::Error + 'static) = &failure;
    match refusal {
        // Said at the installation's start, and no news for each session.
        Refusal::NoIdentity if matches!(failure, Failure::Authority(AuthorityError::Nobody)) => {
            debug!(%session, error, "no credential");
        }
        Refusal::NoIdentity => warn!(%session, error, "the authority does not grant the identity"),
        Refusal::Offline | Refusal::Unavailable | Refusal::Busy => {
            debug!(%session, error, "no credential");
        }
    }
    refusal
}

impl Failure {
    /// What a core makes of it.
    pub(crate) fn meaning(&self) -> Refusal {
        match self {
            Self::Authority(AuthorityError::Refused(_) | AuthorityError::Nobody) => {
                Refusal::NoIdentity
            }
            Self::Authority(AuthorityError::Unreachable(_)) | Self::NoAnswer => Refusal::Offline,
            Self::Material(_) | Self::Record(_) | Self::Late | Self::Random => Refusal::Unavailable,
        }
    }
}
