//! Walking a tree of files that somebody else can change at any time.
//!
//! Each step is one name in an open folder, opened without following a link or entering a mount. What
//! is done with a file is the visitor's; the order, the bounds and the digest are this module's.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use aws_lc_rs::digest::{Context, SHA256};
use holdfast_protocol::Sha256Digest;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::digest::{self, Folder, Kind};
use super::{MAX_BYTES, MAX_DEPTH, MAX_ENTRIES, PackageError, Selection};

/// How much of a file is read at once.
const CHUNK: usize = 256 * 1024;

/// What is done on the way.
pub(crate) trait Visitor {
    /// What stands for a file in the digest.
    fn file(&mut self, entry: &Entry<'_>) -> Result<Sha256Digest, PackageError>;

    /// A link, and its target's text.
    fn link(&mut self, _entry: &Entry<'_>, _target: &CStr) -> Result<(), PackageError> {
        Ok(())
    }

    /// A folder begins.
    fn enter(&mut self, _entry: &Entry<'_>) -> Result<(), PackageError> {
        Ok(())
    }

    /// The folder that began last ends.
    fn leave(&mut self) {}
}

/// One thing in the tree.
pub(crate) struct Entry<'a> {
    source: Source<'a>,
    /// What the kernel said of it.
    pub(crate) stat: Stat,
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it is, for people.
    path: &'a str,
}

enum Source<'a> {
    Root(&'a OwnedFd),
    Below(&'a OwnedFd, &'a CStr),
}

impl Entry<'_> {
    /// Its name in its folder; the root's is fixed.
    pub(crate) fn name(&self) -> &CStr {
        match self.source {
            Source::Root(_) => c"root",
            Source::Below(_, name) => name,
        }
    }

    /// It, opened for reading; still what it was.
    pub(crate) fn open(&self) -> Result<OwnedFd, PackageError> {
        let opened = match self.source {
            Source::Root(root) => root.try_clone().map_err(|error| self.failed(error))?,
            Source::Below(folder, name) => {
                open(folder, name, OFlags::RDONLY).map_err(|errno| self.failed(errno.into()))?
            }
        };
        let now = fstat(&opened).map_err(|errno| self.failed(errno.into()))?;
        if same(&now, &self.stat) {
            Ok(opened)
        } else {
            Err(self.changed())
        }
    }

    /// Its bytes, handed on piece by piece, and their digest.
    pub(crate) fn read(
        &self,
        each: impl FnMut(&[u8]) -> Result<(), PackageError>,
    ) -> Result<Sha256Digest, PackageError> {
        let file = self.open()?;
        let digest = self.read_from(&file, each)?;
        let now = fstat(&file).map_err(|errno| self.failed(errno.into()))?;
        if same(&now, &self.stat) {
            Ok(digest)
        } else {
            Err(self.changed())
        }
    }

    /// The same of another file, which has to be as long.
    pub(crate) fn read_from(
        &self,
        file: impl AsFd,
        mut each: impl FnMut(&[u8]) -> Result<(), PackageError>,
    ) -> Result<Sha256Digest, PackageError> {
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; CHUNK];
        let mut at = 0_u64;
        loop {
            // At a position of its own: whoever lent the file may move the shared one.
            let read = rustix::io::pread(&file, &mut buffer, at)
                .map_err(|errno| self.failed(errno.into()))?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            at = at.saturating_add(read as u64);
            if at > size(&self.stat) {
                return Err(self.changed());
            }
            context.update(bytes);
            each(bytes)?;
        }
        if at == size(&self.stat) {
            Ok(digest::finish(context))
        } else {
            Err(self.changed())
        }
    }

    fn failed(&self, source: std::io::Error) -> PackageError {
        PackageError::Read {
            path: self.path.to_owned(),
            source,
        }
    }

    fn changed(&self) -> PackageError {
        PackageError::Changed {
            path: self.path.to_owned(),
        }
    }
}

/// Reads everything, and does nothing else.
pub(crate) struct Read;

impl Visitor for Read {
    fn file(&mut self, entry: &Entry<'_>) -> Result<Sha256Digest, PackageError> {
        entry.read(|_| Ok(()))
    }
}

/// Walks what is selected and says what it is, with the visitor's word on each file.
pub(crate) fn walk(
    root: &OwnedFd,
    selection: &Selection,
    visitor: &mut impl Visitor,
) -> Result<Sha256Digest, PackageError> {
    let failed = |errno: Errno| PackageError::Read {
        path: ".".to_owned(),
        source: errno.into(),
    };
    let stat = fstat(root).map_err(failed)?;
    let kind = kind(&stat).ok_or_else(|| PackageError::Kind {
        path: ".".to_owned(),
    })?;
    shown(kind, &stat, ".")?;
    let entry = Entry {
        source: Source::Root(root),
        stat,
        kind,
        path: ".",
    };
    let mut walk = Walk {
        visitor,
        entries: 0,
        bytes: 0,
        path: Vec::new(),
    };
    let content = match kind {
        Kind::Folder => {
            // A name for a folder is no right to list it.
            let listed = open(root, c".", OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            walk.visitor.enter(&entry)?;
            let content = walk.folder(&listed, selection)?;
            walk.visitor.leave();
            content
        }
        Kind::File | Kind::Executable => {
            walk.count(&entry.stat)?;
            walk.visitor.file(&entry)?
        }
        Kind::Link => return Err(PackageError::Kind { path: ".".into() }),
    };
    Ok(digest::root(kind, content))
}

struct Walk<'v, V> {
    visitor: &'v mut V,
    entries: usize,
    bytes: u64,
    path: Vec<String>,
}

