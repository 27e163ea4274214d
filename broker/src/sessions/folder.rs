//! The folder with a session's sockets: the only part of the broker that the session sees.
//!
//! On the host nobody but the broker and root can reach it; it goes when the session does.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use holdfast_issue_credentials::SessionListener;
use holdfast_protocol::id::SessionId;
use rustix::fs::{Mode, OFlags};

/// The socket's name, inside and out.
const SOCKET: &str = "session.sock";

/// The socket's place inside a session.
pub const INSIDE: &str = "/run/holdfast/session.sock";

/// A session's folder; removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder of `session` below `parent`, with its socket, listening.
    pub fn make(parent: &Path, session: SessionId) -> io::Result<(Self, SessionListener)> {
        let folder = Self {
            path: parent.join(session.to_string()),
        };
        // The parent is closed to all others; inside, the session's own uid has to get through.
        DirBuilder::new().mode(0o755).create(&folder.path)?;
        std::fs::set_permissions(&folder.path, Permissions::from_mode(0o755))?;
        let socket = folder.path.join(SOCKET);
        let listener = SessionListener::bind(&socket)?;
        std::fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
        Ok((folder, listener))
    }

    /// The folder, to be mounted.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.path, flags, Mode::empty())?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, folder = %self.path.display(), "a session's folder is left over");
        }
    }
}
