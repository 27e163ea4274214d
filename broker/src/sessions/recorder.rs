//! The audit log, as job 3 asks for it.

use std::sync::Arc;

use holdfast_issue_credentials::{RecordError, Recorder};
use holdfast_protocol::audit::What;
use holdfast_protocol::record::Record;

/// Records what job 3 is about to hand out.
pub struct RecordSvids(pub Arc<dyn Record>);

#[tonic::async_trait]
impl Recorder for RecordSvids {
    async fn record(&self, what: What) -> Result<(), RecordError> {
        self.0
            .record(what)
            .await
            .map_err(|error| RecordError(Box::new(error)))
    }
}
