//! Whether a connection still speaks for its session.
//!
//! It is judged before a request is read, after it has come whole, and for as long as its answer
//! goes on: a stranger may write any part of it. Once ended it must never come back.

use tokio_util::sync::CancellationToken;

use crate::state::Refusal;

/// One connection's standing, shared by who reads its bytes and who answers them.
#[derive(Clone, Debug)]
pub(crate) struct Admission(CancellationToken);

impl Admission {
    /// The peer belongs to the session.
    pub(crate) fn admitted() -> Self {
        Self(CancellationToken::new())
    }

    /// The peer does not: each of its requests is told that it has no identity.
    pub(crate) fn denied() -> Self {
        let admission = Self::admitted();
        admission.end();
        admission
    }

    /// From now on nothing on the connection is the session's.
    pub(crate) fn end(&self) {
        self.0.cancel();
    }

    /// # Errors
    /// [`Refusal::NoIdentity`] if the connection is not the session's, or not any more.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.0.is_cancelled() {
            Err(Refusal::NoIdentity)
        } else {
            Ok(())
        }
    }

    /// Waits until the connection is not the session's any more.
    pub(crate) async fn ended(&self) {
        self.0.cancelled().await;
    }
}