impl<V: Visitor> Walk<'_, V> {
    fn folder(
        &mut self,
        folder: &OwnedFd,
        selection: &Selection,
    ) -> Result<Sha256Digest, PackageError> {
        if self.path.len() >= MAX_DEPTH {
            return Err(PackageError::Large("48 folders in each other"));
        }
        let mut content = Folder::new();
        for (name, selection) in self.names(folder, selection)? {
            self.path.push(name.to_string_lossy().into_owned());
            let (kind, digest) = self.entry(folder, &name, selection)?;
            content.add(name.to_bytes(), kind, digest);
            self.path.pop();
        }
        Ok(content.finish())
    }

    /// The selected names of a folder, in the order of their bytes.
    fn names<'s>(
        &self,
        folder: &OwnedFd,
        selection: &'s Selection,
    ) -> Result<Vec<(CString, &'s Selection)>, PackageError> {
        let parts = match selection {
            Selection::Parts(parts) => parts,
            Selection::All => return self.all(folder),
        };
        parts
            .iter()
            .map(|(name, below)| {
                let name = CString::new(name.as_str());
                Ok((name.map_err(|_| self.failed(Errno::INVAL))?, below))
            })
            .collect()
    }

    fn all<'s>(&self, folder: &OwnedFd) -> Result<Vec<(CString, &'s Selection)>, PackageError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(|errno| self.failed(errno))? {
            let entry = entry.map_err(|errno| self.failed(errno))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if names.len() + self.entries >= MAX_ENTRIES {
                return Err(PackageError::Large("100000 files, folders and links"));
            }
            names.push((name.to_owned(), &Selection::All));
        }
        names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(names)
    }

    fn entry(
        &mut self,
        folder: &OwnedFd,
        name: &CStr,
        selection: &Selection,
    ) -> Result<(Kind, Sha256Digest), PackageError> {
        let path = self.path.join("/");
        let stat =
            statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| self.failed(errno))?;
        let kind = kind(&stat).ok_or_else(|| PackageError::Kind { path: path.clone() })?;
        shown(kind, &stat, &path)?;
        self.count(&stat)?;
        let entry = Entry {
            source: Source::Below(folder, name),
            stat,
            kind,
            path: &path,
        };
        // Only a folder has parts.
        if kind != Kind::Folder && !matches!(selection, Selection::All) {
            return Err(entry.failed(Errno::NOTDIR.into()));
        }
        let digest = match kind {
            Kind::File | Kind::Executable => self.visitor.file(&entry)?,
            Kind::Link => {
                let target =
                    readlinkat(folder, name, Vec::new()).map_err(|errno| self.failed(errno))?;
                self.visitor.link(&entry, &target)?;
                digest::of(target.to_bytes())
            }
            Kind::Folder => {
                let below = open(folder, name, OFlags::RDONLY | OFlags::DIRECTORY)
                    .map_err(|errno| self.failed(errno))?;
                self.visitor.enter(&entry)?;
                let content = self.folder(&below, selection)?;
                self.visitor.leave();
                content
            }
        };
        Ok((kind, digest))
    }

    fn count(&mut self, stat: &Stat) -> Result<(), PackageError> {
        self.entries += 1;
        if FileType::from_raw_mode(stat.st_mode).is_file() {
            self.bytes = self.bytes.saturating_add(size(stat));
        }
        if self.entries > MAX_ENTRIES {
            return Err(PackageError::Large("100000 files, folders and links"));
        }
        if self.bytes > MAX_BYTES {
            return Err(PackageError::Large("3 GiB"));
        }
        Ok(())
    }

    fn failed(&self, errno: Errno) -> PackageError {
        let path = match self.path.as_slice() {
            [] => ".".to_owned(),
            parts => parts.join("/"),
        };
        if errno == Errno::XDEV {
            // Something is mounted there.
            return PackageError::Kind { path };
        }
        PackageError::Read {
            path,
            source: errno.into(),
        }
    }
}

fn open(folder: &OwnedFd, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    // Neither a pipe that nobody writes to nor a lease that somebody holds is waited for.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat2(folder.as_fd(), name, flags, Mode::empty(), resolve)
}

fn kind(stat: &Stat) -> Option<Kind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_mode & 0o111 != 0 => Some(Kind::Executable),
        FileType::RegularFile => Some(Kind::File),
        FileType::Symlink => Some(Kind::Link),
        FileType::Directory => Some(Kind::Folder),
        FileType::Fifo
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Socket
        | FileType::Unknown => None,
    }
}

/// Whether everybody may read it: whoever walks has rights of its own, which nobody is lent.
fn shown(kind: Kind, stat: &Stat, path: &str) -> Result<(), PackageError> {
    let needed = match kind {
        Kind::File | Kind::Executable => 0o004,
        Kind::Folder => 0o005,
        Kind::Link => 0,
    };
    if stat.st_mode & needed == needed {
        Ok(())
    } else {
        Err(PackageError::Private {
            path: path.to_owned(),
        })
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(u64::MAX)
}

/// Whether two looks at a file saw the same version of the same file.
fn same(one: &Stat, other: &Stat) -> bool {
    let facts = |stat: &Stat| {
        (
            (stat.st_dev, stat.st_ino, stat.st_mode, stat.st_size),
            (stat.st_ctime, stat.st_ctime_nsec),
        )
    };
    facts(one) == facts(other)
}
