//! What a script runs from: the tree of files that its interpreter reads, as one digest.
//!
//! A tree is walked by descriptor, component by component: links are recorded and never followed, nothing
//! on another mount is entered, and what is neither file, folder nor link is refused. It must never take
//! what not everybody may read (the broker can read more than whoever lends the tree), nor more than
//! [`MAX_ENTRIES`], [`MAX_BYTES`] and [`MAX_DEPTH`], however the tree grows while it is read.
//!
//! The digest is a Merkle tree over SHA-256. A folder's is that of its entries in the order of their
//! names' bytes, each with its kind, its name and its own digest ([`digest`]); modes count as far as they
//! decide what runs: executable or not.

mod copy;
pub(crate) mod digest;
mod facts;
mod script;
mod selection;
mod walk;

use std::io;
use std::os::fd::OwnedFd;

use holdfast_protocol::Sha256Digest;

pub(crate) use self::copy::Copy;
pub use self::script::{Script, ScriptError, script};
pub use self::selection::{InvalidPart, Selection};

/// The most files, folders and links of a package.
pub const MAX_ENTRIES: usize = 100_000;
/// The most bytes of all its files.
pub const MAX_BYTES: u64 = 3 << 30;
/// How deep its folders may lie in each other.
pub const MAX_DEPTH: usize = 48;

/// A package cannot be measured; `path` is relative to its root.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It went away, or the host fails us.
    #[error("`{path}` of the package cannot be read")]
    Read {
        /// What.
        path: String,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Not everybody may read it.
    #[error("`{path}` of the package may not be read by everybody")]
    Private {
        /// What.
        path: String,
    },
    /// A socket, a pipe, a device, or something mounted there.
    #[error("`{path}` of the package is neither a file, a folder nor a link")]
    Kind {
        /// What.
        path: String,
    },
    /// It is larger than a package may be.
    #[error("the package has more than {0}")]
    Large(&'static str),
    /// It was written to while it was read.
    #[error("`{path}` of the package changed while it was read")]
    Changed {
        /// What.
        path: String,
    },
    /// The copy cannot be written.
    #[error("the package cannot be kept")]
    Keep(#[source] io::Error),
}

/// What the selected part of the tree at `root` is, by its content.
///
/// # Errors
/// [`PackageError`].
pub fn measure(root: &OwnedFd, selection: &Selection) -> Result<Sha256Digest, PackageError> {
    walk::walk(root, selection, &mut walk::Read)
}

/// What the selected part of the tree at `root` is, by the kernel's word on its files alone: another
/// value after any write, without reading them.
///
/// # Errors
/// [`PackageError`].
pub fn fingerprint(root: &OwnedFd, selection: &Selection) -> Result<Sha256Digest, PackageError> {
    walk::walk(root, selection, &mut facts::Facts)
}

/// Copies the selected part and says what the copy is.
pub(crate) fn copy(
    root: &OwnedFd,
    selection: &Selection,
    mut into: Copy,
) -> Result<Sha256Digest, PackageError> {
    walk::walk(root, selection, &mut into)
}

#[cfg(test)]
mod tests;
