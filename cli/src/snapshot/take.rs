//! Looking at a whole project, folder by folder, without following anything.
//!
//! Every name is opened in the folder that was opened before it. It must never look into a `.git`, nor wait for
//! anything but the disk.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use holdfast_protocol::digest::Sha256Digest;
use holdfast_protocol::time::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode as RawMode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::cache::Cache;
use super::entry::{Entry, Identity, NotKept};
use super::manifest::{Entries, Manifest};
use super::objects::{Objects, hash};
use super::path::RelPath;
use super::rules::{FILE, Folder, MAX_RULES, Place, Rules};
use super::watch::Watch;
use super::{MAX_DEPTH, MAX_ENTRIES, MAX_IGNORED_FILE, MAX_NEW_BYTES, SnapshotError};

/// Lines of git's that are in no `.gitignore`.
const EXCLUDE: &str = ".git/info/exclude";

/// How to look.
pub struct How<'h> {
    /// What to leave out.
    pub leave_out: LeaveOut<'h>,
    /// What is looked at even where git is told to ignore it.
    pub never_left_out: &'h dyn Fn(&RelPath) -> bool,
    /// What to do with what files hold.
    pub contents: Contents<'h>,
    /// Who looks on.
    pub watch: &'h Watch,
}

/// Where the rules come from.
#[derive(Clone, Copy)]
pub enum LeaveOut<'h> {
    /// The project, as it stands.
    AsItSays,
    /// An earlier snapshot.
    As(&'h Rules),
}

/// What to do with what files hold.
#[derive(Clone, Copy)]
pub enum Contents<'h> {
    /// Keep it.
    Keep(&'h Objects),
    /// Only know which it is.
    Name,
}

/// What was seen.
pub struct Taken {
    /// It.
    pub manifest: Manifest,
    /// What each file was known by.
    pub identities: HashMap<RelPath, Identity>,
    /// What to know at the next look.
    pub cache: Cache,
}

/// Looks at the project that is open as `root`; `known` is what was known before.
pub fn take(
    root: BorrowedFd<'_>,
    how: &How<'_>,
    known: &Cache,
    now: Timestamp,
) -> Result<Taken, SnapshotError> {
    let stat = rustix::fs::fstat(root).map_err(failed(None))?;
    let rules = match how.leave_out {
        LeaveOut::AsItSays => {
            let mut rules = Rules::default();
            if let Some(text) = text(root, EXCLUDE) {
                rules.add(Place::Exclude, &text);
            }
            rules
        }
        LeaveOut::As(earlier) => earlier.clone(),
    };
    let mut look = Look {
        how,
        known,
        now,
        device: stat.st_dev,
        rules,
        entries: Entries::new(),
        identities: HashMap::new(),
        cache: Cache::default(),
        read: 0,
        added: 0,
    };
    let root = root.try_clone_to_owned().map_err(|source| {
        let what = "the project cannot be opened".to_owned();
        SnapshotError::Io { what, source }
    })?;
    let looked = look.folder(&root, None, 0);
    how.watch.done();
    looked?;
    Ok(Taken {
        manifest: Manifest {
            taken: now,
            rules: look.rules,
            entries: look.entries,
        },
        identities: look.identities,
        cache: look.cache,
    })
}

struct Look<'h> {
    how: &'h How<'h>,
    known: &'h Cache,
    now: Timestamp,
    device: u64,
    rules: Rules,
    entries: Entries,
    identities: HashMap<RelPath, Identity>,
    cache: Cache,
    read: u64,
    added: u64,
}

