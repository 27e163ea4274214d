//! A human's home, read with care: bounded, plain files only, and for somebody else's never out of it.
//!
//! Root reads homes of others with this. A link there that leads out of the home, or a mount in it, is not followed:
//! else who owns the home would choose what root reads. It must never open anything for writing.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// The longest file that is read, in bytes: Claude Code's own state is long.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The most names of one folder that are looked at.
const MAX_NAMES: usize = 2000;

/// Whose home it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of who runs this command: links lead where they lead.
    Own,
    /// Somebody else's.
    Foreign,
}

/// A home, opened.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    whose: Whose,
    folder: OwnedFd,
}

/// A file that is there and was not read.
#[derive(Debug)]
pub struct Unread(pub String);

impl Folder {
    /// Opens a home.
    ///
    /// # Errors
    /// It is not there, or not to be read.
    pub fn open(path: &Path, whose: Whose) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            whose,
            folder: rustix::fs::open(path, flags, Mode::empty())?,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The full path of something below it, or of something elsewhere.
    pub fn place(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// A file's text; `None` where there is no such file.
    ///
    /// # Errors
    /// It is there, and is not a readable text.
    pub fn text(&self, path: &Path) -> Result<Option<Zeroizing<String>>, Unread> {
        match self.read(path) {
            Ok(Some(bytes)) => match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
                Err(_) => Err(Unread("it is not text".to_owned())),
            },
            Ok(None) => Err(Unread(format!(
                "it is no plain file, or longer than {MAX_FILE} bytes"
            ))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => Err(Unread("it leads out of the home".to_owned())),
            Err(errno) => Err(Unread(format!("it cannot be read: {errno}"))),
        }
    }

    /// Whether something is there.
    pub fn has(&self, path: &Path) -> bool {
        self.resolve(path, OFlags::PATH).is_ok()
    }

    /// The kind of what is there.
    pub fn kind(&self, path: &Path) -> Option<FileType> {
        let found = self.resolve(path, OFlags::PATH).ok()?;
        Some(FileType::from_raw_mode(fstat(&found).ok()?.st_mode))
    }

    /// Whether a program is there.
    pub fn is_program(&self, path: &Path) -> bool {
        self.resolve(path, OFlags::PATH)
            .and_then(|found| fstat(&found))
            .is_ok_and(|facts| {
                FileType::from_raw_mode(facts.st_mode).is_file() && facts.st_mode & 0o111 != 0
            })
    }

    /// The first bytes of a file.
    pub fn beginning(&self, path: &Path, bytes: u64) -> Option<Vec<u8>> {
        let file = self.file(path).ok()??;
        let mut read = Vec::new();
        file.take(bytes).read_to_end(&mut read).ok()?;
        Some(read)
    }

    /// The names in a folder, sorted; none where there is no folder.
    pub fn names(&self, path: &Path) -> Vec<OsString> {
        use std::os::unix::ffi::OsStringExt;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let Ok(entries) = self.resolve(path, flags).and_then(Dir::new) else {
            return Vec::new();
        };
        let mut names: Vec<OsString> = entries
            .filter_map(Result::ok)
            .map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec()))
            .filter(|name| name != "." && name != "..")
            .take(MAX_NAMES)
            .collect();
        names.sort();
        names
    }

    /// Folders and files that a pattern names: at most one of its parts is `*`.
    pub fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let Some((before, after)) = pattern.split_once('*') else {
            return vec![PathBuf::from(pattern)];
        };
        let before = Path::new(before);
        let after = after.trim_start_matches('/');
        self.names(before)
            .into_iter()
            .map(|name| {
                let path = before.join(name);
                if after.is_empty() {
                    path
                } else {
                    path.join(after)
                }
            })
            .collect()
    }

    fn read(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Errno> {
        let Some(file) = self.file(path)? else {
            return Ok(None);
        };
        let mut bytes = Zeroizing::new(Vec::new());
        let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let whole = u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE);
        Ok(whole.then_some(bytes))
    }

    /// A plain file; what else is there is not waited for.
    fn file(&self, path: &Path) -> Result<Option<File>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.resolve(path, flags)?;
        let plain = FileType::from_raw_mode(fstat(&file)?.st_mode).is_file();
        Ok(plain.then(|| File::from(file)))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        match self.whose {
            Whose::Own if path.is_absolute() => {
                openat2(CWD, path, flags, Mode::empty(), ResolveFlags::empty())
            }
            Whose::Own => openat2(
                self.folder.as_fd(),
                path,
                flags,
                Mode::empty(),
                ResolveFlags::empty(),
            ),
            Whose::Foreign => {
                let path = match path.strip_prefix(&self.path) {
                    Ok(below) => below,
                    Err(_) if path.is_absolute() => return Err(Errno::XDEV),
                    Err(_) => path,
                };
                let inside =
                    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
                openat2(self.folder.as_fd(), path, flags, Mode::empty(), inside)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_foreign_home_is_not_left() {
        let all = tempfile::tempdir().unwrap();
        let home = all.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(all.path().join("secret"), "s").unwrap();
        std::fs::write(home.join("inside"), "i").unwrap();
        symlink("../secret", home.join("up")).unwrap();
        symlink(all.path().join("secret"), home.join("away")).unwrap();
        symlink("/proc/self/environ", home.join("proc")).unwrap();
        symlink("inside", home.join("near")).unwrap();
        let foreign = Folder::open(&home, Whose::Foreign).unwrap();
        for way_out in ["up", "away", "proc", "../secret", "/etc/passwd"] {
            assert!(foreign.text(Path::new(way_out)).is_err(), "{way_out}");
            assert!(!foreign.has(Path::new(way_out)), "{way_out}");
        }
        let read = |folder: &Folder, path: &str| folder.text(Path::new(path)).unwrap().unwrap();
        assert_eq!(*read(&foreign, "near"), "i");
        assert_eq!(*read(&Folder::open(&home, Whose::Own).unwrap(), "up"), "s");
    }

    #[test]
    fn what_is_no_plain_file_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        File::create(home.path().join("long"))
            .unwrap()
            .set_len(MAX_FILE + 1)
            .unwrap();
        std::fs::write(home.path().join("bytes"), [0xff]).unwrap();
        let folder = Folder::open(home.path(), Whose::Own).unwrap();
        for name in ["pipe", "long", "bytes"] {
            assert!(folder.text(Path::new(name)).is_err(), "{name}");
        }
        assert!(folder.text(Path::new("absent")).unwrap().is_none());
    }

    #[test]
    fn a_star_is_any_one_name() {
        let home = tempfile::tempdir().unwrap();
        for name in ["v/2/bin", "v/1/bin", "v/1/lib"] {
            std::fs::create_dir_all(home.path().join(name)).unwrap();
        }
        let folder = Folder::open(home.path(), Whose::Own).unwrap();
        let found = folder.matching("v/*/bin");
        assert_eq!(found, [Path::new("v/1/bin"), Path::new("v/2/bin")]);
    }
}
