//! Files of a folder that an agent could write, read without ever leaving it.
//!
//! No link is followed, nothing but a regular file is read, and everything is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// The most entries of one folder that are looked at.
const MAX_ENTRIES: usize = 1 << 20;

/// A folder, opened.
#[derive(Debug)]
pub struct Beneath(OwnedFd);

impl Beneath {
    /// Opens a folder whose own path is trusted.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(folder, flags, Mode::empty())?))
    }

    /// A regular file, opened for reading; `None` where there is none by that name.
    pub fn file(&self, path: &str) -> io::Result<Option<File>> {
        // A pipe that lies there must not hold us up.
        let Some(opened) = self.below(path, OFlags::RDONLY | OFlags::NONBLOCK)? else {
            return Ok(None);
        };
        let file = File::from(opened);
        Ok(file.metadata()?.is_file().then_some(file))
    }

    /// The content of a regular file of at most `max` bytes; `None` where there is none.
    pub fn read(&self, path: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(max + 1).read_to_end(&mut content)?;
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > max {
            return Err(io::Error::other(format!(
                "`{path}` is larger than {max} bytes"
            )));
        }
        Ok(Some(content))
    }

    /// The names in a folder with their kinds; none where there is no such folder. Names that are not text are left out.
    pub fn list(&self, path: &str) -> io::Result<Vec<(String, FileType)>> {
        let Some(folder) = self.below(path, OFlags::RDONLY | OFlags::DIRECTORY)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(folder)?.take(MAX_ENTRIES) {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if !matches!(name, "." | "..") {
                found.push((name.to_owned(), entry.file_type()));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    fn below(&self, path: &str, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(
            self.0.as_fd(),
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        );
        match opened {
            Ok(opened) => Ok(Some(opened)),
            // A link, a folder where a file should be, a socket: nothing that is read here.
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A file of the human's own, for copying into a session: no link, nothing but a regular file.
pub fn own_file(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let facts = opened.metadata()?;
    if !facts.is_file() {
        return Ok(None);
    }
    if facts.len() > max {
        return Err(io::Error::other(format!(
            "`{}` is larger than {max} bytes",
            path.display()
        )));
    }
    let mut content = Vec::new();
    opened.take(max).read_to_end(&mut content)?;
    Ok(Some(content))
}
