//! Forgetting old snapshots, and contents that no snapshot speaks of.
//!
//! Nothing is removed while anybody takes a snapshot or restores from one, nor while one cannot be read: what it
//! speaks of is not known then.

use std::collections::HashSet;
use std::time::Duration;

use holdfast_protocol::digest::Sha256Digest;
use holdfast_protocol::time::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::SnapshotError;
use super::entry::Entry;
use super::store::{Store, UNFINISHED, folders};

/// How many snapshots of a project are kept.
pub const MOST: usize = 12;

/// How long one is kept.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Store {
    /// Removes what is too old or too much, if nobody else is at work.
    pub fn prune(&self, now: Timestamp) -> Result<(), SnapshotError> {
        let alone = flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        let pruned = if alone { self.prune_alone(now) } else { Ok(()) };
        // A lock that could not be had is lost, too: flock(2).
        flock(&self.lock, FlockOperation::LockShared)
            .map_err(SnapshotError::io("the snapshots cannot be locked"))?;
        pruned
    }

    fn prune_alone(&self, now: Timestamp) -> Result<(), SnapshotError> {
        let projects = folders(&self.folder.join("projects"))?;
        let mut removed = 0_usize;
        for project in &projects {
            for unfinished in folders(project)? {
                let name = unfinished.to_string_lossy();
                if name.ends_with(UNFINISHED) && std::fs::remove_dir_all(&unfinished).is_ok() {
                    removed += 1;
                }
            }
            for (place, snapshot) in self.in_folder(project)?.into_iter().enumerate() {
                let old = now.since(snapshot.about.began) > LONGEST;
                if (old || place >= MOST) && !snapshot.is_alive() {
                    snapshot.forget()?;
                    removed += 1;
                }
            }
        }
        if removed == 0 {
            return Ok(());
        }
        let mut wanted: HashSet<Sha256Digest> = HashSet::new();
        for project in &projects {
            let snapshots = self.in_folder(project)?;
            let named = folders(project)?;
            if let Some(strange) = named.get(snapshots.len()) {
                return Err(SnapshotError::Damaged(strange.display().to_string()));
            }
            for snapshot in snapshots {
                let entries = snapshot.start()?.entries;
                wanted.extend(entries.values().filter_map(|entry| match entry {
                    Entry::File { digest, .. } => Some(*digest),
                    Entry::Folder(_) | Entry::Link(_) | Entry::Unkept { .. } => None,
                }));
            }
        }
        self.objects.sweep(|digest| wanted.contains(digest))
    }
}
