//! Where snapshots lie: `$XDG_STATE_HOME/holdfast/snapshots`, for the human alone.
//!
//! A folder for each snapshot of each project, and the contents of all of them together. A snapshot is there once
//! its folder has its name, which it gets last.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::time::Timestamp;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SnapshotError;
use super::cache::Cache;
use super::manifest::{Delta, Manifest};
use super::objects::Objects;

/// What is said about a snapshot beside it.
const ABOUT: &str = "about.json";
/// What there was.
const START: &str = "start";
/// What was different when the session was over.
const END: &str = "end";
/// Locked by whoever's session it is.
const ALIVE: &str = "alive";
/// What is known of a project's files.
const CACHE: &str = "cache";
/// A snapshot's folder before it has its name.
pub(super) const UNFINISHED: &str = ".unfinished";

/// All snapshots of this human.
#[derive(Debug)]
pub struct Store {
    pub(super) folder: PathBuf,
    /// What files held.
    pub objects: Objects,
    /// Held for as long as contents must stay.
    pub(super) lock: OwnedFd,
}

/// What is said about a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its name.
    pub id: SessionId,
    /// Of what: an absolute path.
    pub project: PathBuf,
    /// Why it was taken.
    pub origin: Origin,
    /// When.
    pub began: Timestamp,
    /// When what it was taken for was over, and what became of it.
    pub ended: Option<Ended>,
    /// Guarded places that the human opened.
    pub unguarded: Vec<String>,
}

/// Why a snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Before a session.
    Session {
        /// Which; it is not known before it runs.
        session: Option<SessionId>,
        /// What ran in it.
        program: String,
    },
    /// Before an undo, so that that can be undone.
    Undo {
        /// Of which.
        of: SessionId,
    },
}

/// The end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// How many files and folders were different.
    pub changes: u64,
}

/// One snapshot.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    /// What is said about it.
    pub about: About,
    /// While this is held, it belongs to a session or undo that goes on.
    _alive: Option<OwnedFd>,
}

impl Store {
    /// Opens, and makes, the store of this human, whose home is `home`.
    pub fn open(home: &Path) -> Result<Self, SnapshotError> {
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|state| state.is_absolute())
            .unwrap_or_else(|| home.join(".local/state"));
        Self::at(&state.join("holdfast/snapshots"))
    }

    /// Opens, and makes, the store in `folder`.
    pub fn at(folder: &Path) -> Result<Self, SnapshotError> {
        make(folder)?;
        make(&folder.join("projects"))?;
        let lock = open_lock(&folder.join("lock"))?;
        // Whoever removes contents waits for us.
        flock(&lock, FlockOperation::LockShared)
            .map_err(SnapshotError::io("the snapshots cannot be locked"))?;
        Ok(Self {
            objects: Objects::open(&folder.join("objects"))?,
            folder: folder.to_owned(),
            lock,
        })
    }

    /// Whether the store lies in `project`: there is no snapshot of what holds the snapshots.
    pub fn is_in(&self, project: &Path) -> bool {
        let real = self.folder.canonicalize();
        real.is_ok_and(|real| real.starts_with(project)) || self.folder.starts_with(project)
    }

    fn project(&self, project: &Path) -> PathBuf {
        let hash = Sha256::digest(project.as_os_str().as_bytes());
        let name = HEXLOWER.encode(hash.get(..16).unwrap_or_default());
        self.folder.join("projects").join(name)
    }

    /// What is known of the files of `project`.
    pub fn cache(&self, project: &Path) -> Cache {
        let text = std::fs::read_to_string(self.project(project).join(CACHE));
        text.map(|text| Cache::decode(&text)).unwrap_or_default()
    }

    /// Keeps what is known of the files of `project`; a line that is torn is known no more.
    pub fn keep_cache(&self, project: &Path, cache: &Cache) -> Result<(), SnapshotError> {
        make(&self.project(project))?;
        write_soon(
            &self.project(project).join(CACHE),
            cache.encode().as_bytes(),
        )
    }

    /// Keeps a snapshot, whole; its contents are kept already.
    pub fn keep(&self, about: About, start: &Manifest) -> Result<Snapshot, SnapshotError> {
        self.objects.sync()?;
        let project = self.project(&about.project);
        make(&project)?;
        let folder = project.join(about.id.to_string());
        let unfinished = project.join(format!("{}{UNFINISHED}", about.id));
        make(&unfinished)?;
        write(&unfinished.join(START), start.encode().as_bytes())?;
        let snapshot = Snapshot {
            _alive: Some(hold(&unfinished)?),
            folder: unfinished.clone(),
            about,
        };
        snapshot.write_about()?;
        std::fs::rename(&unfinished, &folder).map_err(writing(&folder))?;
        sync(&project)?;
        Ok(Snapshot { folder, ..snapshot })
    }

    /// The snapshots of `project`, the newest first.
    pub fn of_project(&self, project: &Path) -> Result<Vec<Snapshot>, SnapshotError> {
        let mut found = self.in_folder(&self.project(project))?;
        found.retain(|snapshot| snapshot.about.project == project);
        Ok(found)
    }

    /// The snapshot of this name, or of this session.
    pub fn find(&self, id: SessionId) -> Result<Option<Snapshot>, SnapshotError> {
        for project in folders(&self.folder.join("projects"))? {
            let found = self
                .in_folder(&project)?
                .into_iter()
                .find(|snapshot| snapshot.about.id == id || snapshot.about.session() == Some(id));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The snapshots in a project's folder, the newest first; one that cannot be read is none.
    pub(super) fn in_folder(&self, project: &Path) -> Result<Vec<Snapshot>, SnapshotError> {
        let read = |folder: PathBuf| {
            let id: SessionId = folder.file_name()?.to_str()?.parse().ok()?;
            let text = std::fs::read(folder.join(ABOUT)).ok()?;
            let about: About = serde_json::from_slice(&text).ok()?;
            (about.id == id).then_some(Snapshot {
                folder,
                about,
                _alive: None,
            })
        };
        let mut found: Vec<Snapshot> = folders(project)?.into_iter().filter_map(read).collect();
        found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.about.began));
        Ok(found)
    }
}

