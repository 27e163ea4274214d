//! The disks that sessions write to, and that these leave room on them.
//!
//! Projects are the human's own disk, kept homes lie beside the audit log. It looks several times a second, while
//! there are sessions. What a session puts on a disk between two looks may fill it: the audit log has room of its own
//! for that. It must never end a session that it cannot say has written, nor let one go on that it did not stop.

mod state;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_launch_agents::state::Phase;
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::bounds::Because;
use holdfast_protocol::id::SessionId;
use rustix::fs::{fstat, fstatvfs};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::state::{Disk, Room, Verdict};
pub use self::written::Tree;
use crate::stops::Stops;
use crate::warden::Acting;

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// The disks of all sessions. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Disks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    writers: Mutex<BTreeMap<SessionId, Writer>>,
    came: Notify,
}

/// A session and what it writes to.
#[derive(Clone, Debug)]
struct Writer {
    trees: Arc<BTreeMap<u64, Vec<Tree>>>,
    since: i64,
    tell: mpsc::Sender<Because>,
}

/// That a session's disks are looked at; ends with this. Told when it was stopped, and when it goes on.
#[derive(Debug)]
pub struct Watched {
    disks: Disks,
    session: SessionId,
    told: mpsc::Receiver<Because>,
}

impl Watched {
    /// What stopped it, or let it go on; never, where nothing does. May be dropped and asked again.
    pub async fn told(&mut self) -> Because {
        match self.told.recv().await {
            Some(because) => because,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.disks.writers().remove(&self.session);
    }
}

impl Disks {
    /// From now on the disks that `trees` lie on are looked at for this session, which writes to them.
    ///
    /// # Errors
    /// The host's own.
    pub fn watch(&self, session: SessionId, trees: Vec<Tree>) -> io::Result<Watched> {
        let mut disks: BTreeMap<u64, Vec<Tree>> = BTreeMap::new();
        for tree in trees {
            let disk = fstat(&tree.folder)?.st_dev;
            disks.entry(disk).or_default().push(tree);
        }
        let (tell, told) = mpsc::channel(4);
        let writer = Writer {
            trees: Arc::new(disks),
            // Files' times are the kernel's, to a clock tick.
            since: clock_gettime(ClockId::Realtime).tv_sec - 1,
            tell,
        };
        self.writers().insert(session, writer);
        self.0.came.notify_one();
        Ok(Watched {
            disks: self.clone(),
            session,
            told,
        })
    }

    fn writers(&self) -> MutexGuard<'_, BTreeMap<SessionId, Writer>> {
        // One step each; a panic elsewhere does not change that.
        self.0
            .writers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What looks at them.
pub struct DisksTask {
    disks: Disks,
    keep: u64,
    stops: Stops,
    acting: watch::Receiver<Acting>,
    known: BTreeMap<u64, Disk>,
    held: BTreeSet<SessionId>,
}

impl DisksTask {
    /// So many bytes of each are to stay free; 0 for none.
    pub fn new(disks: Disks, keep: u64, stops: Stops, acting: watch::Receiver<Acting>) -> Self {
        Self {
            disks,
            keep,
            stops,
            acting,
            known: BTreeMap::new(),
            held: BTreeSet::new(),
        }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.keep == 0 {
            return stop.cancelled().await;
        }
        loop {
            let next = async {
                let disks = self.disks.clone();
                while disks.writers().is_empty() {
                    disks.0.came.notified().await;
                }
                tokio::time::sleep(LOOK).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = next => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let writers = self.disks.writers().clone();
        let mut full = BTreeSet::new();
        let seen: BTreeSet<u64> = writers
            .values()
            .flat_map(|writer| writer.trees.keys().copied())
            .collect();
        self.known.retain(|disk, _| seen.contains(disk));
        for number in seen {
            let trees = writers
                .values()
                .find_map(|writer| writer.trees.get(&number));
            let tree = trees.and_then(|trees| trees.first());
            let Some(Ok(facts)) = tree.map(|tree| fstatvfs(&tree.folder)) else {
                continue;
            };
            let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
            let new = || Disk::new(bytes(facts.f_blocks), self.keep);
            let disk = self.known.entry(number).or_insert_with(new);
            let free = bytes(facts.f_bavail);
            if disk.on_look(free) == Room::Enough {
                continue;
            }
            full.insert(number);
            let running: BTreeMap<SessionId, Writer> = writers
                .iter()
                .filter(|(id, writer)| {
                    writer.trees.contains_key(&number) && is_running(self.stops.sessions(), **id)
                })
                .map(|(id, writer)| (*id, writer.clone()))
                .collect();
            if running.is_empty() {
                continue;
            }
            let written = measure(number, &running).await;
            match disk.judge(free, &written) {
                // What it would write meanwhile may be what is left for the record.
                Verdict::End(session) => self.stops.end_first(session, Because::DiskFull).await,
                Verdict::Hold => self.hold(&running).await,
            }
        }
        self.free(&writers, &full).await;
    }

    async fn hold(&mut self, running: &BTreeMap<SessionId, Writer>) {
        for (session, writer) in running {
            self.stops.pause(*session, Because::DiskFull).await;
            self.held.insert(*session);
            // One who listens to nothing is not waited for.
            writer.tell.try_send(Because::DiskFull).ok();
        }
    }

    /// Lets those go on that it stopped and that have room again on all their disks, if this host may act.
    async fn free(&mut self, writers: &BTreeMap<SessionId, Writer>, full: &BTreeSet<u64>) {
        let sessions = self.stops.sessions();
        self.held.retain(|session| {
            sessions.session(*session).is_some_and(|state| {
                let by_disk = state.because == Some(Because::DiskFull);
                by_disk && matches!(state.phase, Phase::Frozen(_))
            })
        });
        if *self.acting.borrow() == Acting::No {
            return;
        }
        for session in self.held.clone() {
            let Some(writer) = writers.get(&session) else {
                continue;
            };
            if !writer.trees.keys().any(|disk| full.contains(disk)) {
                self.stops.resume(session, Because::DiskRoom).await;
                writer.tell.try_send(Because::DiskRoom).ok();
            }
        }
    }
}

fn is_running(sessions: &Sessions, id: SessionId) -> bool {
    let session = sessions.session(id);
    session.is_some_and(|session| matches!(session.phase, Phase::Running(_)))
}

/// What each has written to a disk, in the order in which they began.
async fn measure(disk: u64, writers: &BTreeMap<SessionId, Writer>) -> Vec<(SessionId, u64)> {
    let mut writers: Vec<_> = writers
        .iter()
        .map(|(id, writer)| (*id, writer.since, Arc::clone(&writer.trees)))
        .collect();
    writers.sort_by_key(|(_, since, _)| *since);
    let walk = move || {
        writers
            .into_iter()
            .map(|(id, since, trees)| {
                let trees = trees.get(&disk).map(Vec::as_slice).unwrap_or_default();
                (id, written::since(disk, trees, since))
            })
            .collect()
    };
    tokio::task::spawn_blocking(walk).await.unwrap_or_default()
}
