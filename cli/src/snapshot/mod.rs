//! Snapshots of a project: what every file, folder and link in it was at one moment.
//!
//! They are made and read by the human's own command, outside of any session, and lie where sessions have
//! no way to. Nothing here may follow a symbolic link, nor look into a `.git`.

pub mod cache;
pub mod entry;
pub mod escape;
pub mod manifest;
pub mod objects;
pub mod path;
pub mod prune;
pub mod rules;
pub mod store;
pub mod take;
pub mod watch;

/// The most entries that a project may have; with more there is no snapshot of it.
pub const MAX_ENTRIES: usize = 400_000;

/// The most bytes that one snapshot adds to what is kept. What goes beyond is known, but cannot be restored.
pub const MAX_NEW_BYTES: u64 = 4 << 30;

/// The most bytes of a file that git is told to ignore, such as `.env`.
pub const MAX_IGNORED_FILE: u64 = 1 << 20;

/// How deep folders may lie.
pub const MAX_DEPTH: usize = 128;

/// A snapshot cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The human's state folder, or the project, fails us.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The project is larger than what is kept of one.
    #[error("it has more than {MAX_ENTRIES} files and folders")]
    TooMany,
    /// A file of ours does not hold what was written.
    #[error("`{0}` is damaged")]
    Damaged(String),
    /// Ctrl-C, or another signal that ends us.
    #[error("it was interrupted")]
    Interrupted,
}

impl SnapshotError {
    /// Something of the operating system's, in the course of `what`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let what = what.into();
        move |errno| Self::Io {
            what,
            source: errno.into(),
        }
    }
}
