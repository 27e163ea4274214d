//! The service for hosts that hold a node SVID: names for their agents, and the attestor's word.
//!
//! It must never answer a connection without a node SVID, for a name that is not below that host's,
//! or with an SVID that outlives the host's own.

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::bundles::{Bundles, TrustBundle};
use holdfast_protocol::orders::Instance;
use holdfast_protocol::wire::attestor::host_server::Host as Service;
use holdfast_protocol::wire::attestor::{
    Bundle, FetchBundleRequest, JwtSvid, SignJwtSvidRequest, SignX509SvidRequest,
    SignX509SvidsRequest, WatchRequest, X509Svid, X509Svids,
};
use holdfast_protocol::wire::{MAX_STRUCTURE, MAX_SVIDS, WireError, bounded};
use holdfast_protocol::words::with_causes;
use tonic::{Request, Response, Status};

use super::answer::{failed, refused};
use super::caller::{Caller, node};
use super::peer::NodePeer;
use super::{Shared, now, watch};
use crate::certify::{AgentId, Audience};
use crate::csr::Csr;
use crate::registry::{IssuedSvid, SvidKind};
use crate::rfc3339;
use crate::store::Store;

/// The service.
#[derive(Debug)]
pub(super) struct HostService<S>(pub(super) Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Store> Service for HostService<S> {
    type WatchStream = watch::Messages;

    async fn sign_x509_svid(
        &self,
        request: Request<SignX509SvidRequest>,
    ) -> Result<Response<X509Svid>, Status> {
        let now = now();
        let caller = self.0.caller(request.extensions(), now).await?;
        let (svid, issued) = self.x509(&caller, request.into_inner(), now)?;
        self.record(&[issued]).await?;
        Ok(Response::new(svid))
    }

    async fn sign_x509_svids(
        &self,
        request: Request<SignX509SvidsRequest>,
    ) -> Result<Response<X509Svids>, Status> {
        let now = now();
        let caller = self.0.caller(request.extensions(), now).await?;
        let SignX509SvidsRequest { requests } = request.into_inner();
        if requests.len() > MAX_SVIDS {
            let error = WireError::TooLarge {
                field: "requests",
                size: requests.len(),
                limit: MAX_SVIDS,
            };
            return Err(Status::invalid_argument(error.to_string()));
        }
        let signed = requests
            .into_iter()
            .map(|request| self.x509(&caller, request, now));
        let (svids, issued): (Vec<_>, Vec<_>) =
            signed.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        self.record(&issued).await?;
        Ok(Response::new(X509Svids { svids }))
    }

    async fn sign_jwt_svid(
        &self,
        request: Request<SignJwtSvidRequest>,
    ) -> Result<Response<JwtSvid>, Status> {
        let now = now();
        let Caller { peer, .. } = self.0.caller(request.extensions(), now).await?;
        let SignJwtSvidRequest {
            spiffe_id,
            audience,
        } = request.into_inner();
        let agent = self.agent(&peer, &spiffe_id)?;
        let audience =
            Audience::new(audience).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let ttl = within(self.0.settings.jwt_ttl, &peer, now);
        let signed = self
            .0
            .authority
            .sign_jwt(&agent, &audience, ttl, now)
            .map_err(failed)?;
        self.record(&[IssuedSvid {
            host: peer.id,
            spiffe_id: agent.id().clone(),
            kind: SvidKind::Jwt {
                audience: audience.receivers().to_vec(),
            },
            issued_at: now,
            expires_at: signed.expires_at,
        }])
        .await?;
        Ok(Response::new(JwtSvid {
            token: signed.token,
            expires_at: signed.expires_at.as_secs(),
        }))
    }

    async fn fetch_bundle(
        &self,
        request: Request<FetchBundleRequest>,
    ) -> Result<Response<Bundle>, Status> {
        self.0.caller(request.extensions(), now()).await?;
        let authority = &self.0.authority;
        let roots = authority.x509_authorities().into_iter();
        let bundles = Bundles {
            own: TrustBundle {
                x509_authorities: roots.map(|root| root.to_vec()).collect(),
                jwks: authority.jwks(),
            },
            federated: self.0.settings.federation.bundles(),
        };
        Ok(Response::new(bundles.into()))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // A host that may have nothing else is told so.
        let (peer, remote) = node(request.extensions(), now())?;
        let instance = Instance::try_from(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        watch::open(Arc::clone(&self.0), peer, remote, instance).map(Response::new)
    }
}

impl<S: Store> HostService<S> {
    fn agent(&self, peer: &NodePeer, asked: &str) -> Result<AgentId, Status> {
        AgentId::of(self.0.authority.trust_domain(), peer.id, asked).map_err(|error| {
            tracing::warn!(host = %peer.id, error = with_causes(&error), "name refused");
            refused(
                self.0.settings.explain,
                &"name refused: it is not below the host's own",
            )
        })
    }

    /// Signs what a host asks for; it must not leave before it is recorded.
    fn x509(
        &self,
        Caller { peer, host }: &Caller,
        request: SignX509SvidRequest,
        now: Timestamp,
    ) -> Result<(X509Svid, IssuedSvid), Status> {
        let SignX509SvidRequest { spiffe_id, csr } = request;
        let agent = self.agent(peer, &spiffe_id)?;
        let csr = bounded("csr", csr, MAX_STRUCTURE)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let csr =
            Csr::parse(&csr).map_err(|error| Status::invalid_argument(with_causes(&error)))?;
        let policies = &self.0.settings.policies;
        // A group of which nothing is said any more attests no longer; until then its host has its time.
        let policy = policies.of(host.group.as_ref()).unwrap_or(&policies.rest);
        let ttl = within(policy.x509_ttl, peer, now);
        let signed = self
            .0
            .authority
            .sign_agent(&agent, &csr, ttl, now)
            .map_err(failed)?;
        let issued = IssuedSvid {
            host: peer.id,
            spiffe_id: signed.svid.spiffe_id,
            kind: SvidKind::X509 {
                serial: signed.svid.serial,
            },
            issued_at: now,
            expires_at: signed.svid.not_after,
        };
        let svid = X509Svid {
            chain: signed.chain,
        };
        Ok((svid, issued))
    }

    async fn record(&self, svids: &[IssuedSvid]) -> Result<(), Status> {
        self.0.store.record_svids(svids).await.map_err(failed)?;
        for svid in svids {
            tracing::info!(
                host = %svid.host,
                spiffe_id = %svid.spiffe_id,
                until = rfc3339(svid.expires_at),
                "svid signed"
            );
        }
        Ok(())
    }
}

/// A lifetime that ends no later than the caller's own SVID.
fn within(ttl: Duration, peer: &NodePeer, now: Timestamp) -> Duration {
    ttl.min(peer.not_after.since(now))
}
