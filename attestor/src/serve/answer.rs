//! What a peer is told when it gets nothing.
//!
//! One short answer; the reason goes to the operator's log. What our store or keys do wrong is never
//! told to a peer in detail.

use std::fmt::Display;

use holdfast_protocol::words::with_causes;
use tonic::{Extensions, Status};

use super::channel::Connection;
use crate::certify::CertifyError;
use crate::config::Explain;
use crate::random::NoRandomness;
use crate::store::StoreError;

/// What every refused host is told, at the least.
const NOT_ACCEPTED: &str = "not accepted";

/// The status of a refusal; with the reason where policy lets the host have it.
pub(super) fn refused(explain: Explain, refusal: &dyn Display) -> Status {
    Status::permission_denied(match explain {
        Explain::Reason => refusal.to_string(),
        Explain::Nothing => NOT_ACCEPTED.to_owned(),
    })
}

/// What was established about the connection of a request.
pub(super) fn connection(extensions: &Extensions) -> Result<Connection, Status> {
    extensions.get::<Connection>().copied().ok_or_else(|| {
        tracing::error!("a request came without its connection");
        Status::internal("the attestor failed")
    })
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::Conflict => {
                Status::aborted("another answer about this host came first; try again")
            }
            StoreError::Full { .. } => {
                Status::resource_exhausted("too many enrollments are unfinished; try again later")
            }
            StoreError::Database(_)
            | StoreError::Migrate(_)
            | StoreError::Quiet
            | StoreError::TooOld { .. }
            | StoreError::Unusable { .. } => {
                Status::unavailable("the attestor's registry cannot be reached; try again later")
            }
            StoreError::Corrupt { .. } => Status::internal("the attestor failed"),
        };
        Self {
            error: with_causes(&error),
            status,
        }
    }
}

impl From<CertifyError> for Failure {
    fn from(error: CertifyError) -> Self {
        Self {
            error: with_causes(&error),
            status: Status::internal("the attestor failed"),
        }
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self {
            error: with_causes(&error),
            status: Status::internal("the attestor failed"),
        }
    }
}

/// Something on our own side went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    error: String,
    status: Status,
}

/// Logs a failure of our own and gives what the peer is told of it.
pub(super) fn failed(error: impl Into<Failure>) -> Status {
    let Failure { error, status } = error.into();
    tracing::error!(error, "a request failed");
    status
}
