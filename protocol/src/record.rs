//! The one thing that every job asks of the audit log: record this, before I act.
//!
//! A contract without an implementation: the broker hands each job the log's own. It must never
//! answer before the record is durable (DESIGN §2, promise 4).

use std::future::Future;
use std::pin::Pin;

use crate::audit::What;

/// A recording under way.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), NotRecorded>> + Send + 'a>>;

/// Something that keeps audit records.
pub trait Record: Send + Sync {
    /// Records what happened, or is about to; returns once it is durable.
    fn record(&self, what: What) -> Recording<'_>;
}

/// The record could not be made durable, so the answer is no.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the audit record could not be written: {0}")]
pub struct NotRecorded(pub String);
