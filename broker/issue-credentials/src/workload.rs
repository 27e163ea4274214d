//! The SPIFFE Workload API for one session (SPIFFE_Workload_API; SPIFFE_Workload_Endpoint §4 to §6).
//!
//! The socket that a connection came from says whose it is; nothing in a request does. Protobuf
//! stops here. This module must never answer without the security header, and never tell a client
//! more than the specification's codes and whether to ask again.

mod admission;
pub mod api;
mod claims;
mod stream;

use std::pin::Pin;

use futures::Stream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::{Code, Request, Response, Status, async_trait};

use crate::audiences::Audiences;
use crate::state::Refusal;
use crate::task::Session;
pub(crate) use admission::Admission;
use api::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};

/// The most streams that one session may hold open, over all its connections: an agent has a
/// handful of tools, and each costs a task and a few KiB.
pub const MAX_STREAMS: usize = 256;

/// The largest request, in bytes: a token to validate and its audience, with room.
const MAX_REQUEST: usize = 64 * 1024;

/// What refuses a request that a confused deputy may have been made to send (Endpoint §4.1).
const NO_HEADER: &str = "security header missing from request";

/// The service of one connection, until `stop`.
pub(crate) fn service(
    session: Session,
    admission: Admission,
    stop: CancellationToken,
) -> InterceptedService<SpiffeWorkloadApiServer<Workload>, Admission> {
    let server = SpiffeWorkloadApiServer::new(Workload {
        session,
        admission: admission.clone(),
        stop,
    })
    .max_decoding_message_size(MAX_REQUEST);
    InterceptedService::new(server, admission)
}

impl Interceptor for Admission {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("workload.spiffe.io");
        if header.is_none_or(|value| value != "true") {
            return Err(Status::invalid_argument(NO_HEADER));
        }
        self.check()?;
        Ok(request)
    }
}

/// One session's Workload API.
pub(crate) struct Workload {
    session: Session,
    admission: Admission,
    stop: CancellationToken,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl SpiffeWorkloadApi for Workload {
    type FetchX509SVIDStream = Messages<api::X509svidResponse>;
    type FetchX509BundlesStream = Messages<api::X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<api::JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        _: Request<api::X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.admission.settled().await?;
        stream::x509_svids(self).map(Response::new)
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<api::X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.admission.settled().await?;
        stream::x509_bundles(self).map(Response::new)
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<api::JwtsvidRequest>,
    ) -> Result<Response<api::JwtsvidResponse>, Status> {
        self.admission.settled().await?;
        let api::JwtsvidRequest {
            audience,
            spiffe_id,
        } = request.into_inner();
        let audiences = Audiences::new(audience)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let ours = self.session.identity().spiffe_id.to_string();
        if !spiffe_id.is_empty() && spiffe_id != ours {
            return Err(Refusal::NoIdentity.into());
        }
        let svid = tokio::select! {
            biased;
            () = self.admission.ended() => Err(Refusal::NoIdentity),
            () = self.stop.cancelled() => Err(Refusal::Unavailable),
            svid = self.session.jwt(&audiences) => svid,
        }?;
        Ok(Response::new(api::JwtsvidResponse {
            svids: vec![api::Jwtsvid {
                spiffe_id: ours,
                svid: svid.token().to_owned(),
                hint: String::new(),
            }],
        }))
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<api::JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.admission.settled().await?;
        stream::jwt_bundles(self).map(Response::new)
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<api::ValidateJwtsvidRequest>,
    ) -> Result<Response<api::ValidateJwtsvidResponse>, Status> {
        let api::ValidateJwtsvidRequest { audience, svid } = request.into_inner();
        self.admission.settled().await?;
        self.session.standing()?;
        for (field, value) in [("audience", &audience), ("svid", &svid)] {
            if value.is_empty() {
                return Err(Status::invalid_argument(format!(
                    "{field} must be specified"
                )));
            }
        }
        let validated = (self.session.validate(&svid, &audience))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(api::ValidateJwtsvidResponse {
            spiffe_id: validated.spiffe_id.to_string(),
            claims: Some(claims::to_struct(validated.claims)),
        }))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::NoIdentity => Code::PermissionDenied,
            Refusal::Offline | Refusal::Unavailable | Refusal::Busy => Code::Unavailable,
        };
        Status::new(code, refusal.to_string())
    }
}
