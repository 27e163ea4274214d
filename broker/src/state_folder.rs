//! The folder of all that the broker keeps, held by one broker at a time.
//!
//! It is the broker's own: mode 0700, whatever the umask says.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The state folder, locked until this is dropped.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    /// It cannot be made or opened.
    #[error("the state folder `{path}` cannot be used")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another broker has it.
    #[error("another holdfastd uses `{0}`; stop it, or give this one a state folder of its own")]
    Taken(PathBuf),
}

impl StateFolder {
    /// Makes the folder where it is missing, and takes it.
    ///
    /// # Errors
    /// [`StateFolderError`] if it cannot be made or another broker has it.
    pub fn open(path: &Path) -> Result<Self, StateFolderError> {
        let failed = |source| StateFolderError::Io {
            path: path.to_owned(),
            source,
        };
        make_private(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StateFolderError::Taken(path.to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Something inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Makes a folder that only its owner can enter.
pub fn make_private(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Makes a folder that everybody can enter and read, once they are where it is.
pub fn make_public(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o755))
}
