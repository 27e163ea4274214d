//! Where a registry lives, and how its database is opened: as durable as the store promises, or not at all.
//!
//! The two engines differ here and in [`super::news`], and nowhere else. It must never open a database whose acknowledged commits could be lost.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool};
use url::Url;

use super::StoreError;

/// The oldest SQLite that we run on: it has the fix of the write-ahead log's reset bug.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// The oldest PostgreSQL that we run on, as it numbers itself: 13 is the oldest that its makers still mended in 2025.
const OLDEST_POSTGRES: i64 = 130_000;

/// SQLite has one writer; the others are readers that must not wait for it.
const SQLITE_CONNECTIONS: u32 = 4;

/// Enough for a herd's short transactions; with ten replicas, each of which listens on one more, still below PostgreSQL's
/// default of 100.
const POSTGRES_CONNECTIONS: u32 = 8;

/// What every connection to SQLite is set to. The timeout comes first: the others may have to wait for a writer.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";

/// Where a registry lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// A file beside the attestor.
    Sqlite(PathBuf),
    /// A PostgreSQL server, which several attestors share.
    Postgres(PostgresUrl),
}

/// Names a PostgreSQL database and who opens it: `postgres://USER:PASSWORD@HOST/DATABASE`, as libpq has it. It holds a
/// password, so that it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Url);

/// The text is not the URL of a PostgreSQL database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the url of a database: `postgres://USER:PASSWORD@HOST/DATABASE`")]
pub struct InvalidPostgresUrl;

impl FromStr for PostgresUrl {
    type Err = InvalidPostgresUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPostgresUrl> {
        let url = Url::parse(text).map_err(|_| InvalidPostgresUrl)?;
        let known = matches!(url.scheme(), "postgres" | "postgresql");
        if known {
            Ok(Self(url))
        } else {
            Err(InvalidPostgresUrl)
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or("a socket");
        write!(f, "PostgresUrl({host}{})", self.0.path())
    }
}

/// The engine behind an open registry, for the few statements that are not the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// Begins what writes. SQLite's write lock is taken at once, so that what is read stays true; PostgreSQL locks rows,
    /// and whatever may happen once is one conditional statement there.
    pub(super) const fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Begins what reads several tables as of one moment.
    pub(super) const fn begin_read(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

impl Home {
    /// Opens the database and brings its layout up to date; a file that is not there is made.
    pub(super) async fn open(&self) -> Result<(AnyPool, Engine), StoreError> {
        sqlx::any::install_default_drivers();
        match self {
            Self::Sqlite(file) => Ok((sqlite(file).await?, Engine::Sqlite)),
            Self::Postgres(url) => Ok((postgres(url).await?, Engine::Postgres)),
        }
    }
}

async fn sqlite(file: &Path) -> Result<AnyPool, StoreError> {
    let pool = AnyPoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS)
        .after_connect(|connection, _| {
            Box::pin(async move { set(connection, SQLITE_SETTINGS).await })
        })
        .connect_with(sqlite_url(file)?)
        .await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&pool)
        .await?;
    if !is_recent(&version) {
        return Err(StoreError::TooOld {
            engine: "sqlite",
            found: version,
            oldest: "3.51.3, whose write-ahead log we rely on",
        });
    }
    sqlx::migrate!("migrations/sqlite").run(&pool).await?;
    Ok(pool)
}

/// The driver wants a URL. Its own parameters stand behind `?`, and it takes percent signs for escapes.
fn sqlite_url(file: &Path) -> Result<AnyConnectOptions, StoreError> {
    let unusable = || StoreError::Unusable {
        why: "the path of its file is not absolute text",
    };
    let path = file
        .to_str()
        .filter(|_| file.is_absolute())
        .ok_or_else(unusable)?;
    let mut url = Url::parse("sqlite:///").map_err(|_| unusable())?;
    url.set_path(&path.replace('%', "%25"));
    url.set_query(Some("mode=rwc"));
    options(&url)
}

async fn postgres(url: &PostgresUrl) -> Result<AnyPool, StoreError> {
    let pool = AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .after_connect(|connection, _| Box::pin(async move { wait_for_commits(connection).await }))
        .connect_with(options(&url.0)?)
        .await?;
    let version: String = setting(&pool, "server_version_num").await?;
    if version
        .parse::<i64>()
        .is_ok_and(|version| version < OLDEST_POSTGRES)
    {
        return Err(StoreError::TooOld {
            engine: "postgresql",
            found: version,
            oldest: "13",
        });
    }
    for durable in ["fsync", "full_page_writes"] {
        let value = setting(&pool, durable).await?;
        if value != "on" {
            return Err(StoreError::Unusable {
                why: "the server runs with `fsync` or `full_page_writes` off, and so loses commits in a crash",
            });
        }
    }
    sqlx::migrate!("migrations/postgres").run(&pool).await?;
    Ok(pool)
}

async fn setting(pool: &AnyPool, name: &str) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(pool)
        .await?)
}

/// A server may be told to answer before a commit is on its disk; not to us. Stricter settings stay.
async fn wait_for_commits(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let set_to: String = sqlx::query_scalar("SELECT current_setting('synchronous_commit')")
        .fetch_one(&mut *connection)
        .await?;
    match set_to.as_str() {
        "off" => set(connection, "SET synchronous_commit TO on").await,
        _ => Ok(()),
    }
}

async fn set(connection: &mut AnyConnection, statements: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(statements).execute(connection).await?;
    Ok(())
}

fn options(url: &Url) -> Result<AnyConnectOptions, StoreError> {
    Ok(sqlx::ConnectOptions::from_url(url)?)
}

pub(super) fn is_recent(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next(), next()) >= OLDEST_SQLITE
}
