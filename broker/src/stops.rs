//! Stopping sessions, and letting them go on, for a reason of the host's own: done and on record.
//!
//! What stops a session is done even where it cannot be recorded: one that lives on past its bound, on a full disk or
//! without its human is worse than a gap in the record. It must never decide whether to.

use std::sync::Arc;

use holdfast_launch_agents::task::{SessionError, Sessions};
use holdfast_protocol::audit::What;
use holdfast_protocol::bounds::Because;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::SessionAct;
use holdfast_protocol::record::Record;
use holdfast_protocol::words::with_causes;

/// What stops sessions.
#[derive(Clone)]
pub struct Stops {
    sessions: Sessions,
    record: Arc<dyn Record>,
}

impl Stops {
    /// Of these sessions, on this record.
    pub fn new(sessions: Sessions, record: Arc<dyn Record>) -> Self {
        Self { sessions, record }
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Freezes it, then records that: a freeze lets nothing leave.
    pub async fn pause(&self, session: SessionId, because: Because) {
        let frozen = self.sessions.freeze_because(session, because).await;
        report(session, because, frozen);
        self.tell(session, SessionAct::Pause, because).await;
    }

    /// Records that it goes on, then lets it.
    pub async fn resume(&self, session: SessionId, because: Because) {
        self.tell(session, SessionAct::Resume, because).await;
        report(session, because, self.sessions.resume(session));
    }

    /// Records that it is ended, then ends it.
    pub async fn end(&self, session: SessionId, because: Because) {
        self.tell(session, SessionAct::End, because).await;
        report(
            session,
            because,
            self.sessions.end_because(session, because),
        );
    }

    /// Ends it, then records that: what it does meanwhile could be what the record needs.
    pub async fn end_first(&self, session: SessionId, because: Because) {
        report(
            session,
            because,
            self.sessions.end_because(session, because),
        );
        self.tell(session, SessionAct::End, because).await;
    }

    async fn tell(&self, session: SessionId, act: SessionAct, because: Because) {
        let event = What::SessionStopped {
            session,
            act,
            because,
        };
        if let Err(error) = self.record.record(event).await {
            tracing::error!(%session, %because, %error, "what stopped a session is missing from the audit log");
        }
    }
}

fn report(session: SessionId, because: Because, done: Result<(), SessionError>) {
    if let Err(error) = done {
        // Most likely it ended meanwhile.
        tracing::warn!(%session, %because, error = with_causes(&error), "a session was not stopped, or did not go on");
    }
}
