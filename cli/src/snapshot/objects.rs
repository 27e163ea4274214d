//! What files held, each content once, under its SHA-256.
//!
//! A content has its name only when all of it is there. It must never be changed afterwards.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use holdfast_protocol::digest::Sha256Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::SnapshotError;

/// Contents up to this size are hashed in memory, before anything is written.
const SMALL: u64 = 1 << 20;

/// What is written before it has its name.
const UNFINISHED: &str = "unfinished";

/// All contents.
#[derive(Debug)]
pub struct Objects {
    folder: OwnedFd,
    added: AtomicU64,
}

/// What a file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Which.
    pub digest: Sha256Digest,
    /// How many bytes.
    pub size: u64,
    /// How many of them were not kept before.
    pub added: u64,
}

impl Objects {
    /// Opens, and makes, the folder of all contents.
    pub fn open(folder: &Path) -> Result<Self, SnapshotError> {
        let failed = || SnapshotError::io(format!("`{}` cannot be opened", folder.display()));
        make_folder(CWD, folder).map_err(failed())?;
        make_folder(CWD, &folder.join(UNFINISHED)).map_err(failed())?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(failed())?;
        Ok(Self {
            folder,
            added: AtomicU64::new(0),
        })
    }

    /// Whether this content is there, whole.
    pub fn has(&self, digest: &Sha256Digest, size: u64) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let found = rustix::fs::statat(&self.folder, name(digest), flags);
        // A power cut may leave a name without its bytes.
        found.is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(size))
    }

    /// Keeps what `file` holds from its beginning.
    pub fn keep(&self, file: &mut File, size: u64) -> Result<Content, SnapshotError> {
        if size > SMALL {
            return self.keep_large(file);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(SMALL + 1)
            .read_to_end(&mut bytes)
            .map_err(reading)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > SMALL) {
            file.rewind().map_err(reading)?;
            return self.keep_large(file);
        }
        self.keep_bytes(&bytes)
    }

    /// Keeps these bytes.
    pub fn keep_bytes(&self, bytes: &[u8]) -> Result<Content, SnapshotError> {
        let digest = digest(bytes);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let known = Content {
            digest,
            size,
            added: 0,
        };
        if self.has(&digest, size) {
            return Ok(known);
        }
        let (mut unfinished, temporary) = self.unfinished()?;
        unfinished.write_all(bytes).map_err(writing)?;
        self.finish(&temporary, &digest)?;
        Ok(Content {
            added: size,
            ..known
        })
    }

    fn keep_large(&self, file: &mut File) -> Result<Content, SnapshotError> {
        let (mut unfinished, temporary) = self.unfinished()?;
        let content = if rustix::fs::ioctl_ficlone(&unfinished, file.as_fd()).is_ok() {
            hash(&mut unfinished)?
        } else {
            copy(file, &mut unfinished)?
        };
        if self.has(&content.digest, content.size) {
            let removed = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
            removed.map_err(SnapshotError::io("a file of ours cannot be removed"))?;
            return Ok(content);
        }
        self.finish(&temporary, &content.digest)?;
        Ok(Content {
            added: content.size,
            ..content
        })
    }

    fn unfinished(&self) -> Result<(File, String), SnapshotError> {
        let number = self.added.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{UNFINISHED}/{}-{number}", std::process::id());
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &temporary, flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(SnapshotError::io("a content cannot be kept"))?;
        Ok((File::from(file), temporary))
    }

    fn finish(&self, temporary: &str, digest: &Sha256Digest) -> Result<(), SnapshotError> {
        let name = name(digest);
        let rename = || rustix::fs::renameat(&self.folder, temporary, &self.folder, &name);
        let renamed = rename().or_else(|errno| {
            let folder = name.split('/').next().unwrap_or_default();
            if errno != Errno::NOENT {
                return Err(errno);
            }
            make_folder(&self.folder, Path::new(folder))?;
            rename()
        });
        renamed.map_err(SnapshotError::io("a content cannot be kept"))
    }

    /// Makes everything that was kept since it was opened outlast a power cut.
    pub fn sync(&self) -> Result<(), SnapshotError> {
        if self.added.swap(0, Ordering::Relaxed) == 0 {
            return Ok(());
        }
        // One call for thousands of files.
        rustix::fs::syncfs(&self.folder)
            .map_err(SnapshotError::io("what was kept cannot be made durable"))
    }

    /// Opens a content for reading. Whoever reads it has to hash it.
    pub fn read(&self, digest: &Sha256Digest) -> Result<File, SnapshotError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, name(digest), flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::NOENT) => Err(SnapshotError::Damaged(digest.to_string())),
            Err(errno) => Err(SnapshotError::io("a kept content cannot be read")(errno)),
        }
    }

    /// Writes a content into an empty file; an error leaves it half written.
    pub fn restore(&self, digest: &Sha256Digest, into: &mut File) -> Result<(), SnapshotError> {
        let mut from = self.read(digest)?;
        let content = if rustix::fs::ioctl_ficlone(into.as_fd(), &from).is_ok() {
            hash(into)?
        } else {
            copy(&mut from, into)?
        };
        if content.digest == *digest {
            Ok(())
        } else {
            Err(SnapshotError::Damaged(digest.to_string()))
        }
    }

    /// A short content, if it is there and whole.
    pub fn text(&self, digest: &Sha256Digest, most: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.read(digest).ok()?;
        file.take(most).read_to_end(&mut bytes).ok()?;
        (self::digest(&bytes) == *digest).then_some(bytes)
    }

    /// Removes every content that `wanted` does not want, and what was never finished. Nobody may be keeping any.
    pub fn sweep(&self, wanted: impl Fn(&Sha256Digest) -> bool) -> Result<(), SnapshotError> {
        let failed = || SnapshotError::io("what is no longer needed cannot be removed");
        for shelf in names_in(&self.folder).map_err(failed())? {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&self.folder, &shelf, flags, Mode::empty());
            let opened = opened.map_err(failed())?;
            for own in names_in(&opened).map_err(failed())? {
                let digest: Option<Sha256Digest> = format!("{shelf}{own}").parse().ok();
                if !digest.is_some_and(|digest| wanted(&digest)) {
                    rustix::fs::unlinkat(&opened, &own, AtFlags::empty()).map_err(failed())?;
                }
            }
        }
        Ok(())
    }
}

