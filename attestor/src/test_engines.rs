//! Tests that hold both database engines to the same promises: SQLite in the test's folder, and a PostgreSQL of its own
//! (`packaging/lib/postgres.sh`) for as long as the test runs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};

use crate::store::sql::Home;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/lib/postgres.sh");

/// Names the promises of a module, functions of an [`Engine`]: each becomes a test on SQLite, and one test holds PostgreSQL
/// to all of them, because a server takes a second to make.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod in_sqlite {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(crate::test_engines::Engine::Sqlite).await;
            })+
        }

        #[tokio::test]
        async fn every_promise_holds_in_postgresql() {
            let server = crate::test_engines::PrivatePostgres::start();
            $($promise(crate::test_engines::Engine::Postgres(&server)).await;)+
        }
    };
}

pub(crate) use promises;

/// Where a test keeps its registry.
#[derive(Clone, Copy)]
pub(crate) enum Engine<'a> {
    /// In its folder.
    Sqlite,
    /// In a fresh database of this server.
    Postgres(&'a PrivatePostgres),
}

impl Engine<'_> {
    /// A home that nobody has used.
    pub(crate) async fn home(self, folder: &Path) -> Home {
        match self {
            Self::Sqlite => Home::Sqlite(folder.join("registry.sqlite")),
            Self::Postgres(server) => Home::Postgres(server.database().await.parse().unwrap()),
        }
    }
}

/// The server; it goes with its database files when this is dropped.
pub(crate) struct PrivatePostgres {
    script: Child,
    url: String,
    databases: AtomicU32,
}

impl PrivatePostgres {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let mut script = Command::new(SCRIPT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(script.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        assert!(url.starts_with("postgres://"), "PostgreSQL did not start");
        Self {
            script,
            url,
            databases: AtomicU32::new(0),
        }
    }

    /// The URL of a fresh database.
    pub(crate) async fn database(&self) -> String {
        let name = format!(
            "registry_{}",
            self.databases.fetch_add(1, Ordering::Relaxed)
        );
        let mut admin = PgConnection::connect(self.url.trim()).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        self.url.trim().replace("/postgres?", &format!("/{name}?"))
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // The script ends when nobody can speak to it any more.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
