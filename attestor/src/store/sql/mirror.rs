//! Mirrored logs.
//!
//! The log's revision is its only lock: a write counts it up, and one made from an older reading fails.

use holdfast_proof::merkle::Frontier;
use holdfast_proof::note::Origin;
use holdfast_proof::tpm::{NvPublic, Public};
use holdfast_protocol::id::HostId;
use holdfast_protocol::{Sha256Digest, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::row::{bytes, millis, plain, text, time};
use super::{SqlStore, StoreError};
use crate::mirror_audit::{CosignedCheckpoint, Fork, Growth, LogId, LogKeys, MirroredLog};
use crate::registry::{Host, Revision};
use crate::store::MirrorStore;

/// A query for logs, each with its fork.
macro_rules! logs {
    ($which:literal) => {
        sqlx::query(concat!(
            "SELECT l.*, f.at, f.reason, f.detail, f.evidence FROM mirrored_log l \
             LEFT JOIN mirrored_fork f ON f.log = l.id ",
            $which
        ))
    };
}

impl MirrorStore for SqlStore {
    async fn mirrored_log(&self, host: HostId, keys: &LogKeys) -> Result<MirroredLog, StoreError> {
        let find = || {
            logs!("WHERE l.host = $1 AND l.origin = $2")
                .bind(host.to_string())
                .bind(keys.origin.as_str().to_owned())
        };
        if let Some(row) = find().fetch_optional(&self.pool).await? {
            return read(&row);
        }
        sqlx::query(
            "INSERT INTO mirrored_log (host, origin, revision, checkpoint_key, ak, audit_counter, \
             enrolled_value, size, peaks, bytes, cosigned) VALUES ($1, $2, 0, $3, $4, $5, $6, 0, $7, 0, 0) \
             ON CONFLICT DO NOTHING",
        )
        .bind(host.to_string())
        .bind(keys.origin.as_str())
        .bind(keys.checkpoint_key.as_bytes())
        .bind(keys.ak.as_bytes())
        .bind(keys.counter.encode())
        .bind(integer(keys.enrolled_value)?)
        .bind(peaks(&Frontier::empty()))
        .execute(&self.pool)
        .await?;
        match find().fetch_optional(&self.pool).await? {
            Some(row) => read(&row),
            // A log of this name is another host's.
            None => Err(StoreError::Conflict),
        }
    }

    async fn mirrored_logs(&self) -> Result<Vec<MirroredLog>, StoreError> {
        logs!("ORDER BY l.host, l.id")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    async fn counted_up_to(&self, host: &Host) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query(
            "SELECT max(last_value) AS value FROM mirrored_log WHERE host = $1 AND audit_counter = $2",
        )
        .bind(host.id.to_string())
        .bind(host.enrolled.audit_counter.encode())
        .fetch_one(&self.pool)
        .await?;
        optional(&row, "value")
    }

    async fn mirrored_records(
        &self,
        log: LogId,
        first: u64,
        count: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let end = first.saturating_add(count);
        let rows = sqlx::query(
            "SELECT first, entries FROM mirrored_bundle WHERE log = $1 AND first < $3 AND first >= \
             (SELECT max(first) FROM mirrored_bundle WHERE log = $1 AND first <= $2) ORDER BY first",
        )
        .bind(log.0)
        .bind(integer(first)?)
        .bind(integer(end)?)
        .fetch_all(&self.pool)
        .await?;
        let mut next = None;
        let mut records = Vec::new();
        for row in &rows {
            let mut index = unsigned(row, "first")?;
            if next.is_some_and(|next| next != index) {
                return Err(StoreError::Corrupt {
                    field: "mirrored_bundle.first",
                });
            }
            for entry in entries(plain(row, "entries")?)? {
                if (first..end).contains(&index) {
                    records.push(entry.to_vec());
                }
                index = index.saturating_add(1);
            }
            next = Some(index);
        }
        Ok(records)
    }

    async fn mirrored_checkpoints(
        &self,
        log: LogId,
    ) -> Result<Vec<CosignedCheckpoint>, StoreError> {
        sqlx::query(
            "SELECT size, peaks, note, counter, cosignature, at FROM mirrored_checkpoint \
             WHERE log = $1 ORDER BY id",
        )
        .bind(log.0)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|row| {
            Ok(CosignedCheckpoint {
                tree: tree(row)?,
                note: plain(row, "note")?,
                value: optional(row, "counter")?,
                cosignature: plain(row, "cosignature")?,
                at: time(row, "at")?,
            })
        })
        .collect()
    }

    async fn mirrored_cosignature(
        &self,
        log: LogId,
        size: u64,
        note: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT cosignature FROM mirrored_checkpoint WHERE log = $1 AND size = $2 AND note = $3",
        )
        .bind(log.0)
        .bind(integer(size)?)
        .bind(note)
        .fetch_optional(&self.pool)
        .await?)
    }

    async fn mirrored_tree_below(&self, log: LogId, size: u64) -> Result<Frontier, StoreError> {
        let row = sqlx::query(
            "SELECT size, peaks FROM mirrored_checkpoint WHERE log = $1 AND size <= $2 \
             ORDER BY size DESC LIMIT 1",
        )
        .bind(log.0)
        .bind(integer(size)?)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map_or(Ok(Frontier::empty()), tree)
    }

    async fn keep_mirrored(
        &self,
        log: &MirroredLog,
        growth: Option<&Growth>,
        cosigned: Option<&CosignedCheckpoint>,
        now: Timestamp,
    ) -> Result<MirroredLog, StoreError> {
        let mut kept = log.clone();
        kept.revision = Revision(log.revision.0.saturating_add(1));
        let mut tx = self.write().await?;
        if let Some(growth) = growth {
            kept.tree = growth.tree.clone();
            kept.bytes = log.bytes.saturating_add(growth.bytes());
            kept.grown_at = Some(now);
            insert_bundle(&mut tx, log.id, growth).await?;
        }
        if let Some(cosigned) = cosigned {
            kept.cosigned = cosigned.tree.size().max(log.cosigned);
            kept.last_value = cosigned.value.or(log.last_value);
            insert_checkpoint(&mut tx, log.id, cosigned).await?;
        }
        let written = sqlx::query(
            "UPDATE mirrored_log SET revision = $1, size = $2, peaks = $3, bytes = $4, \
             grown_at = $5, cosigned = $6, last_value = $7 WHERE id = $8 AND revision = $9",
        )
        .bind(kept.revision.0)
        .bind(integer(kept.tree.size())?)
        .bind(peaks(&kept.tree))
        .bind(integer(kept.bytes)?)
        .bind(kept.grown_at.map(millis))
        .bind(integer(kept.cosigned)?)
        .bind(kept.last_value.map(integer).transpose()?)
        .bind(log.id.0)
        .bind(log.revision.0)
        .execute(&mut *tx)
        .await?;
        if written.rows_affected() != 1 {
            return Err(StoreError::Conflict);
        }
        tx.commit().await?;
        Ok(kept)
    }

    async fn record_fork(&self, log: LogId, fork: &Fork) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO mirrored_fork (log, at, reason, detail, evidence) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
        )
        .bind(log.0)
        .bind(millis(fork.at))
        .bind(fork.refusal.code())
        .bind(&fork.detail)
        .bind(&fork.evidence)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

