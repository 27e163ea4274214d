//! Telling each session's keeper that it is over.
//!
//! The watcher tells of all sessions on one channel; each keeper waits for its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_launch_agents::task::Ended;
use holdfast_protocol::id::SessionId;
use tokio::sync::{mpsc, oneshot};

type Waiting = HashMap<SessionId, oneshot::Sender<Ended>>;

/// Who waits for which session.
#[derive(Clone, Debug, Default)]
pub struct Endings(Arc<Mutex<Waiting>>);

impl Endings {
    /// Waits for a session that has not begun yet.
    pub fn of(&self, session: SessionId) -> oneshot::Receiver<Ended> {
        let (tell, ended) = oneshot::channel();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(session, tell);
        ended
    }

    /// Passes the watcher's word on, until it has no more.
    pub async fn pass_on(self, mut ended: mpsc::Receiver<Ended>) {
        while let Some(over) = ended.recv().await {
            let keeper = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&over.id);
            // A keeper that is gone has nothing left to end.
            let _ = keeper.map(|tell| tell.send(over));
        }
    }
}
