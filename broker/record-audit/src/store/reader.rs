//! Reading the log beside its writer, or from a folder that nobody has open.
//!
//! A reader never writes and never migrates. Between [`Reader::freeze`] and [`Reader::thaw`] everything it reads is one state
//! of the log, whatever the writer does meanwhile.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, query};

pub use super::rows::{CheckpointRow, RecordRow, Tree};
use super::{DATABASE, StoreError, has_wal, rows};

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader {
    connection: SqliteConnection,
}

impl Reader {
    /// Opens the log in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        let connection = SqliteConnectOptions::new()
            .filename(folder.join(DATABASE))
            .read_only(true)
            // SQLite wants to make a WAL where there is none, which a folder that we cannot write forbids. Without a WAL
            // nobody has the log open.
            .immutable(!has_wal(folder))
            .busy_timeout(Duration::from_secs(10))
            .row_buffer_size(512)
            .disable_statement_logging()
            .connect()
            .await?;
        Ok(Self { connection })
    }

    /// From here on, one state of the log.
    pub async fn freeze(&mut self) -> Result<(), StoreError> {
        query("BEGIN").execute(&mut self.connection).await?;
        // The state is taken by the first read, not by BEGIN.
        rows::record_end(&mut self.connection).await?;
        Ok(())
    }

    /// From here on, the log as it grows.
    pub async fn thaw(&mut self) -> Result<(), StoreError> {
        query("ROLLBACK").execute(&mut self.connection).await?;
        Ok(())
    }

    /// The stored tree.
    pub async fn tree(&mut self) -> Result<Tree, StoreError> {
        rows::tree(&mut self.connection).await
    }

    /// One more than the last index.
    pub async fn record_end(&mut self) -> Result<u64, StoreError> {
        rows::record_end(&mut self.connection).await
    }

    /// At most `count` records from index `from` on, in order.
    pub async fn records(&mut self, from: u64, count: u64) -> Result<Vec<RecordRow>, StoreError> {
        rows::records(&mut self.connection, from, count).await
    }

    /// At most `count` checkpoints after number `seq` (0 for the first), in the order in which they were made.
    pub async fn checkpoints(
        &mut self,
        seq: i64,
        count: u64,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        rows::checkpoints(&mut self.connection, seq, count).await
    }

    /// The newest checkpoint.
    pub async fn last_checkpoint(&mut self) -> Result<Option<CheckpointRow>, StoreError> {
        rows::last_checkpoint(&mut self.connection).await
    }

    /// Closes the connection.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}