async fn insert_bundle(
    tx: &mut Transaction<'_, Any>,
    log: LogId,
    growth: &Growth,
) -> Result<(), StoreError> {
    let mut entries = Vec::new();
    for record in &growth.records {
        let length = u16::try_from(record.len()).map_err(|_| StoreError::Corrupt {
            field: "mirrored_bundle.entries",
        })?;
        entries.extend_from_slice(&length.to_be_bytes());
        entries.extend_from_slice(record);
    }
    // A bundle that another upload put there first is a conflict, as the revision would be.
    let written = sqlx::query(
        "INSERT INTO mirrored_bundle (log, first, entries) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(log.0)
    .bind(integer(growth.first)?)
    .bind(entries)
    .execute(&mut **tx)
    .await?;
    match written.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Conflict),
    }
}

async fn insert_checkpoint(
    tx: &mut Transaction<'_, Any>,
    log: LogId,
    cosigned: &CosignedCheckpoint,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO mirrored_checkpoint (log, size, peaks, note, counter, cosignature, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(log.0)
    .bind(integer(cosigned.tree.size())?)
    .bind(peaks(&cosigned.tree))
    .bind(&cosigned.note)
    .bind(cosigned.value.map(integer).transpose()?)
    .bind(&cosigned.cosignature)
    .bind(millis(cosigned.at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<MirroredLog, StoreError> {
    let origin: String = plain(row, "origin")?;
    let forked: Option<i64> = plain(row, "at")?;
    Ok(MirroredLog {
        id: LogId(plain(row, "id")?),
        host: text(row, "host")?,
        revision: Revision(plain(row, "revision")?),
        keys: LogKeys {
            origin: Origin::new(origin).map_err(|_| StoreError::Corrupt { field: "origin" })?,
            checkpoint_key: bytes(row, "checkpoint_key", Public::parse)?,
            ak: bytes(row, "ak", Public::parse)?,
            counter: bytes(row, "audit_counter", NvPublic::parse)?,
            enrolled_value: unsigned(row, "enrolled_value")?,
        },
        tree: tree(row)?,
        bytes: unsigned(row, "bytes")?,
        grown_at: optional(row, "grown_at")?.map(Timestamp::from_millis),
        cosigned: unsigned(row, "cosigned")?,
        last_value: optional(row, "last_value")?,
        fork: match forked {
            None => None,
            Some(_) => Some(Fork {
                at: time(row, "at")?,
                refusal: text(row, "reason")?,
                detail: plain(row, "detail")?,
                evidence: plain(row, "evidence")?,
            }),
        },
    })
}

fn tree(row: &AnyRow) -> Result<Frontier, StoreError> {
    let corrupt = || StoreError::Corrupt { field: "peaks" };
    let bytes: &[u8] = plain(row, "peaks")?;
    let (peaks, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(corrupt());
    }
    let peaks = peaks.iter().copied().map(Sha256Digest::new).collect();
    Frontier::restore(unsigned(row, "size")?, peaks).map_err(|_| corrupt())
}

fn peaks(tree: &Frontier) -> Vec<u8> {
    tree.peaks()
        .iter()
        .flat_map(|peak| *peak.as_bytes())
        .collect()
}

/// The entries of a bundle.
fn entries(bundle: &[u8]) -> Result<Vec<&[u8]>, StoreError> {
    let corrupt = || StoreError::Corrupt {
        field: "mirrored_bundle.entries",
    };
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or_else(corrupt)?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn unsigned(row: &AnyRow, column: &'static str) -> Result<u64, StoreError> {
    optional(row, column)?.ok_or(StoreError::Corrupt { field: column })
}

fn optional(row: &AnyRow, column: &'static str) -> Result<Option<u64>, StoreError> {
    plain::<Option<i64>>(row, column)?
        .map(u64::try_from)
        .transpose()
        .map_err(|_| StoreError::Corrupt { field: column })
}

/// The engines' integers have 63 bits and a sign.
fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}
