//! What was there before a session: kept beside its private git folder, where no session reaches, until all is back.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use holdfast_protocol::id::SessionId;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::GitError;
use super::config::Setting;
use super::doors::Door;
use super::layout::Repository;
use super::names::{Oid, RefName, Value};
use super::traps::Standing;

/// The form of a record.
const VERSION: u32 = 1;

/// A session's git, before and after.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The project.
    pub project: PathBuf,
    /// The session, from its end on.
    pub session: Option<SessionId>,
    /// How far its way back is.
    pub progress: Progress,
    /// Its repositories as they were; none where the project had no git folder.
    pub repositories: Vec<Before>,
    /// What lay in the project already that git takes for a repository.
    pub standing: Standing,
    /// Submodules' `.git` files with their content.
    pub pointers: Vec<(PathBuf, String)>,
    /// Files of the project that the human's settings lead git to.
    pub doors: Vec<Door>,
}

/// How far a session's way back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The session lives, or its command was killed.
    Open,
    /// What could come came; the rest waits for the human.
    Tried,
}

/// A repository before a session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Where it is.
    pub repository: Repository,
    /// `HEAD`; none where there is no telling.
    pub head: Option<Value>,
    /// Its refs, but for symbolic ones.
    pub refs: BTreeMap<RefName, Oid>,
    /// Its symbolic refs.
    pub symbolic: BTreeMap<RefName, RefName>,
    /// What is stashed, oldest first.
    pub stashes: Vec<Oid>,
    /// The tree that its index makes; none for an index that makes none.
    pub index: Option<Oid>,
    /// What a merge, a pick or a revert that was in progress is told by, with its content.
    pub under_way: BTreeMap<String, String>,
    /// Its settings that pass, with no secret in them.
    pub settings: Vec<Setting>,
}

impl Record {
    /// A record of a session that has not begun.
    pub fn new(project: &Path, repositories: Vec<Before>, standing: Standing) -> Self {
        Self {
            version: VERSION,
            project: project.to_owned(),
            session: None,
            progress: Progress::Open,
            repositories,
            standing,
            pointers: Vec::new(),
            doors: Vec::new(),
        }
    }
}

/// A folder of one session's git, locked while this process has it.
#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
    _lock: File,
}

impl Kept {
    /// A new one, for a session in `project`.
    pub fn new(project: &Path) -> Result<Self, GitError> {
        let mut random = [0; 12];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| GitError::file(Path::new("/dev/urandom"), errno.into()))?;
        let all = all()?;
        private_folder(&all)?;
        // A session that could write here would say itself what was there before it.
        let real = all.canonicalize();
        if real
            .map_err(|error| GitError::file(&all, error))?
            .starts_with(project)
        {
            return Err(GitError::Within(all));
        }
        let folder = all.join(HEXLOWER.encode(&random));
        private_folder(&folder)?;
        private_folder(&folder.join("git"))?;
        // Who looks for what was abandoned may have it for a moment; without a record it is let go.
        let lock = lock(&folder, FlockOperation::LockExclusive)?
            .ok_or_else(|| GitError::Busy(folder.clone()))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Those that nobody has, with their records; what cannot be read is left alone.
    pub fn abandoned() -> Result<Vec<(Self, Record)>, GitError> {
        let all = all()?;
        let entries = match all.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(GitError::file(&all, error)),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let folder = entry.path();
            let Ok(Some(lock)) = lock(&folder, FlockOperation::NonBlockingLockExclusive) else {
                continue;
            };
            let kept = Self {
                folder,
                _lock: lock,
            };
            if let Ok(record) = kept.read() {
                found.push((kept, record));
            }
        }
        Ok(found)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The private git folder in it, which the session writes.
    pub fn private(&self) -> PathBuf {
        self.folder.join("git")
    }

    /// Something else in it, which no session reaches.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its short name.
    pub fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Writes the record, in one step.
    pub fn write(&self, record: &Record) -> Result<(), GitError> {
        let (path, new) = (self.beside("record.json"), self.beside("record.new"));
        let bytes = serde_json::to_vec(record)
            .map_err(|error| GitError::file(&path, std::io::Error::other(error)))?;
        fs::write(&new, bytes)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| GitError::file(&path, error))
    }

    fn read(&self) -> Result<Record, GitError> {
        let path = self.beside("record.json");
        let bytes = fs::read(&path).map_err(|error| GitError::file(&path, error))?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| GitError::file(&path, std::io::Error::other(error)))?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(GitError::file(
                &path,
                std::io::Error::other("another version's"),
            ))
        }
    }

    /// Removes it with everything in it.
    pub fn remove(self) -> Result<(), GitError> {
        fs::remove_dir_all(&self.folder).map_err(|error| GitError::file(&self.folder, error))
    }
}

/// Makes a folder that is its owner's alone, with those above it.
pub fn private_folder(folder: &Path) -> Result<(), GitError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(folder)
        .map_err(|error| GitError::file(folder, error))
}

/// Where sessions' git folders are kept (XDG Base Directory Specification).
fn all() -> Result<PathBuf, GitError> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|state| state.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".local/state")))
        .ok_or(GitError::NoHome)?;
    Ok(state.join("holdfast/git"))
}

fn lock(folder: &Path, how: FlockOperation) -> Result<Option<File>, GitError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| GitError::file(&path, error))?;
    Ok(flock(&file, how).is_ok().then_some(file))
}
