//! What of the human's a session is lent: folders and files, opened as the human.
//!
//! What is opened here is what the session sees; no path is opened by anybody else. It must never hold
//! something open for writing.

use std::os::fd::OwnedFd;
use std::path::Path;

use holdfast_protocol::run::{RunAccess, RunTree};
use rustix::fs::{Mode, OFlags};

use crate::outcome::Problem;

/// A folder or file, and what the session may do with it at the same path.
#[derive(Debug)]
pub struct Lent {
    /// How it is asked for.
    pub tree: RunTree,
    /// It, opened.
    pub source: OwnedFd,
}

impl Lent {
    /// Lends `path` for reading, under its own name.
    pub fn to_read(path: &Path) -> Result<Self, Problem> {
        Self::at(path, path, RunAccess::Read)
    }

    /// Lends `path`, to appear at `place`.
    pub fn at(path: &Path, place: &Path, access: RunAccess) -> Result<Self, Problem> {
        Ok(Self {
            tree: RunTree {
                place: place.display().to_string(),
                access,
            },
            source: open(path)?,
        })
    }
}

/// Opens a folder or file without any right to its content: a name for the broker.
pub fn open(path: &Path) -> Result<OwnedFd, Problem> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        Problem::usage(
            format!("`{}` cannot be opened: {errno}", path.display()),
            "name a folder or file that you may read",
        )
    })
}
