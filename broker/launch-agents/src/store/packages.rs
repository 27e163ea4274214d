//! Packages of the store: trees by digest, each in a folder of its own.
//!
//! A copy is measured while it is made, and again before it is used for the first time by this broker or
//! after anything about it changed. It must never be used on the word of its name.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{MutexGuard, PoisonError};

use holdfast_protocol::Sha256Digest;
use rustix::fs::{Mode, OFlags, open};

use super::prune::{discard, remove};
use super::{Hold, Store, StoreError, UNFINISHED, environment, failed};
use crate::measure::refuse_served;
use crate::package::{Copy, PackageError, Selection, copy, fingerprint, measure};

/// How many originals are remembered.
const REMEMBERED: usize = 64;

/// A package of the store.
#[derive(Debug)]
pub struct StoredPackage {
    /// What it is.
    pub digest: Sha256Digest,
    /// The copy: a folder, or a file where the original is one.
    pub root: OwnedFd,
    /// Keeps it in the store.
    pub hold: Hold,
}

/// What is known of packages.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Originals that were measured, by their fingerprints; newest last.
    originals: VecDeque<(Sha256Digest, Sha256Digest)>,
    /// Copies that are what their names say, by digest, as long as their fingerprints stay.
    copies: BTreeMap<Sha256Digest, Sha256Digest>,
}

impl Store {
    /// The store's copy of this package, made now unless this version of it is in the store already.
    ///
    /// Reads and copies the whole the first time: run it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn admit_package(
        &self,
        original: &OwnedFd,
        selection: &Selection,
    ) -> Result<StoredPackage, StoreError> {
        refuse_served(original).map_err(StoreError::Measure)?;
        let seen = fingerprint(original, selection).map_err(StoreError::Package)?;
        if let Some(stored) = self.recall(seen)? {
            return Ok(stored);
        }
        let _one = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever was before may have brought the same.
        if let Some(stored) = self.recall(seen)? {
            return Ok(stored);
        }
        let digest = self.take(original, selection)?;
        // Only what stood still meanwhile can be known again.
        if fingerprint(original, selection).map_err(StoreError::Package)? == seen {
            self.known().remember(seen, digest);
        }
        self.uses.note(digest);
        let stored = self.find_package(digest)?;
        self.prune().map_err(StoreError::Store)?;
        stored.ok_or_else(|| environment(rustix::io::Errno::NOENT))
    }

    /// The copy of an original that was seen before, if it is still there.
    fn recall(&self, seen: Sha256Digest) -> Result<Option<StoredPackage>, StoreError> {
        let known = self.known().original(seen);
        known.map_or(Ok(None), |digest| self.find_package(digest))
    }

    /// The package with this digest, if the store has it and it is that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find_package(&self, digest: Sha256Digest) -> Result<Option<StoredPackage>, StoreError> {
        let hold = self.shelf.hold(digest);
        let folder = self.packages.join(digest.to_string());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = match open(folder.join("root"), flags, Mode::empty()) {
            Ok(root) => root,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(environment(errno)),
        };
        if self.is_the_package(digest, &root)? {
            self.uses.note(digest);
            return Ok(Some(StoredPackage { digest, root, hold }));
        }
        tracing::warn!(%digest, "a package of the store is not what it was, and is taken out");
        discard(&folder).map_err(StoreError::Store)?;
        Ok(None)
    }

    /// Whether the copy is what its name says.
    fn is_the_package(&self, digest: Sha256Digest, root: &OwnedFd) -> Result<bool, StoreError> {
        let seen = match fingerprint(root, &Selection::All) {
            Ok(seen) => seen,
            Err(PackageError::Keep(error)) => return Err(failed(error)),
            // Something in it is no longer what a copy can be.
            Err(_) => return Ok(false),
        };
        if self.known().copies.get(&digest) == Some(&seen) {
            return Ok(true);
        }
        let is = measure(root, &Selection::All).is_ok_and(|measured| measured == digest);
        if is {
            self.known().copies.insert(digest, seen);
        }
        Ok(is)
    }

    /// Copies and measures in one pass; the copy gets its name when it is whole.
    fn take(&self, original: &OwnedFd, selection: &Selection) -> Result<Sha256Digest, StoreError> {
        let begun = Begun::new(self)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&begun.0, flags, Mode::empty()).map_err(environment)?;
        let digest = copy(original, selection, Copy::into(folder)).map_err(StoreError::Package)?;
        let place = self.packages.join(digest.to_string());
        let _hold = self.shelf.hold(digest);
        // One that is there already is the same, or is found out and taken out here.
        if self.find_package(digest)?.is_none() {
            match std::fs::rename(&begun.0, &place) {
                Ok(()) => {}
                // Another launch was faster: the same files.
                Err(_) if place.exists() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(digest)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What a panicking holder left is still a list of true facts.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn original(&self, seen: Sha256Digest) -> Option<Sha256Digest> {
        let mut originals = self.originals.iter();
        originals.find_map(|(known, digest)| (*known == seen).then_some(*digest))
    }

    fn remember(&mut self, seen: Sha256Digest, digest: Sha256Digest) {
        if self.originals.len() >= REMEMBERED {
            self.originals.pop_front();
        }
        self.originals.push_back((seen, digest));
    }
}

/// A folder for a copy that is being made; gone again unless it got a name.
struct Begun(std::path::PathBuf);

impl Begun {
    fn new(store: &Store) -> Result<Self, StoreError> {
        let mut random = [0_u8; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(environment)?;
        let name = format!("{UNFINISHED}{:016x}", u64::from_be_bytes(random));
        let folder = store.packages.join(name);
        std::fs::create_dir(&folder).map_err(failed)?;
        Ok(Self(folder))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, "an unfinished copy is left in the content store");
        }
    }
}
