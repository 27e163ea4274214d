//! An agent's home that outlives its sessions: what a new one starts with.
//!
//! The folder belongs to the broker, and agents write to it. So it must never be written to through
//! a symbolic link, and a file that exists is never touched: it is the agent's.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::profile::Seed;

/// Where a login shell finds the session's search path again: `/etc/profile` of most systems sets its own.
pub const LOGIN_PATH: &str = "HOLDFAST_PATH";

/// What login shells read last, in every new home.
const LOGIN: [&str; 2] = [".profile", ".zprofile"];

/// The files of [`LOGIN`].
pub fn login() -> Vec<Seed> {
    let content = format!("PATH=${{{LOGIN_PATH}:-$PATH}}\n");
    LOGIN
        .map(|place| Seed {
            place: place.to_owned(),
            content: content.clone(),
        })
        .into()
}

/// A home cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{place}` to the agent's home")]
pub struct HomeError {
    /// The seed's place.
    place: String,
    /// What the host said.
    #[source]
    source: io::Error,
}

/// Writes those of the seeds that the home does not have.
///
/// # Errors
/// [`HomeError`], also where an agent left a link in the way.
pub fn seed(home: impl AsFd, seeds: &[Seed]) -> Result<(), HomeError> {
    seeds.iter().try_for_each(|seed| {
        write(home.as_fd(), seed).map_err(|source| HomeError {
            place: seed.place.clone(),
            source,
        })
    })
}

/// Makes the folders that lead to `place`, and the one there, for something to be mounted on.
///
/// # Errors
/// [`HomeError`], also where an agent left a file or a link in the way.
pub fn make_folders(home: impl AsFd, place: &str) -> Result<(), HomeError> {
    let made = folders(home.as_fd(), place);
    made.map(drop).map_err(|source| HomeError {
        place: place.to_owned(),
        source,
    })
}

/// Makes the folders that lead to `place`, and an empty file there, for something to be mounted on.
///
/// # Errors
/// [`HomeError`], also where an agent left a folder or a link in the way.
pub fn make_file(home: impl AsFd, place: &str) -> Result<(), HomeError> {
    let empty = Seed {
        place: place.to_owned(),
        content: String::new(),
    };
    let kept = write(home.as_fd(), &empty).and_then(|()| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let there = below(&home.as_fd().try_clone_to_owned()?, place, flags, 0)?;
        let mode = rustix::fs::fstat(there)?.st_mode;
        if FileType::from_raw_mode(mode).is_file() {
            Ok(())
        } else {
            Err(Errno::ISDIR.into())
        }
    });
    kept.map_err(|source| HomeError {
        place: place.to_owned(),
        source,
    })
}

fn folders(home: std::os::fd::BorrowedFd<'_>, place: &str) -> io::Result<OwnedFd> {
    let mut folder: OwnedFd = home.try_clone_to_owned()?;
    for part in place.split('/').filter(|part| !part.is_empty()) {
        match mkdirat(&folder, part, Mode::from(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let found = below(&folder, part, OFlags::PATH | OFlags::DIRECTORY, 0)?;
        folder = opened(&found, Mode::RWXU)?;
    }
    Ok(folder)
}

/// Opens a folder for reading, by a descriptor that only names it, after it let its owner do what is `needed`: an agent
/// may have closed it, and what is the broker's own it opens without any right.
///
/// # Errors
/// What the system says.
pub fn opened(found: &OwnedFd, needed: Mode) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(found)?.st_mode);
    if !mode.contains(needed) {
        // By its descriptor: nobody puts another folder in its place.
        let name = format!("/proc/self/fd/{}", found.as_raw_fd());
        rustix::fs::chmod(name, mode | needed)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(found, c".", flags, Mode::empty())
}

fn write(home: std::os::fd::BorrowedFd<'_>, seed: &Seed) -> io::Result<()> {
    let (before, name) = seed.place.rsplit_once('/').unwrap_or(("", &seed.place));
    let folder = folders(home, before)?;
    match below(
        &folder,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
        0o600,
    ) {
        Ok(file) => File::from(file).write_all(seed.content.trim_start().as_bytes()),
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn below(folder: &OwnedFd, name: &str, flags: OFlags, mode: u16) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mode = Mode::from_bits_truncate(mode.into());
    openat2(folder, name, flags | OFlags::CLOEXEC, mode, resolve)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn seeds(place: &str) -> Vec<Seed> {
        vec![Seed {
            place: place.to_owned(),
            content: "\nnew".to_owned(),
        }]
    }

    #[test]
    fn seeds_are_written_once() {
        let home = tempfile::tempdir().unwrap();
        let fd = File::open(home.path()).unwrap();
        seed(&fd, &seeds("a/b/file")).unwrap();
        let file = home.path().join("a/b/file");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        std::fs::write(&file, "the agent's").unwrap();
        seed(&fd, &seeds("a/b/file")).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "the agent's");
    }

    #[test]
    fn folders_are_made_where_there_are_none_and_never_through_a_link() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let fd = File::open(home.path()).unwrap();
        make_folders(&fd, "src/app").unwrap();
        make_folders(&fd, "src/app").unwrap();
        assert!(home.path().join("src/app").is_dir());
        std::os::unix::fs::symlink(outside.path(), home.path().join("work")).unwrap();
        assert!(make_folders(&fd, "work/app").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_an_agent_closed_is_opened() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let inner = home.path().join("a");
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o010)).unwrap();
        seed(File::open(home.path()).unwrap(), &seeds("a/file")).unwrap();
        let mode = std::fs::metadata(&inner).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o710);
        assert!(inner.join("file").exists());
    }

    #[test]
    fn a_link_that_an_agent_left_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), home.path().join("a")).unwrap();
        let fd = File::open(home.path()).unwrap();
        assert!(seed(&fd, &seeds("a/file")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
