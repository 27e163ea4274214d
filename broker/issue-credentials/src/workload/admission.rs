//! Whether a connection still speaks for its session.
//!
//! It is judged before a request is read, after it has come whole, and for as long as its answer
//! goes on: a stranger may write any part of it. Where the peer has to prove that it is still there, no
//! request is answered before. Once ended it must never come back.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::state::Refusal;

/// How long a peer may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection's standing, shared by who reads its bytes and who answers them.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    over: CancellationToken,
    proof: CancellationToken,
}

impl Admission {
    /// The peer belongs to the session.
    pub(crate) fn admitted() -> Self {
        let admission = Self::unproven();
        admission.prove();
        admission
    }

    /// The peer belongs to the session if it proves that it is the one who writes.
    pub(crate) fn unproven() -> Self {
        Self {
            over: CancellationToken::new(),
            proof: CancellationToken::new(),
        }
    }

    /// The peer does not: each of its requests is told that it has no identity.
    pub(crate) fn denied() -> Self {
        let admission = Self::admitted();
        admission.end();
        admission
    }

    /// The peer has proven it.
    pub(crate) fn prove(&self) {
        self.proof.cancel();
    }

    /// From now on nothing on the connection is the session's.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// # Errors
    /// [`Refusal::NoIdentity`] if the connection is not the session's, or not any more.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.over.is_cancelled() {
            Err(Refusal::NoIdentity)
        } else {
            Ok(())
        }
    }

    /// Waits for the proof, where one is wanted.
    ///
    /// # Errors
    /// [`Refusal::NoIdentity`] if the connection is not the session's, or the proof does not come.
    pub(crate) async fn settled(&self) -> Result<(), Refusal> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => {}
            () = self.proof.cancelled() => {}
            () = tokio::time::sleep(PATIENCE) => self.end(),
        }
        self.check()
    }

    /// Waits until the connection is not the session's any more.
    pub(crate) async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Whether the proof has come, or none was wanted.
    #[cfg(test)]
    pub(crate) fn is_proven(&self) -> bool {
        self.proof.is_cancelled()
    }
}
