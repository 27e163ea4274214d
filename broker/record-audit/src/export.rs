//! Handing the log to others: C2SP tlog-tiles for verifiers, OCSF lines for a SIEM.
//!
//! An export holds the exact bytes of the log and a bounded part of it in memory. The files of a SIEM are never the evidence;
//! the tiles are, together with the checkpoint that closes them.

mod tiles;

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::store::{Reader, StoreError};
use tiles::Tiles;

/// How many records are held in memory at a time; also the width of a tile.
const PAGE: u64 = 256;

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many records, from index 0 on.
    pub records: u64,
    /// How many more the log has, which no checkpoint covers yet.
    pub left_out: u64,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The environment: the log cannot be read.
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    /// The environment: the export cannot be written.
    #[error("`{path}` cannot be written")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The environment: the export's stream cannot be written.
    #[error("the records cannot be written")]
    Stream(#[source] io::Error),
    /// The caller: the folder is not empty.
    #[error("`{0}` is not empty")]
    NotEmpty(PathBuf),
    /// The caller: no checkpoint covers anything yet.
    #[error("the log has no checkpoint yet; make one first")]
    NoCheckpoint,
    /// The environment: the log is damaged.
    #[error("record {0} is missing or was changed after it was written; verify the log")]
    Damaged(u64),
    /// The environment: the log is damaged.
    #[error("the records do not give the root of the newest checkpoint; verify the log")]
    OtherRoot,
}

/// Writes the records that the newest checkpoint covers to `folder`, which must be empty or absent, as C2SP tlog-tiles: hash
/// tiles, entry bundles and, last of all, `checkpoint`.
pub async fn tiles(reader: &mut Reader, folder: &Path) -> Result<Exported, ExportError> {
    reader.freeze().await?;
    let exported = frozen_tiles(reader, folder).await;
    reader.thaw().await?;
    exported
}

/// Writes `count` records from index `from` on as lines of OCSF JSON; returns how many there were.
pub async fn ocsf_lines(
    reader: &mut Reader,
    from: u64,
    count: u64,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<u64, ExportError> {
    let mut next = from;
    let end = from.saturating_add(count);
    while next < end {
        let page = reader.records(next, PAGE.min(end - next)).await?;
        if page.is_empty() {
            break;
        }
        let mut lines = Vec::new();
        for row in &page {
            if row.index != next || !row.is_whole() {
                return Err(ExportError::Damaged(next));
            }
            lines.extend_from_slice(&row.json);
            // Canonical JSON has no line feed of its own.
            lines.push(b'\n');
            next += 1;
        }
        to.write_all(&lines).await.map_err(ExportError::Stream)?;
    }
    to.flush().await.map_err(ExportError::Stream)?;
    Ok(next - from)
}

async fn frozen_tiles(reader: &mut Reader, folder: &Path) -> Result<Exported, ExportError> {
    let checkpoint = reader
        .last_checkpoint()
        .await?
        .ok_or(ExportError::NoCheckpoint)?;
    let size = checkpoint.tip.size;
    let mut tiles = Tiles::create(folder)?;
    let mut next = 0;
    while next < size {
        let page = reader.records(next, PAGE.min(size - next)).await?;
        if page.is_empty() {
            return Err(ExportError::Damaged(next));
        }
        for row in page {
            match row.leaf {
                Some(leaf) if row.index == next && row.is_whole() => {
                    tiles.push(leaf, &row.json)?;
                }
                Some(_) | None => return Err(ExportError::Damaged(next)),
            }
            next += 1;
        }
    }
    let root = tiles.finish()?;
    if root != checkpoint.tip.root {
        return Err(ExportError::OtherRoot);
    }
    tiles::write(&folder.join("checkpoint"), checkpoint.note.as_bytes())?;
    let end = reader.record_end().await?;
    Ok(Exported {
        records: size,
        left_out: end.saturating_sub(size),
    })
}
