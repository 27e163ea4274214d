//! The log on disk: SQLite in WAL mode with `synchronous=FULL`, one writer, one transaction per batch.
//!
//! What a method of [`Store`] returned `Ok` for is durable. After any error the store must not be used again, and nothing
//! is ever tried twice: after a failed fsync nobody knows what the disk has.

mod guard;
mod reader;
mod room;
mod rows;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_proof::merkle::Frontier;
use holdfast_proof::note::Origin;
use holdfast_protocol::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

pub use guard::Moved;
pub use reader::{CheckpointRow, Reader, RecordRow, Tree};

use crate::state::{Checkpoint, Past, Row, Tip};
use guard::FileGuard;
use room::Room;

const DATABASE: &str = "audit.db";
const LOCK: &str = "audit.lock";

/// The first SQLite without the WAL-reset corruption bug.
const MIN_SQLITE: [u32; 3] = [3, 51, 3];

/// After this many bytes the WAL is cut back when it is reset.
const WAL_LIMIT: &str = "67108864";
/// A WAL of so many pages (16 MiB) is copied into the database; the default of 1,000 would do so every few batches.
const WAL_PAGES: &str = "4000";

/// How many records at the end are hashed again when the log is opened.
const TAIL: u64 = 256;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The environment: SQLite failed (full disk, failed fsync, damaged file).
    #[error("the audit database failed")]
    Sqlite(#[from] sqlx::Error),
    /// The environment: the database could not be brought to this version's schema.
    #[error("the audit database has a schema that is not ours")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// The environment: a file of the log was deleted or replaced while it was open.
    #[error("the audit log's files were deleted or replaced")]
    Moved(#[from] Moved),
    /// The environment: a file could not be made or locked.
    #[error("`{path}` cannot be opened")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The caller: another broker has this log open.
    #[error("`{path}` is locked: another broker has this log open")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The build: SQLite is too old to be trusted with a WAL.
    #[error("sqlite {found} has a WAL corruption bug; 3.51.3 or newer is needed")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// The caller: the folder holds another log.
    #[error("the folder holds the log of `{found}`")]
    OtherOrigin {
        /// Whose log it holds.
        found: String,
    },
    /// The environment: what is stored contradicts itself.
    #[error("the audit database is damaged: {0}")]
    Damaged(Damage),
}

/// In which way what is stored contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// There is no tree, or its hashes do not fit its size.
    #[error("its tree cannot be read")]
    Tree,
    /// A row holds what no row of ours holds.
    #[error("a row of `{table}` cannot be read")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// Records and tree have different sizes.
    #[error("it has {records} records, and its tree is over {tree}: {}", sizes(*records, *tree))]
    Size {
        /// One more than the last index.
        records: u64,
        /// The tree's size.
        tree: u64,
    },
    /// A checkpoint covers more than there is.
    #[error("it ends at {size}, and a checkpoint covers {covered}: its tail was cut off")]
    TailCut {
        /// The tree's size.
        size: u64,
        /// What the checkpoint covers.
        covered: u64,
    },
    /// A record near the end is not the one that was written.
    #[error("record {0} is missing or was changed after it was written")]
    Record(u64),
}

fn sizes(records: u64, tree: u64) -> &'static str {
    if records < tree {
        "its tail was cut off"
    } else {
        "records were added behind its end"
    }
}

/// How the log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStop {
    /// It is new.
    New,
    /// In order.
    Orderly,
    /// Not in order: a crash, or the power went.
    Unclean,
}

/// What a store held when it was opened.
#[derive(Debug)]
pub struct Stored {
    /// The tree's right edge.
    pub tree: Frontier,
    /// Its checkpoints.
    pub past: Past,
    /// How it was left.
    pub last_stop: LastStop,
}

/// The one writer.
#[derive(Debug)]
pub struct Store {
    connection: SqliteConnection,
    guard: FileGuard,
    room: Room,
    /// Held for as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the log of `origin` in `folder`, makes it if it is not there, and looks whether its end is whole.
    pub async fn open(folder: &Path, origin: &Origin) -> Result<(Self, Stored), StoreError> {
        let lock = prepare(folder)?;
        let path = folder.join(DATABASE);
        let mut connection = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("fullfsync", "1")
            .pragma("journal_size_limit", WAL_LIMIT)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging()
            .connect()
            .await?;
        check_version(&mut connection).await?;
        sqlx::migrate!("./migrations").run(&mut connection).await?;
        let last_stop = rows::begin(&mut connection, origin).await?;
        let stored = load(&mut connection, last_stop).await?;
        // The write above has made the WAL, so all three files exist now and stay until the last connection closes.
        let wal = with_suffix(&path, "-wal");
        let guard = FileGuard::watch([path.clone(), wal.clone(), with_suffix(&path, "-shm")])?;
        let room = Room::take(&mut connection, folder, &wal).await?;
        sync_folder(folder)?;
        let store = Self {
            connection,
            guard,
            room,
            _lock: lock,
        };
        Ok((store, stored))
    }

