//! The statements: every read and write of the log's tables.
//!
//! What is read may have been written by anyone: it becomes a type here or is refused as damaged.

use std::fmt::Write as _;
use std::sync::LazyLock;

use holdfast_proof::merkle::{Frontier, leaf_hash};
use holdfast_proof::note::Origin;
use holdfast_protocol::{Sha256Digest, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, query};

use super::{Damage, LastStop, StoreError};
use crate::state::{Checkpoint, Past, Row, Tip};

/// Increments older than these do not matter to any budget.
const INCREMENTS: i64 = 1024;

/// Rows of one `INSERT`, widest first. Batches are cut into these, so that few statements are ever prepared.
static INSERTS: LazyLock<[(usize, String); 5]> = LazyLock::new(|| {
    [256, 64, 16, 4, 1].map(|rows| {
        let mut sql = String::from("INSERT INTO record (idx, leaf, json) VALUES (?, ?, ?)");
        for _ in 1..rows {
            let _ = write!(sql, ", (?, ?, ?)");
        }
        (rows, sql)
    })
});

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// Its index.
    pub index: u64,
    /// The stored leaf hash; `None` if what is stored is no hash.
    pub leaf: Option<Sha256Digest>,
    /// Its bytes.
    pub json: Vec<u8>,
}

impl RecordRow {
    /// Whether the bytes are those that were hashed when the record was written.
    pub fn is_whole(&self) -> bool {
        self.leaf == Some(leaf_hash(&self.json))
    }
}

/// The tree as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The log's name.
    pub origin: String,
    /// The right edge.
    pub edge: Frontier,
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Its number among the checkpoints, from 1.
    pub seq: i64,
    /// What the row says that it covers.
    pub tip: Tip,
    /// The signed note.
    pub note: String,
    /// What the row says that the counter's certified value is.
    pub counter: Option<u64>,
}

/// Makes the log's one row if it is missing, marks the log as running, and tells how it was left.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    origin: &Origin,
) -> Result<LastStop, StoreError> {
    let row = query("SELECT origin, stopped FROM log")
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        query("INSERT INTO log (one, origin, size, peaks, stopped) VALUES (1, ?, 0, x'', 0)")
            .bind(origin.as_str())
            .execute(connection)
            .await?;
        return Ok(LastStop::New);
    };
    let found: String = row.try_get("origin")?;
    if found != origin.as_str() {
        return Err(StoreError::OtherOrigin { found });
    }
    let last_stop = match row.try_get::<i64, _>("stopped")? {
        0 => LastStop::Unclean,
        _ => LastStop::Orderly,
    };
    query("UPDATE log SET stopped = 0")
        .execute(connection)
        .await?;
    Ok(last_stop)
}

pub(super) async fn set_stopped(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    query("UPDATE log SET stopped = 1")
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    records: Vec<Row>,
) -> Result<(), StoreError> {
    let mut left = records.len();
    let mut records = records.into_iter();
    for (rows, sql) in INSERTS.iter() {
        while left >= *rows {
            let mut statement = query(sql.as_str());
            for record in records.by_ref().take(*rows) {
                statement = statement
                    .bind(integer(record.index)?)
                    .bind(record.leaf.as_bytes().to_vec())
                    .bind(record.json);
            }
            statement.execute(&mut *connection).await?;
            left -= rows;
        }
    }
    Ok(())
}

