//! The endorsement keys that an operator lets in.

use sqlx::any::AnyRow;

use super::row::{millis, optional_text, text, time};
use super::{SqlStore, StoreError};
use crate::ek_hashes::ListedEk;
use crate::registry::EkFingerprint;
use crate::store::{EkStore, Found, Listed};

impl EkStore for SqlStore {
    async fn list_eks(&self, eks: &[ListedEk]) -> Result<Listed, StoreError> {
        let mut listed = Listed::default();
        let mut tx = self.write().await?;
        for one in eks {
            let before = sqlx::query(
                "SELECT fingerprint, host_name, listed_at FROM listed_ek WHERE fingerprint = $1",
            )
            .bind(one.ek.to_string())
            .fetch_optional(&mut *tx)
            .await?;
            match before.as_ref().map(read).transpose()? {
                None => listed.added += 1,
                Some(before) if before.host_name == one.host_name => {
                    listed.unchanged += 1;
                    continue;
                }
                Some(_) => listed.renamed += 1,
            }
            sqlx::query(
                "INSERT INTO listed_ek (fingerprint, host_name, listed_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (fingerprint) DO UPDATE SET host_name = $2, listed_at = $3",
            )
            .bind(one.ek.to_string())
            .bind(one.host_name.as_ref().map(ToString::to_string))
            .bind(millis(one.listed_at))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(listed)
    }

    async fn listed_ek(&self, ek: EkFingerprint) -> Result<Option<ListedEk>, StoreError> {
        sqlx::query(
            "SELECT fingerprint, host_name, listed_at FROM listed_ek WHERE fingerprint = $1",
        )
        .bind(ek.to_string())
        .fetch_optional(&self.pool)
        .await?
        .as_ref()
        .map(read)
        .transpose()
    }

    async fn listed_eks(&self) -> Result<Vec<ListedEk>, StoreError> {
        sqlx::query("SELECT fingerprint, host_name, listed_at FROM listed_ek ORDER BY fingerprint")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    async fn unlist_ek(&self, ek: EkFingerprint) -> Result<Found, StoreError> {
        let gone = sqlx::query("DELETE FROM listed_ek WHERE fingerprint = $1")
            .bind(ek.to_string())
            .execute(&self.pool)
            .await?;
        Ok(match gone.rows_affected() {
            0 => Found::Unknown,
            _ => Found::Changed,
        })
    }
}

fn read(row: &AnyRow) -> Result<ListedEk, StoreError> {
    Ok(ListedEk {
        ek: text(row, "fingerprint")?,
        host_name: optional_text(row, "host_name")?,
        listed_at: time(row, "listed_at")?,
    })
}
