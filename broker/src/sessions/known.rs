//! What the broker knows of a session whose calls it decides.
//!
//! Known from the launch and from what the session has done since, never from what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_authorize_calls::world::{SharedProject, World};
use holdfast_issue_credentials::grant::Granted;
use holdfast_protocol::call::Caller;
use holdfast_protocol::id::CallId;
use holdfast_protocol::sub::{SubHosts, SubProject, SubRequest, SubSecrets};

use super::repository::Repository;

/// The most tool calls of one session that are under way; of more, the oldest are forgotten, and
/// what was approved with them ends.
const MAX_CALLS: usize = 256;

/// One session.
#[derive(Debug)]
pub struct Known {
    /// Who it is.
    pub caller: Caller,
    /// The secrets whose use it was granted.
    pub granted: Vec<Granted>,
    /// What it may touch, with its repository's remotes as they were at the start.
    world: World,
    repository: Arc<Repository>,
    pushed: Mutex<BTreeSet<String>>,
    calls: Mutex<Calls>,
}

/// Tool calls that were let through and have not ended, by the model's name for them.
#[derive(Debug, Default)]
struct Calls {
    by_name: BTreeMap<String, (u64, CallId)>,
    next: u64,
}

impl Known {
    /// A session that has done nothing yet.
    pub fn new(
        caller: Caller,
        world: World,
        repository: Repository,
        granted: Vec<Granted>,
    ) -> Self {
        Self {
            caller,
            granted,
            world,
            repository: Arc::new(repository),
            pushed: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// A sub-agent of this one, which has `caller`'s name and what `wish` leaves it.
    pub fn lend(&self, caller: Caller, wish: &SubRequest) -> Self {
        let granted = match wish.secrets {
            SubSecrets::Parents => self.granted.clone(),
            SubSecrets::None => Vec::new(),
        };
        let hosts = match &wish.hosts {
            SubHosts::Parents => None,
            SubHosts::Only(hosts) => Some(hosts.iter().map(|host| host.to_lowercase()).collect()),
            SubHosts::None => Some(BTreeSet::new()),
        };
        let project = match wish.project {
            SubProject::Parents => SharedProject::Whole,
            SubProject::Read => SharedProject::Read,
        };
        let mut world = self.world.clone();
        (world.secrets).retain(|name, _| granted.iter().any(|each| each.name.as_str() == name));
        world.share = world.share.narrowed(hosts, project);
        Self {
            caller,
            granted,
            world,
            repository: Arc::clone(&self.repository),
            pushed: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// What the session may touch, for what changes nothing at a remote: reads no file.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What the session may touch, its repository as it stands now, which pushes are judged by: reads
    /// files, so it may block.
    pub fn world_now(&self) -> World {
        World {
            remotes: self.repository.remotes(),
            branches: self.repository.branches(&lock(&self.pushed)),
            ..self.world.clone()
        }
    }

    /// The branches that the session has made at a remote.
    pub fn pushed(&self) -> BTreeSet<String> {
        lock(&self.pushed).clone()
    }

    /// The session is about to make this branch at a remote.
    pub fn pushes_new(&self, branch: &str) {
        lock(&self.pushed).insert(branch.to_owned());
    }

    /// A tool call was let through; gives one that is forgotten for it.
    pub fn began(&self, tool_use_id: String, call: CallId) -> Option<CallId> {
        let mut calls = lock(&self.calls);
        let number = calls.next;
        calls.next += 1;
        let forgotten = calls.by_name.insert(tool_use_id, (number, call));
        if calls.by_name.len() <= MAX_CALLS {
            return forgotten.map(|(_, call)| call);
        }
        let oldest = calls.by_name.iter().min_by_key(|(_, (number, _))| *number);
        let oldest = oldest.map(|(name, _)| name.clone())?;
        calls.by_name.remove(&oldest).map(|(_, call)| call)
    }

    /// A tool call has ended.
    pub fn ended(&self, tool_use_id: &str) -> Option<CallId> {
        let ended = lock(&self.calls).by_name.remove(tool_use_id);
        ended.map(|(_, call)| call)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