impl Look<'_> {
    fn folder(
        &mut self,
        folder: &OwnedFd,
        at: Option<&RelPath>,
        depth: usize,
    ) -> Result<(), SnapshotError> {
        if matches!(self.how.leave_out, LeaveOut::AsItSays) {
            let name = String::from_utf8_lossy(FILE);
            if let Some(text) = text(folder.as_fd(), &name) {
                self.rules.add(Place::Folder(at.cloned()), &text);
            }
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder).map_err(failed(at))? {
            let entry = entry.map_err(failed(at))?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b".." | b".git") {
                names.push(name.to_vec());
            }
        }
        // The same ones are left out next time, if there are too many.
        names.sort();
        for name in names {
            self.how.watch.step()?;
            let Some(path) = RelPath::within(at, &name) else {
                continue;
            };
            if self.entries.len() >= MAX_ENTRIES {
                return Err(SnapshotError::TooMany);
            }
            self.entry(folder, path, depth)?;
            self.how.watch.progress(self.entries.len(), self.read);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &OwnedFd,
        path: RelPath,
        depth: usize,
    ) -> Result<(), SnapshotError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = match rustix::fs::statat(folder, path.name(), flags) {
            Ok(stat) => stat,
            // It went away since the folder was listed.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed(Some(&path))(errno)),
        };
        let identity = Identity::of(&stat);
        let entry = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.subfolder(folder, path, &identity, depth),
            FileType::RegularFile => self.file(folder, &path, &identity)?,
            FileType::Symlink => match rustix::fs::readlinkat(folder, path.name(), Vec::new()) {
                Ok(target) => Entry::Link(target.into_bytes()),
                Err(_) => unkept(NotKept::Changing, identity),
            },
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => unkept(NotKept::Special, identity),
        };
        self.identities.insert(path.clone(), identity);
        self.entries.insert(path, entry);
        Ok(())
    }

    fn subfolder(
        &mut self,
        folder: &OwnedFd,
        path: RelPath,
        identity: &Identity,
        depth: usize,
    ) -> Result<(), SnapshotError> {
        let ignored = || self.rules.ignore(&path, Folder::Yes) && !(self.how.never_left_out)(&path);
        let why = if identity.device != self.device {
            Some(NotKept::Mounted)
        } else if depth >= MAX_DEPTH {
            Some(NotKept::Deep)
        } else if ignored() {
            Some(NotKept::Ignored)
        } else {
            None
        };
        let opened = match why {
            Some(why) => Err(why),
            None => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(folder, path.name(), flags, RawMode::empty());
                opened.map_err(|errno| match errno {
                    Errno::ACCESS | Errno::PERM => NotKept::Unreadable,
                    _ => NotKept::Changing,
                })
            }
        };
        self.identities.insert(path.clone(), *identity);
        match opened {
            Ok(opened) => {
                self.entries
                    .insert(path.clone(), Entry::Folder(identity.mode()));
                self.folder(&opened, Some(&path), depth + 1)
            }
            Err(why) => {
                self.entries.insert(path, unkept(why, *identity));
                Ok(())
            }
        }
    }

    fn file(
        &mut self,
        folder: &OwnedFd,
        path: &RelPath,
        identity: &Identity,
    ) -> Result<Entry, SnapshotError> {
        let large = identity.size > MAX_IGNORED_FILE;
        if large && self.rules.ignore(path, Folder::No) && !(self.how.never_left_out)(path) {
            return Ok(unkept(NotKept::IgnoredFile, *identity));
        }
        let file = |digest, size| Entry::File {
            mode: identity.mode(),
            size,
            digest,
        };
        if let Some(digest) = self.known.find(path, identity) {
            let there = match self.how.contents {
                Contents::Keep(objects) => objects.has(&digest, identity.size),
                Contents::Name => true,
            };
            if there {
                self.cache.remember(path, identity, digest, self.now);
                return Ok(file(digest, identity.size));
            }
        }
        if self.added.saturating_add(identity.size) > MAX_NEW_BYTES {
            return Ok(unkept(NotKept::Bytes, *identity));
        }
        match self.contents(folder, path, identity)? {
            Ok((digest, size)) => Ok(file(digest, size)),
            Err(why) => Ok(unkept(why, *identity)),
        }
    }

    /// Reads a file; the inner error says why there is no content of it.
    fn contents(
        &mut self,
        folder: &OwnedFd,
        path: &RelPath,
        identity: &Identity,
    ) -> Result<Result<(Sha256Digest, u64), NotKept>, SnapshotError> {
        // A pipe that took the file's place must not hold us up.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(folder, path.name(), flags, RawMode::empty()) {
            Ok(opened) => opened,
            Err(Errno::ACCESS | Errno::PERM) => return Ok(Err(NotKept::Unreadable)),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(Err(NotKept::Changing)),
            Err(errno) => return Err(failed(Some(path))(errno)),
        };
        let before = rustix::fs::fstat(&opened).map_err(failed(Some(path)))?;
        if Identity::of(&before).inode != identity.inode
            || FileType::from_raw_mode(before.st_mode) != FileType::RegularFile
        {
            return Ok(Err(NotKept::Changing));
        }
        let mut opened = File::from(opened);
        let content = match self.how.contents {
            Contents::Keep(objects) => objects.keep(&mut opened, identity.size)?,
            Contents::Name => hash(&mut opened)?,
        };
        self.added = self.added.saturating_add(content.added);
        self.read = self.read.saturating_add(content.size);
        let after = rustix::fs::fstat(&opened).map_err(failed(Some(path)))?;
        // Of a file that is written to meanwhile there is what was read, and it is read again next time.
        if Identity::of(&after) == *identity {
            self.cache
                .remember(path, identity, content.digest, self.now);
        }
        Ok(Ok((content.digest, content.size)))
    }
}

fn unkept(why: NotKept, identity: Identity) -> Entry {
    Entry::Unkept { why, identity }
}

/// A small file of the project's own, if it is there.
fn text(folder: BorrowedFd<'_>, path: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = rustix::fs::openat2(folder, path, flags, RawMode::empty(), within).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_RULES).unwrap_or_default();
    File::from(file).take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn failed(path: Option<&RelPath>) -> impl FnOnce(Errno) -> SnapshotError {
    SnapshotError::io(match path {
        Some(path) => format!("`{path}` cannot be read"),
        None => "the project cannot be read".to_owned(),
    })
}
