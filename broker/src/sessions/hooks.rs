//! Hook frames: an agent asks before it acts.
//!
//! Every frame gets an answer, and the answer to what cannot be decided is no.

use holdfast_issue_credentials::{FrameHandler, SessionIdentity};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// Answers hooks.
pub struct Hooks;

#[tonic::async_trait]
impl FrameHandler for Hooks {
    async fn handle(&self, session: &SessionIdentity, stream: UnixStream, stop: CancellationToken) {
        let _ = (session, stream, stop);
    }
}