impl About {
    /// The session that it was taken for.
    pub fn session(&self) -> Option<SessionId> {
        match &self.origin {
            Origin::Session { session, .. } => *session,
            Origin::Undo { .. } => None,
        }
    }

    /// What the human calls it by.
    pub fn name(&self) -> SessionId {
        self.session().unwrap_or(self.id)
    }
}

impl Snapshot {
    /// What there was.
    pub fn start(&self) -> Result<Manifest, SnapshotError> {
        let path = self.folder.join(START);
        let text = std::fs::read_to_string(&path).map_err(reading(&path))?;
        Manifest::decode(&text).ok_or_else(|| damaged(&path))
    }

    /// What was different at the end; none if nobody saw it.
    pub fn end(&self) -> Result<Option<Delta>, SnapshotError> {
        let path = self.folder.join(END);
        match std::fs::read_to_string(&path) {
            Ok(text) => Delta::decode(&text).map(Some).ok_or_else(|| damaged(&path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(reading(&path)(error)),
        }
    }

    /// Says which session it was taken for.
    pub fn begun(&mut self, of: SessionId) -> Result<(), SnapshotError> {
        if let Origin::Session { session, .. } = &mut self.about.origin {
            *session = Some(of);
        }
        self.write_about()
    }

    /// Keeps what was different at the end.
    pub fn ended(&mut self, delta: &Delta, changes: u64) -> Result<(), SnapshotError> {
        write(&self.folder.join(END), delta.encode().as_bytes())?;
        self.about.ended = Some(Ended {
            at: delta.taken,
            changes,
        });
        self.write_about()
    }

    /// Whether what it was taken for goes on.
    pub fn is_alive(&self) -> bool {
        let Ok(file) = open_lock(&self.folder.join(ALIVE)) else {
            return true;
        };
        flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    }

    /// Takes it for oneself; none if somebody else has it.
    pub fn claim(self) -> Result<Option<Self>, SnapshotError> {
        let alive = open_lock(&self.folder.join(ALIVE))?;
        match flock(&alive, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self {
                _alive: Some(alive),
                ..self
            })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(SnapshotError::io("a snapshot cannot be locked")(errno)),
        }
    }

    /// Forgets it: nothing came of what it was taken for.
    pub fn forget(self) -> Result<(), SnapshotError> {
        let mut unfinished = self.folder.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        std::fs::rename(&self.folder, &unfinished).map_err(writing(&self.folder))?;
        std::fs::remove_dir_all(&unfinished).map_err(writing(&self.folder))
    }

    fn write_about(&self) -> Result<(), SnapshotError> {
        let text = serde_json::to_vec_pretty(&self.about).map_err(std::io::Error::other);
        let path = self.folder.join(ABOUT);
        write(&path, &text.map_err(writing(&path))?)
    }
}

/// A name of its own for a snapshot.
pub fn new_id() -> Result<SessionId, SnapshotError> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(SnapshotError::io("there is no randomness"))?;
    Ok(SessionId::from_random(bytes))
}

fn hold(folder: &Path) -> Result<OwnedFd, SnapshotError> {
    let alive = open_lock(&folder.join(ALIVE))?;
    flock(&alive, FlockOperation::NonBlockingLockExclusive)
        .map_err(SnapshotError::io("a snapshot cannot be locked"))?;
    Ok(alive)
}

fn open_lock(path: &Path) -> Result<OwnedFd, SnapshotError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(SnapshotError::io(format!(
        "`{}` cannot be opened",
        path.display()
    )))
}

/// Makes a folder that is the human's alone.
fn make(folder: &Path) -> Result<(), SnapshotError> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(writing(folder))
}

/// Folders in a folder; none in one that is not there.
pub(super) fn folders(folder: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(reading(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(reading(folder))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Writes a file so that there is the old or the new one, also after a power cut.
fn write(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    replace(path, bytes, File::sync_all)?;
    path.parent().map_or(Ok(()), sync)
}

/// Writes a file so that there is the old or the new one, for what can be lost to a power cut.
fn write_soon(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    replace(path, bytes, |_| Ok(()))
}

fn replace(
    path: &Path,
    bytes: &[u8],
    settle: impl Fn(&File) -> std::io::Result<()>,
) -> Result<(), SnapshotError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        settle(&file)?;
        std::fs::rename(&temporary, path)
    };
    written().map_err(writing(path))
}

fn sync(folder: &Path) -> Result<(), SnapshotError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(writing(folder))
}

fn damaged(path: &Path) -> SnapshotError {
    SnapshotError::Damaged(path.display().to_string())
}

fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
    let what = format!("`{}` cannot be read", path.display());
    move |source| SnapshotError::Io { what, source }
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
    let what = format!("`{}` cannot be written", path.display());
    move |source| SnapshotError::Io { what, source }
}