/// Names in a folder of ours.
fn names_in(folder: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Where a content lies: 256 folders, so that none is too large.
fn name(digest: &Sha256Digest) -> String {
    let mut name = HEXLOWER.encode(digest.as_bytes());
    name.insert(2, '/');
    name
}

fn make_folder(at: impl AsFd, folder: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdirat(at, folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn reading(source: std::io::Error) -> SnapshotError {
    let what = "a file cannot be read".to_owned();
    SnapshotError::Io { what, source }
}

fn writing(source: std::io::Error) -> SnapshotError {
    let what = "a file cannot be written".to_owned();
    SnapshotError::Io { what, source }
}

/// The digest of these bytes.
pub fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(bytes).into())
}

/// What `file` holds, from its beginning, without keeping it.
pub fn hash(file: &mut File) -> Result<Content, SnapshotError> {
    file.rewind().map_err(reading)?;
    copy(file, &mut std::io::sink())
}

fn copy(from: &mut File, to: &mut impl Write) -> Result<Content, SnapshotError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size: u64 = 0;
    loop {
        let read = from.read(&mut buffer).map_err(reading)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        hasher.update(bytes);
        to.write_all(bytes).map_err(writing)?;
        size = size.saturating_add(u64::try_from(read).unwrap_or_default());
    }
    let digest = Sha256Digest::new(hasher.finalize().into());
    Ok(Content {
        digest,
        size,
        added: 0,
    })
}
