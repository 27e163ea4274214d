//! What of the store is in use, and when it was used last.
//!
//! Something that a session runs from is held; it must never be taken away before it is let go.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use holdfast_protocol::Sha256Digest;

/// How many hold each thing. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Arc<Mutex<BTreeMap<Sha256Digest, usize>>>);

/// Keeps a thing of the store where it is, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    shelf: Shelf,
    digest: Sha256Digest,
}

impl Shelf {
    pub(super) fn hold(&self, digest: Sha256Digest) -> Hold {
        *self.holds().entry(digest).or_default() += 1;
        Hold {
            shelf: self.clone(),
            digest,
        }
    }

    /// Takes a thing away unless somebody holds it; nobody begins to meanwhile.
    pub(super) fn unless_held<E>(
        &self,
        digest: Sha256Digest,
        take: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let holds = self.holds();
        if holds.contains_key(&digest) {
            return Ok(());
        }
        take()
    }

    fn holds(&self) -> MutexGuard<'_, BTreeMap<Sha256Digest, usize>> {
        // Each change under this lock is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.shelf.holds();
        if let Some(count) = holds.get_mut(&self.digest) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                holds.remove(&self.digest);
            }
        }
    }
}

/// When each thing was used last: an empty file for each, by its time.
#[derive(Debug)]
pub(super) struct Uses(PathBuf);

impl Uses {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(Self(folder)),
        }
    }

    /// Notes a use. A lost note makes a thing go earlier, and nothing worse.
    pub(super) fn note(&self, digest: Sha256Digest) {
        let now = FileTimes::new().set_modified(SystemTime::now());
        let noted = File::create(self.path(digest)).and_then(|file| file.set_times(now));
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of a program is not noted");
        }
    }

    /// When it was used last; long ago where nobody noted it.
    pub(super) fn last(&self, digest: Sha256Digest) -> SystemTime {
        std::fs::metadata(self.path(digest))
            .and_then(|facts| facts.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub(super) fn forget(&self, digest: Sha256Digest) {
        std::fs::remove_file(self.path(digest)).ok();
    }

    fn path(&self, digest: Sha256Digest) -> PathBuf {
        self.0.join(digest.to_string())
    }
}

/// The bytes that a file or a tree takes.
pub(super) fn size(path: &Path) -> u64 {
    let Ok(facts) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    if !facts.is_dir() {
        return facts.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| size(&entry.path()))
        .fold(0, u64::saturating_add)
}
