//! What a process runs: its executable, and whether the path that it goes by is the host's.
//!
//! Only root may look. The process is named by a descriptor and looked at between two checks that it
//! is the same one. It must never open what a process chose: only the file that the kernel executes.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use crate::failure::{At, Refusal, Stage};
use crate::message::Described;
use crate::peer;

/// Looks at `process`.
pub(crate) fn describe(process: BorrowedFd<'_>) -> Result<Described, Refusal> {
    let seen = peer::by_pid(process, |pid| {
        let link = format!("/proc/{pid}/exe");
        let file = fs::File::open(&link)?;
        let path = fs::read_link(&link)?;
        Ok((file, path))
    });
    let (file, path) = seen.at(Stage::Describe)?;
    let own = file.metadata().at(Stage::Describe)?;
    if !own.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL)).at(Stage::Describe);
    }
    // In another mount namespace another file can have this path.
    let same = fs::symlink_metadata(&path)
        .is_ok_and(|host| (host.dev(), host.ino()) == (own.dev(), own.ino()));
    Ok(Described {
        executable: OwnedFd::from(file),
        path: (same && path.is_absolute()).then_some(path),
    })
}
