//! Room of the log's own: blocks of the disk that it has before it needs them.
//!
//! Whoever else writes to that disk may fill it in one moment. What is recorded then goes to blocks that nobody else can
//! take: free pages within the database, and the write-ahead log's length, allocated ahead. Without room to spare it takes
//! none; a log that cannot have it is as good as one that never did, so it must never fail a log by itself.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use sqlx::query;
use sqlx::sqlite::SqliteConnection;

use super::StoreError;

/// Free pages, of 4 KiB, that the database is given at a time: some five thousand records.
const PAGES: i64 = 2048;
/// With fewer it is given more.
const LOW: i64 = PAGES / 2;
/// How many bytes of records are written between two looks; far less than `LOW` pages hold.
const LOOK: usize = 1 << 20;
/// What the write-ahead log has: all frames of its first index, before which it is copied and begun anew.
const WAL: u64 = 4062 * (24 + 4096) + 32;
/// The disk has to have so many times the room before any is taken.
const SHARE: u64 = 16;

/// The room, and what was written since it was looked at.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    written: usize,
}

impl Room {
    /// Takes room for the log in `folder`, whose write-ahead log is at `wal`.
    pub(super) async fn take(
        connection: &mut SqliteConnection,
        folder: &Path,
        wal: &Path,
    ) -> Result<Self, StoreError> {
        let room = Self {
            folder: folder.to_owned(),
            written: 0,
        };
        room.fill(connection).await?;
        if room.has_to_spare(WAL) {
            // SQLite keeps its locks on the two other files: this one may be opened and closed.
            let file = OpenOptions::new().write(true).open(wal);
            let taken =
                file.and_then(|file| Ok(fallocate(&file, FallocateFlags::KEEP_SIZE, 0, WAL)?));
            if let Err(error) = taken {
                tracing::warn!(%error, "the audit log's disk gives no blocks ahead");
            }
        }
        Ok(room)
    }

    /// Records of so many bytes were written.
    pub(super) async fn wrote(
        &mut self,
        connection: &mut SqliteConnection,
        bytes: usize,
    ) -> Result<(), StoreError> {
        self.written = self.written.saturating_add(bytes);
        if self.written < LOOK {
            return Ok(());
        }
        self.written = 0;
        self.fill(connection).await
    }

    async fn fill(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count")
            .fetch_one(&mut *connection)
            .await?;
        let size = PAGES * 4096;
        if free >= LOW || !self.has_to_spare(size.unsigned_abs()) {
            return Ok(());
        }
        // Pages that never held anything would be holes in the file, without a block of the disk.
        let filled = async {
            // What a crash left between the two steps that follow.
            query("DELETE FROM room").execute(&mut *connection).await?;
            query("INSERT INTO room (one, bytes) VALUES (1, zeroblob(?))")
                .bind(size)
                .execute(&mut *connection)
                .await?;
            query("DELETE FROM room").execute(&mut *connection).await?;
            query("PRAGMA wal_checkpoint(PASSIVE)")
                .execute(&mut *connection)
                .await
        };
        match filled.await {
            Ok(_) => Ok(()),
            // Somebody was faster. Nothing of it was committed, and no fsync failed.
            Err(error) if is_full(&error) => {
                tracing::warn!("the audit log's disk is full: it has no further room of its own");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn has_to_spare(&self, size: u64) -> bool {
        statvfs(&self.folder).is_ok_and(|disk| {
            disk.f_bavail.saturating_mul(disk.f_frsize) >= size.saturating_mul(SHARE)
        })
    }
}

/// `SQLITE_FULL`: a write found no room.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "13")
}
