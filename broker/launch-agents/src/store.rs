//! The content store: programs and packages by digest, in a folder that the broker alone can write.
//!
//! A session runs the store's copy, so what was measured is what runs, whatever happens to the
//! original. A copy is hashed while it is made; it must never get its name before it is whole, nor be
//! used on the word of its name: each broker measures it again before its first use.

mod packages;
mod prune;
mod shelf;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use holdfast_protocol::Sha256Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fsync, linkat, mkdir, open, openat};
use rustix::io::Errno;

pub use self::packages::StoredPackage;
pub use self::shelf::Hold;
use self::shelf::{Shelf, Uses};
use crate::measure::{self, MeasureError, Memory, Version};
use crate::package::PackageError;

/// The most bytes that a store keeps, besides what is in use.
pub const BOUND: u64 = 8 << 30;

/// How the name of something starts that is not whole, or about to go.
const UNFINISHED: &str = ".unfinished-";

/// A program cannot be taken into the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be measured.
    #[error("cannot measure the program")]
    Measure(#[source] MeasureError),
    /// A package cannot be measured or kept.
    #[error(transparent)]
    Package(PackageError),
    /// The store's own folder fails.
    #[error("the content store cannot be used")]
    Store(#[source] io::Error),
}

/// Programs by digest.
#[derive(Debug)]
pub struct Store {
    folder: OwnedFd,
    place: PathBuf,
    packages: PathBuf,
    bound: u64,
    /// Originals and copies that were measured.
    memory: Mutex<Memory>,
    known: Mutex<packages::Known>,
    /// One package is copied at a time: the disk has room for one more than the bound, not for many.
    copying: Mutex<()>,
    shelf: Shelf,
    uses: Uses,
}

/// A program of the store.
#[derive(Debug)]
pub struct Stored {
    /// What it is.
    pub digest: Sha256Digest,
    /// The copy, opened for reading.
    pub program: OwnedFd,
    /// Keeps it in the store.
    pub hold: Hold,
}

impl Store {
    /// Opens the store, making its folder if there is none, and removes what was left unfinished.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        match mkdir(folder, Mode::from(0o711)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(environment(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let packages = folder.join("packages");
        match mkdir(&packages, Mode::from(0o711)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(environment(errno)),
        }
        prune::sweep(folder).map_err(failed)?;
        prune::sweep(&packages).map_err(failed)?;
        Ok(Self {
            folder: open(folder, flags, Mode::empty()).map_err(environment)?,
            place: folder.to_owned(),
            packages,
            bound: BOUND,
            memory: Mutex::default(),
            known: Mutex::default(),
            copying: Mutex::default(),
            shelf: Shelf::default(),
            uses: Uses::open(folder.join("used")).map_err(failed)?,
        })
    }

    /// Keeps so many bytes at the most, besides what is in use.
    #[must_use]
    pub fn with_bound(mut self, bytes: u64) -> Self {
        self.bound = bytes;
        self
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
            && let Some(stored) = self.find(digest)?
        {
            return Ok(stored);
        }
        let digest = self.copy(program)?;
        self.lock().remember(version, digest);
        self.uses.note(digest);
        let mut stored = self.find(digest)?;
        if stored.is_none() {
            // Something else had that name, and has been taken out.
            self.copy(program)?;
            stored = self.find(digest)?;
        }
        self.prune().map_err(failed)?;
        stored.ok_or_else(|| environment(Errno::NOENT))
    }

    /// The program with this digest, if the store has it and it is that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find(&self, digest: Sha256Digest) -> Result<Option<Stored>, StoreError> {
        let hold = self.shelf.hold(digest);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let program = match openat(&self.folder, digest.to_string(), flags, Mode::empty()) {
            Ok(program) => File::from(program),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(environment(errno)),
        };
        if self.is_still(digest, &program)? {
            self.uses.note(digest);
            return Ok(Some(Stored {
                digest,
                program: program.into(),
                hold,
            }));
        }
        tracing::warn!(%digest, "a program of the store is not what it was, and is taken out");
        prune::discard(&self.place.join(digest.to_string())).map_err(failed)?;
        Ok(None)
    }

    /// Whether the copy is what its name says; measured unless this version of it was.
    fn is_still(&self, digest: Sha256Digest, copy: &File) -> Result<bool, StoreError> {
        let version = Version::of(copy).map_err(StoreError::Measure)?;
        if self.lock().recall(version) == Some(digest) {
            return Ok(true);
        }
        let measured = measure::measure(copy, |_| Ok(())).map_err(StoreError::Measure)?;
        if measured == digest {
            self.lock().remember(version, digest);
        }
        Ok(measured == digest)
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
        // As it is with its name; if another launch's has that name, it is measured before it is used.
        let version = Version::of(&copy).map_err(StoreError::Measure)?;
        self.lock().remember(version, digest);
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // What a panicking holder left is still a list of true facts.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Store(error)
}

fn environment(errno: Errno) -> StoreError {
    StoreError::Store(errno.into())
}

#[cfg(test)]
mod tests;