pub(super) async fn set_tree(
    connection: &mut SqliteConnection,
    tree: &Frontier,
) -> Result<(), StoreError> {
    let peaks: Vec<u8> = tree
        .peaks()
        .iter()
        .flat_map(|peak| *peak.as_bytes())
        .collect();
    query("UPDATE log SET size = ?, peaks = ?")
        .bind(integer(tree.size())?)
        .bind(peaks)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn set_pending(
    connection: &mut SqliteConnection,
    tip: Tip,
) -> Result<(), StoreError> {
    query("INSERT INTO pending (one, size, root) VALUES (1, ?, ?)")
        .bind(integer(tip.size)?)
        .bind(tip.root.as_bytes().to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn clear_pending(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    query("DELETE FROM pending").execute(connection).await?;
    Ok(())
}

pub(super) async fn insert_checkpoint(
    connection: &mut SqliteConnection,
    checkpoint: &Checkpoint,
    note: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let counter = checkpoint.evidence.as_ref().map(|evidence| evidence.value);
    query("INSERT INTO checkpoint (size, root, note, at, counter) VALUES (?, ?, ?, ?, ?)")
        .bind(integer(checkpoint.tip.size)?)
        .bind(checkpoint.tip.root.as_bytes().to_vec())
        .bind(note.to_owned())
        .bind(integer(now.as_millis())?)
        .bind(counter.map(integer).transpose()?)
        .execute(connection)
        .await?;
    Ok(())
}

/// The stored tree.
pub(super) async fn tree(connection: &mut SqliteConnection) -> Result<Tree, StoreError> {
    let damaged = || StoreError::Damaged(Damage::Tree);
    let row = query("SELECT origin, size, peaks FROM log")
        .fetch_optional(connection)
        .await?
        .ok_or_else(damaged)?;
    let size = unsigned(&row, "size").ok_or_else(damaged)?;
    let peaks: Vec<u8> = row.try_get("peaks")?;
    let (peaks, rest) = peaks.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damaged());
    }
    let peaks = peaks.iter().copied().map(Sha256Digest::new).collect();
    Ok(Tree {
        origin: row.try_get("origin")?,
        edge: Frontier::restore(size, peaks).map_err(|_| damaged())?,
    })
}

/// One more than the last index.
pub(super) async fn record_end(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(idx) FROM record")
        .fetch_one(connection)
        .await?;
    let end = last.map_or(Some(0), |last| {
        u64::try_from(last).ok().map(|last| last + 1)
    });
    end.ok_or(StoreError::Damaged(Damage::Row { table: "record" }))
}

/// At most `count` records from index `from` on.
pub(super) async fn records(
    connection: &mut SqliteConnection,
    from: u64,
    count: u64,
) -> Result<Vec<RecordRow>, StoreError> {
    let damaged = || StoreError::Damaged(Damage::Row { table: "record" });
    query("SELECT idx, leaf, json FROM record WHERE idx >= ? ORDER BY idx LIMIT ?")
        .bind(integer(from)?)
        .bind(integer(count)?)
        .fetch_all(connection)
        .await?
        .into_iter()
        .map(|row| {
            Ok(RecordRow {
                index: unsigned(&row, "idx").ok_or_else(damaged)?,
                leaf: digest(&row, "leaf"),
                json: row.try_get("json")?,
            })
        })
        .collect()
}

/// At most `count` checkpoints after number `seq`, in the order in which they were made.
pub(super) async fn checkpoints(
    connection: &mut SqliteConnection,
    seq: i64,
    count: u64,
) -> Result<Vec<CheckpointRow>, StoreError> {
    query(
        "SELECT seq, size, root, note, counter FROM checkpoint WHERE seq > ? ORDER BY seq LIMIT ?",
    )
    .bind(seq)
    .bind(integer(count)?)
    .fetch_all(connection)
    .await?
    .iter()
    .map(checkpoint)
    .collect()
}

/// The newest checkpoint.
pub(super) async fn last_checkpoint(
    connection: &mut SqliteConnection,
) -> Result<Option<CheckpointRow>, StoreError> {
    query("SELECT seq, size, root, note, counter FROM checkpoint ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(checkpoint)
        .transpose()
}

/// What the checkpoints say of the past.
pub(super) async fn past(connection: &mut SqliteConnection) -> Result<Past, StoreError> {
    let damaged = |table| StoreError::Damaged(Damage::Row { table });
    let last = query(
        "SELECT COALESCE(MAX(size), 0) AS covered, \
         COALESCE(MAX(size) FILTER (WHERE counter IS NOT NULL), 0) AS frozen, \
         COALESCE(MAX(counter), -1) AS value FROM checkpoint",
    )
    .fetch_one(&mut *connection)
    .await?;
    let pending = query("SELECT size, root FROM pending")
        .fetch_optional(&mut *connection)
        .await?
        .map(|row| {
            Ok::<_, StoreError>(Tip {
                size: unsigned(&row, "size").ok_or_else(|| damaged("pending"))?,
                root: digest(&row, "root").ok_or_else(|| damaged("pending"))?,
            })
        })
        .transpose()?;
    let increments: Vec<i64> = sqlx::query_scalar(
        "SELECT at FROM checkpoint WHERE counter IS NOT NULL ORDER BY seq DESC LIMIT ?",
    )
    .bind(INCREMENTS)
    .fetch_all(connection)
    .await?;
    let increments = increments
        .into_iter()
        .map(|at| u64::try_from(at).map(Timestamp::from_millis))
        .collect::<Result<_, _>>()
        .map_err(|_| damaged("checkpoint"))?;
    Ok(Past {
        covered: unsigned(&last, "covered").ok_or_else(|| damaged("checkpoint"))?,
        frozen: unsigned(&last, "frozen").ok_or_else(|| damaged("checkpoint"))?,
        last_value: unsigned(&last, "value"),
        pending,
        increments,
    })
}

fn checkpoint(row: &SqliteRow) -> Result<CheckpointRow, StoreError> {
    let damaged = || {
        StoreError::Damaged(Damage::Row {
            table: "checkpoint",
        })
    };
    let counter = match row.try_get::<Option<i64>, _>("counter")? {
        None => None,
        Some(value) => Some(u64::try_from(value).map_err(|_| damaged())?),
    };
    Ok(CheckpointRow {
        seq: row.try_get("seq")?,
        tip: Tip {
            size: unsigned(row, "size").ok_or_else(damaged)?,
            root: digest(row, "root").ok_or_else(damaged)?,
        },
        note: row.try_get("note")?,
        counter,
    })
}

fn unsigned(row: &SqliteRow, column: &str) -> Option<u64> {
    row.try_get::<i64, _>(column)
        .ok()
        .and_then(|value| u64::try_from(value).ok())
}

fn digest(row: &SqliteRow, column: &str) -> Option<Sha256Digest> {
    row.try_get::<&[u8], _>(column)
        .ok()
        .and_then(|bytes| Sha256Digest::try_from(bytes).ok())
}

/// SQLite's integers have 63 bits and a sign.
fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|error| StoreError::Sqlite(sqlx::Error::Encode(error.into())))
}
