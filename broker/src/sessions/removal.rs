//! Taking away what an agent leaves in a folder of the broker's own, whatever it did there.
//!
//! The files are the broker's, so it may take back the modes that an agent gave them; it needs no right for that. Depth
//! costs it neither stack nor descriptors. It must never follow a link.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use holdfast_launch_agents::home::opened;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};
use rustix::io::Errno;

/// Removes `folder` and all that is in it, if it is there.
///
/// # Errors
/// The host's own; a part may be gone then.
pub fn remove(folder: &Path) -> io::Result<()> {
    let top = match own(CWD, folder) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let mut raised = 0;
    loop {
        let inner = names(&top)?;
        if inner.is_empty() {
            break;
        }
        for name in inner {
            if !unlinked(&top, &name)? {
                raise(&top, &name, &mut raised)?;
                unlinkat(&top, &*name, AtFlags::REMOVEDIR)?;
            }
        }
    }
    Ok(unlinkat(CWD, folder, AtFlags::REMOVEDIR)?)
}

/// Empties the folder `name` of `top`: what it has of folders becomes `top`'s, to be emptied in their turn.
fn raise(top: &OwnedFd, name: &CStr, raised: &mut u64) -> Result<(), Errno> {
    let folder = own(top, name)?;
    for inner in names(&folder)? {
        if unlinked(&folder, &inner)? {
            continue;
        }
        // Who moves a folder writes to it.
        own(&folder, &*inner)?;
        loop {
            *raised += 1;
            let free = format!("{raised:x}");
            match renameat_with(&folder, &*inner, top, free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                moved => break moved?,
            }
        }
    }
    Ok(())
}

/// Removes a name, unless it is a folder's.
fn unlinked(folder: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Opens a folder, after its owner may do all with it.
fn own(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(&at, name, flags | OFlags::PATH, Mode::empty())?;
    opened(&found, Mode::RWXU)
}

fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use rustix::fs::mkdirat;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    #[test]
    fn all_goes_and_what_is_linked_to_stays() {
        let around = tempfile::tempdir().unwrap();
        let (folder, other) = (around.path().join("home"), around.path().join("other"));
        for place in ["a/b/c", "a/1", "2", "a/2/3"] {
            fs::create_dir_all(folder.join(place)).unwrap();
            fs::write(folder.join(place).join("file"), "x").unwrap();
        }
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("a/link")).unwrap();
        remove(&folder).unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
        assert!(other.join("kept").exists());
        // Nor is the folder itself a link.
        std::os::unix::fs::symlink(&other, &folder).unwrap();
        remove(&folder).unwrap_err();
        assert!(other.join("kept").exists());
    }

    #[test]
    fn depth_costs_no_descriptors() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("home");
        fs::create_dir(&folder).unwrap();
        let mut inner = own(CWD, &folder).unwrap();
        // Of this test's process alone.
        let few = Rlimit {
            current: Some(64),
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, few).unwrap();
        for _ in 0..200 {
            mkdirat(&inner, c"d", Mode::RWXU).unwrap();
            inner = own(&inner, c"d").unwrap();
        }
        fs::remove_dir_all(&folder).unwrap_err();
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
