//! How a server hears of orders that another process or replica gave.
//!
//! The engines differ here too. PostgreSQL tells whoever listens, when the order's transaction commits and in the order of
//! the commits: no query while nothing happens, and no number that a later transaction could show before an earlier one.
//! SQLite tells nobody that another process wrote, but says for the price of a look whether one did (`PRAGMA data_version`).
//! It must never stay silent about news that it missed.

use std::convert::Infallible;
use std::time::Duration;

use holdfast_protocol::id::HostId;
use sqlx::postgres::PgListener;
use sqlx::{Any, AnyConnection, ConnectOptions, Transaction};

use super::home::Engine;
use super::row::{plain, text};
use super::{SqlStore, StoreError};
use crate::store::Ordered;

/// How often it is looked whether somebody wrote to SQLite: a twentieth of the second in which a revocation has to arrive.
const LOOK: Duration = Duration::from_millis(50);

/// How many orders are read at a time.
const PAGE: i64 = 256;

/// How many orders SQLite keeps: far more than are given between two looks. Who missed more is told that all may have
/// changed.
pub(super) const KEPT: i64 = 4096;

/// Where PostgreSQL's replicas tell each other whose orders changed.
const CHANNEL: &str = "holdfast_order";

/// How long PostgreSQL may say nothing before it is asked whether it is there, and how long it may take to answer. A
/// connection that died unseen would be as quiet as peace.
const QUIET: Duration = Duration::from_secs(5);

/// Leaves the news of an order in its transaction.
pub(super) async fn leave(
    tx: &mut Transaction<'_, Any>,
    engine: Engine,
    host: HostId,
) -> Result<(), StoreError> {
    match engine {
        Engine::Sqlite => {
            sqlx::query("INSERT INTO host_order (host) VALUES ($1)")
                .bind(host.to_string())
                .execute(&mut **tx)
                .await?;
            sqlx::query(
                "DELETE FROM host_order WHERE seq <= (SELECT max(seq) FROM host_order) - $1",
            )
            .bind(KEPT)
            .execute(&mut **tx)
            .await?;
        }
        Engine::Postgres => {
            // As a table, because the function's own type, void, is none that both engines have.
            sqlx::query("SELECT 1 FROM pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(host.to_string())
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

/// Tells of orders as they come, until something fails; first of all that everything may have changed.
pub(super) async fn follow(
    store: &SqlStore,
    told: impl Fn(Ordered) + Send + Sync,
) -> Result<Infallible, StoreError> {
    match store.engine {
        Engine::Sqlite => look(store, told).await,
        Engine::Postgres => listen(store, told).await,
    }
}

async fn look(
    store: &SqlStore,
    told: impl Fn(Ordered) + Send + Sync,
) -> Result<Infallible, StoreError> {
    // A connection of its own: the version that it is told counts what all others write.
    let mut connection = store.pool.connect_options().connect().await?;
    let mut version = data_version(&mut connection).await?;
    let mut seen: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM host_order")
        .fetch_one(&mut connection)
        .await?;
    told(Ordered::Any);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = data_version(&mut connection).await?;
        if now != version {
            version = now;
            seen = catch_up(&mut connection, seen, &told).await?;
        }
    }
}

async fn data_version(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(connection)
        .await?)
}

/// Tells of all orders after `seen`, and gives the last of them.
async fn catch_up(
    connection: &mut AnyConnection,
    mut seen: i64,
    told: impl Fn(Ordered),
) -> Result<i64, StoreError> {
    loop {
        let rows =
            sqlx::query("SELECT seq, host FROM host_order WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(seen)
                .bind(PAGE)
                .fetch_all(&mut *connection)
                .await?;
        for row in &rows {
            let next = plain(row, "seq")?;
            // Numbers have no gaps but where orders were dropped before they were read.
            if next != seen + 1 {
                told(Ordered::Any);
            }
            seen = next;
            told(Ordered::Host(text(row, "host")?));
        }
        if rows.is_empty() {
            return Ok(seen);
        }
    }
}

async fn listen(
    store: &SqlStore,
    told: impl Fn(Ordered) + Send + Sync,
) -> Result<Infallible, StoreError> {
    let options = store.pool.connect_options();
    let mut listener = PgListener::connect(options.database_url.as_str()).await?;
    listener.listen(CHANNEL).await?;
    told(Ordered::Any);
    loop {
        match tokio::time::timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(news))) => match news.payload().parse() {
                Ok(host) => told(Ordered::Host(host)),
                // Whoever may write to the database may say anything here.
                Err(_) => told(Ordered::Any),
            },
            // The connection was lost and made anew; what was said meanwhile is not known.
            Ok(Ok(None)) => told(Ordered::Any),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let asked = sqlx::query("SELECT 1").execute(&mut listener);
                tokio::time::timeout(QUIET, asked)
                    .await
                    .map_err(|_| StoreError::Quiet)??;
            }
        }
    }
}
