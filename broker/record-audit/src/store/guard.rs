//! Notices that the log's files are no longer the ones that were opened.
//!
//! SQLite goes on writing to files that were unlinked, and says so to nobody; what it then acknowledges is lost. Nothing
//! here opens the files: closing a descriptor of theirs would drop SQLite's own locks (POSIX advisory locks).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why the files are not trusted any more. The environment is to blame.
#[derive(Debug, thiserror::Error)]
pub enum Moved {
    /// It is gone, or cannot be looked at.
    #[error("`{path}` cannot be found any more")]
    Gone {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another file is in its place.
    #[error("`{path}` was replaced by another file")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
}

/// The identities of files.
#[derive(Debug)]
pub(super) struct FileGuard {
    files: Vec<(PathBuf, Identity)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl FileGuard {
    /// Remembers what stands at `paths` now.
    pub(super) fn watch(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, Moved> {
        let files = paths
            .into_iter()
            .map(|path| identity(&path).map(|identity| (path, identity)))
            .collect::<Result<_, _>>()?;
        Ok(Self { files })
    }

    /// Checks that the same files are still there: one `stat` each.
    pub(super) fn check(&self) -> Result<(), Moved> {
        for (path, expected) in &self.files {
            if identity(path)? != *expected {
                return Err(Moved::Replaced { path: path.clone() });
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Result<Identity, Moved> {
    let metadata = fs::metadata(path).map_err(|source| Moved::Gone {
        path: path.to_owned(),
        source,
    })?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}
