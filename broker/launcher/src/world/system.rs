//! The host's programs and libraries, read-only.
//!
//! Never `/home`, `/root`, `/var`, `/srv`, `/mnt`: those are the host's, and absent.

use std::os::fd::AsFd;

use rustix::fs::{CWD, FileType, readlinkat};
use rustix::io::Errno;

use super::root::Root;
use super::{host_kind, host_path};
use crate::tree;

/// Mounted if they are folders, copied if they are links into `/usr`.
const FOLDERS: [&str; 8] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix",
];

pub(super) fn mount(root: &Root) -> Result<(), Errno> {
    for name in FOLDERS {
        let path = format!("/{name}");
        match host_kind(&path)? {
            Some(FileType::Symlink) => {
                let target = readlinkat(CWD, &path, Vec::new())?;
                let target = target.to_str().map_err(|_| Errno::ILSEQ)?;
                root.link(target, name)?;
            }
            Some(FileType::Directory) => {
                let copy = tree::lend_system(path.as_str())?;
                tree::attach(copy.as_fd(), root.folder(&[name])?.as_fd())?;
            }
            Some(_) | None => {}
        }
    }
    // A merged /usr may hang on a link that leads elsewhere: then nothing could run.
    host_path("/usr").map(drop)
}
