//! The service that takes hosts' audit logs.
//!
//! It must never take a record into a log other than the calling host's own, or answer for one that is not durable.

use std::sync::Arc;

use holdfast_protocol::mirror::{Answer, Upload};
use holdfast_protocol::wire::attestor::mirror_server::Mirror as Service;
use holdfast_protocol::wire::attestor::{AuditHeld, AuditUpload};
use tonic::{Request, Response, Status};

use super::answer::failed;
use super::caller::Caller;
use super::{Shared, now};
use crate::config::Explain;
use crate::mirror_audit::take;
use crate::store::Store;

/// The service.
#[derive(Debug)]
pub(super) struct MirrorService<S>(pub(super) Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Store> Service for MirrorService<S> {
    async fn upload(&self, request: Request<AuditUpload>) -> Result<Response<AuditHeld>, Status> {
        let now = now();
        let Caller { peer, host } = self.0.caller(request.extensions(), now).await?;
        self.0.rates.admit(peer.id, now).map_err(|too_fast| {
            tracing::warn!(host = %peer.id, "a host sends its audit log faster than it may");
            Status::resource_exhausted(format!("wait {} ms", too_fast.wait.as_millis()))
        })?;
        let upload = Upload::try_from(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let limits = self.0.settings.mirror;
        let taken = take(&self.0.store, &self.0.cosigner, limits, &host, upload, now)
            .await
            .map_err(failed)?;
        self.0.rates.spend(peer.id, taken.cost, now);
        Ok(Response::new(self.told(&host, taken.answer).into()))
    }
}

impl<S: Store> MirrorService<S> {
    /// The answer as the host gets it; a refusal is the operator's business too.
    fn told(&self, host: &crate::registry::Host, answer: Answer) -> Answer {
        match answer {
            Answer::Held(held) => Answer::Held(held),
            Answer::Refused { refusal, detail } => {
                tracing::warn!(
                    host = %host.id,
                    reason = %refusal,
                    detail,
                    "an upload of a host's audit log was refused"
                );
                let detail = match self.0.settings.explain {
                    Explain::Reason => detail,
                    Explain::Nothing => String::new(),
                };
                Answer::Refused { refusal, detail }
            }
        }
    }
}
