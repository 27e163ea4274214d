//! What the engines promise before any row is kept.

use super::Fixture;
use crate::store::StoreError;
use crate::store::sql::home::is_recent;
use crate::store::sql::{Home, PostgresUrl, SqlStore};
use crate::test_engines::{Engine, PrivatePostgres};

#[tokio::test]
async fn sqlite_is_as_durable_as_we_say() {
    let Fixture { store, .. } = &Fixture::new(Engine::Sqlite).await;
    for (pragma, expected) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
    ] {
        let statement = match pragma {
            "journal_mode" => "SELECT journal_mode FROM pragma_journal_mode",
            "synchronous" => "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous",
            _ => "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys",
        };
        let value: String = sqlx::query_scalar(statement)
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
}

#[tokio::test]
async fn postgresql_is_as_durable_as_we_say_or_refused() {
    let server = PrivatePostgres::start();
    let Fixture { store, home, .. } = Fixture::new(Engine::Postgres(&server)).await;
    sqlx::query("ALTER ROLE holdfast SET synchronous_commit TO off")
        .execute(&store.pool)
        .await
        .unwrap();
    store.close().await;

    let store = SqlStore::open(&home).await.unwrap();
    let set_to: String = sqlx::query_scalar("SELECT current_setting('synchronous_commit')")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(set_to, "on");

    for lossy in [
        "ALTER SYSTEM SET fsync TO off",
        "SELECT CAST(pg_reload_conf() AS TEXT)",
    ] {
        sqlx::query(lossy).execute(&store.pool).await.unwrap();
    }
    // The server takes the new setting when it gets round to it.
    loop {
        match SqlStore::open(&home).await {
            Err(StoreError::Unusable { why }) => {
                assert!(why.contains("fsync"), "{why}");
                break;
            }
            Ok(opened) => opened.close().await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_url_of_a_database_never_shows_its_password() {
    let url: PostgresUrl = "postgres://holdfast:hunter2@db.example.org/registry"
        .parse()
        .unwrap();
    let shown = format!("{:?}", Home::Postgres(url));
    assert_eq!(shown, "Postgres(PostgresUrl(db.example.org/registry))");
    for other in [
        "",
        "registry.sqlite",
        "mysql://localhost/registry",
        "postgres",
    ] {
        assert!(other.parse::<PostgresUrl>().is_err(), "{other}");
    }
}

#[test]
fn old_engines_are_refused() {
    for (version, recent) in [
        ("3.51.3", true),
        ("3.51.10", true),
        ("3.52.0", true),
        ("4.0", true),
        ("3.51.2", false),
        ("3.9.99", false),
        ("", false),
    ] {
        assert_eq!(is_recent(version), recent, "{version}");
    }
}
