//! The content store: programs by digest, in a folder that the broker alone can write.
//!
//! A session runs the store's copy, so what was measured is what runs, whatever happens to the
//! original. A copy is hashed while it is made; it must never get its name before it is whole and
//! on disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use holdfast_protocol::Sha256Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fsync, linkat, mkdir, open, openat};
use rustix::io::Errno;

use crate::measure::{self, MeasureError, Memory, Version};

/// A program cannot be taken into the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be measured.
    #[error("cannot measure the program")]
    Measure(#[source] MeasureError),
    /// The store's own folder fails.
    #[error("the content store cannot be used")]
    Store(#[source] io::Error),
}

/// Programs by digest.
#[derive(Debug)]
pub struct Store {
    folder: OwnedFd,
    memory: Mutex<Memory>,
}

/// A program of the store.
#[derive(Debug)]
pub struct Stored {
    /// What it is.
    pub digest: Sha256Digest,
    /// The copy, opened for reading.
    pub program: OwnedFd,
}

impl Store {
    /// Opens the store, making its folder if there is none.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        match mkdir(folder, Mode::from(0o711)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(environment(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            folder: open(folder, flags, Mode::empty()).map_err(environment)?,
            memory: Mutex::default(),
        })
    }

    /// The store's copy of this program, made now unless this version of it is in the store already.
    ///
    /// Reads and hashes the whole file the first time: run it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn admit(&self, program: &File) -> Result<Stored, StoreError> {
        let version = Version::of(program).map_err(StoreError::Measure)?;
        let known = self.lock().recall(version);
        if let Some(digest) = known
            && let Some(program) = self.find(digest)?
        {
            return Ok(Stored { digest, program });
        }
        let digest = self.copy(program)?;
        self.lock().remember(version, digest);
        let program = self
            .find(digest)?
            .ok_or_else(|| environment(Errno::NOENT))?;
        Ok(Stored { digest, program })
    }

    /// What this program is, without taking it in.
    ///
    /// Reads and hashes the whole file the first time: run it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError::Measure`].
    pub fn digest(&self, program: &File) -> Result<Sha256Digest, StoreError> {
        let version = Version::of(program).map_err(StoreError::Measure)?;
        let known = self.lock().recall(version);
        known.map_or_else(
            || measure::measure(program, |_| Ok(())).map_err(StoreError::Measure),
            Ok,
        )
    }

    /// The program with this digest, if the store has it.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn find(&self, digest: Sha256Digest) -> Result<Option<OwnedFd>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.folder, digest.to_string(), flags, Mode::empty()) {
            Ok(program) => Ok(Some(program)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(environment(errno)),
        }
    }

    /// Copies and measures in one pass; the copy is nameless until it is whole.
    fn copy(&self, program: &File) -> Result<Sha256Digest, StoreError> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let copy = openat(&self.folder, ".", flags, Mode::from(0o600)).map_err(environment)?;
        let mut copy = File::from(copy);
        let digest = measure::measure(program, |bytes| copy.write_all(bytes))
            .map_err(StoreError::Measure)?;
        fchmod(&copy, Mode::from(0o555)).map_err(environment)?;
        fsync(&copy).map_err(environment)?;
        // By its /proc name: the nameless way of linking needs a capability.
        let nameless = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
        let flags = AtFlags::SYMLINK_FOLLOW;
        match linkat(CWD, nameless, &self.folder, digest.to_string(), flags) {
            // Another launch was faster: the same bytes.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(environment(errno)),
        }
        fsync(&self.folder).map_err(environment)?;
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // What a panicking holder left is still a list of true facts.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn environment(errno: Errno) -> StoreError {
    StoreError::Store(errno.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &Path, content: &str) -> File {
        let path = folder.join("program");
        std::fs::write(&path, content).unwrap();
        File::open(path).unwrap()
    }

    fn read(stored: Stored) -> String {
        let mut content = String::new();
        File::from(stored.program)
            .read_to_string(&mut content)
            .unwrap();
        content
    }

    #[test]
    fn what_was_measured_is_what_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        let original = program(scratch.path(), "one");
        let first = store.admit(&original).unwrap();
        let digest = first.digest;
        // Rewritten in place, as an attacker would between hash and exec.
        std::fs::write(scratch.path().join("program"), "two").unwrap();
        assert_eq!(read(first), "one");
        let second = store.admit(&original).unwrap();
        assert_ne!(second.digest, digest);
        assert_eq!(read(second), "two");
        let mode = std::fs::metadata(scratch.path().join(format!("store/{digest}")));
        assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o555);
    }

    #[test]
    fn a_known_program_is_not_copied_again() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("store");
        let store = Store::open(&folder).unwrap();
        let original = program(scratch.path(), "one");
        let digest = store.admit(&original).unwrap().digest;
        assert_eq!(store.admit(&original).unwrap().digest, digest);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        // A lost copy is made again, not believed.
        std::fs::remove_file(folder.join(digest.to_string())).unwrap();
        assert_eq!(read(store.admit(&original).unwrap()), "one");
    }
}
