//! Copying a tree while it is measured: what the digest speaks of is what was written here.
//!
//! Files get the mode that a session may have of them: read, and run where the original may be run.
//! No owner, no other bit, no hard link, no attribute of the original's is kept.

use std::ffi::CStr;
use std::io::Write;
use std::os::fd::OwnedFd;

use holdfast_protocol::Sha256Digest;
use rustix::fs::{Mode, OFlags, fchmod, ioctl_ficlone, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use super::PackageError;
use super::digest::Kind;
use super::walk::{Entry, Visitor};

/// Writes what is walked below a folder.
pub(crate) struct Copy {
    folders: Vec<OwnedFd>,
}

impl Copy {
    /// Copies into `folder`, which is empty and nobody else's.
    pub(crate) fn into(folder: OwnedFd) -> Self {
        Self {
            folders: vec![folder],
        }
    }

    fn here(&self) -> Result<&OwnedFd, PackageError> {
        self.folders.last().ok_or_else(|| kept(Errno::BADF))
    }
}

impl Visitor for Copy {
    fn file(&mut self, entry: &Entry<'_>) -> Result<Sha256Digest, PackageError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let copy = openat(self.here()?, entry.name(), flags, Mode::from(0o600)).map_err(kept)?;
        let mut copy = std::fs::File::from(copy);
        let digest = if ioctl_ficlone(&copy, entry.open()?).is_ok() {
            // Shares the blocks with the original, and none of its later changes.
            entry.read_from(&copy, |_| Ok(()))?
        } else {
            entry.read(|bytes| copy.write_all(bytes).map_err(PackageError::Keep))?
        };
        let mode = match entry.kind {
            Kind::Executable => 0o555,
            Kind::File | Kind::Link | Kind::Folder => 0o444,
        };
        fchmod(&copy, Mode::from(mode)).map_err(kept)?;
        Ok(digest)
    }

    fn link(&mut self, entry: &Entry<'_>, target: &CStr) -> Result<(), PackageError> {
        symlinkat(target, self.here()?, entry.name()).map_err(kept)
    }

    fn enter(&mut self, entry: &Entry<'_>) -> Result<(), PackageError> {
        let here = self.here()?;
        mkdirat(here, entry.name(), Mode::from(0o755)).map_err(kept)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(here, entry.name(), flags, Mode::empty()).map_err(kept)?;
        // Whatever the process's own mask took away.
        fchmod(&folder, Mode::from(0o755)).map_err(kept)?;
        self.folders.push(folder);
        Ok(())
    }

    fn leave(&mut self) {
        self.folders.pop();
    }
}

fn kept(errno: Errno) -> PackageError {
    PackageError::Keep(errno.into())
}
