//! The credentials of the sessions that live, and of their sub-agents, to be taken from all of them at once.
//!
//! One lock has both the list and whether it is withheld, so that no session slips in between with an identity.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_issue_credentials::Session;
use holdfast_protocol::id::SpiffeId;

/// All sessions' credentials. Clones are the same.
#[derive(Clone, Default)]
pub struct Live(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    sessions: BTreeMap<SpiffeId, Session>,
    leave: Leave,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Leave {
    #[default]
    Given,
    Withheld,
}

/// A session's place among them, until it is dropped.
pub struct Place {
    live: Live,
    spiffe_id: SpiffeId,
}

impl Live {
    /// A session begins; it has no identity while the others have none.
    pub fn enter(&self, credentials: Session) -> Place {
        let spiffe_id = credentials.identity().spiffe_id.clone();
        let mut all = self.all();
        if all.leave == Leave::Withheld {
            credentials.suspend();
        }
        all.sessions.insert(spiffe_id.clone(), credentials);
        Place {
            live: self.clone(),
            spiffe_id,
        }
    }

    /// Takes every session's identity.
    pub fn suspend(&self) {
        let mut all = self.all();
        all.leave = Leave::Withheld;
        all.sessions.values().for_each(Session::suspend);
    }

    /// Gives every session a new one.
    pub fn restore(&self) {
        let mut all = self.all();
        all.leave = Leave::Given;
        all.sessions.values().for_each(Session::restore);
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Every change under this lock is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.all().sessions.remove(&self.spiffe_id);
    }
}