    /// Makes `records` and the tree after them durable.
    pub async fn append(&mut self, records: Vec<Row>, tree: &Frontier) -> Result<(), StoreError> {
        let bytes = records.iter().map(|record| record.json.len()).sum();
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        rows::insert(&mut transaction, records).await?;
        rows::set_tree(&mut transaction, tree).await?;
        self.guard.check()?;
        transaction.commit().await?;
        // Once more: files that went away during the commit have taken it with them.
        self.guard.check()?;
        self.room.wrote(&mut self.connection, bytes).await
    }

    /// Makes it durable that `tip` is to be certified next.
    pub async fn put_pending(&mut self, tip: Tip) -> Result<(), StoreError> {
        self.guard.check()?;
        rows::set_pending(&mut self.connection, tip).await?;
        Ok(self.guard.check()?)
    }

    /// Makes a checkpoint durable under its `note`; one with evidence is pending no more.
    pub async fn put_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        rows::insert_checkpoint(&mut transaction, checkpoint, note, now).await?;
        if checkpoint.evidence.is_some() {
            rows::clear_pending(&mut transaction).await?;
        }
        self.guard.check()?;
        transaction.commit().await?;
        Ok(self.guard.check()?)
    }

    /// Closes the log in order.
    pub async fn close(mut self) -> Result<(), StoreError> {
        self.guard.check()?;
        rows::set_stopped(&mut self.connection).await?;
        self.guard.check()?;
        Ok(self.connection.close().await?)
    }
}

/// The folder, its lock, and a database file that only we can read.
fn prepare(folder: &Path) -> Result<File, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::File { path, source }
    };
    if !folder.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder))?;
    }
    let private = |path: &Path| {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(failed(path))
    };
    let path = folder.join(LOCK);
    let lock = private(&path)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path }),
        Err(TryLockError::Error(source)) => return Err(StoreError::File { path, source }),
    }
    // Closed at once, before SQLite opens it: see the guard.
    drop(private(&folder.join(DATABASE))?);
    Ok(lock)
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(connection)
        .await?;
    let parts: Vec<u32> = found
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect();
    if parts.as_slice() < MIN_SQLITE.as_slice() {
        return Err(StoreError::OldSqlite { found });
    }
    Ok(())
}

async fn load(
    connection: &mut SqliteConnection,
    last_stop: LastStop,
) -> Result<Stored, StoreError> {
    let tree = rows::tree(connection).await?.edge;
    let size = tree.size();
    let records = rows::record_end(connection).await?;
    if records != size {
        return Err(StoreError::Damaged(Damage::Size {
            records,
            tree: size,
        }));
    }
    let past = rows::past(connection).await?;
    let covered = past.covered.max(past.pending.map_or(0, |tip| tip.size));
    if covered > size {
        return Err(StoreError::Damaged(Damage::TailCut { size, covered }));
    }
    let from = size.saturating_sub(TAIL);
    let tail = rows::records(connection, from, TAIL).await?;
    let mut expected = from..size;
    for row in &tail {
        let wanted = expected.next();
        if wanted != Some(row.index) || !row.is_whole() {
            let named = wanted.unwrap_or(row.index);
            return Err(StoreError::Damaged(Damage::Record(named)));
        }
    }
    if let Some(missing) = expected.next() {
        return Err(StoreError::Damaged(Damage::Record(missing)));
    }
    Ok(Stored {
        tree,
        past,
        last_stop,
    })
}

/// Makes the folder's entries durable.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StoreError::File {
            path: folder.to_owned(),
            source,
        })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether the log in `folder` has a write-ahead log beside it.
fn has_wal(folder: &Path) -> bool {
    fs::exists(with_suffix(&folder.join(DATABASE), "-wal")).unwrap_or(true)
}
