//! The two schemas are one: same tables, columns, types, indexes.

use std::collections::BTreeSet;

use hafleet_tests::postgres::Postgres;
use sqlx::{PgPool, SqlitePool};
use std::sync::Arc;

use super::fixture::{Engine, Fixture};

/// Table, column, type in common words, may be NULL.
type Column = (String, String, &'static str, bool);

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_tables_and_columns() {
    let sqlite = Fixture::new(Engine::Sqlite, None, "schema").await;
    let server = Arc::new(Postgres::start().unwrap());
    let postgres = Fixture::new(Engine::Postgres, Some(server), "schema").await;
    let sqlite = SqlitePool::connect(&sqlite.url).await.unwrap();
    let postgres = PgPool::connect(&postgres.url).await.unwrap();

    let (of_sqlite, of_postgres) = (sqlite_columns(&sqlite).await, postgres_columns(&postgres).await);
    assert!(of_sqlite.len() > 60, "only {of_sqlite:?}");
    assert_eq!(of_sqlite, of_postgres);

    let indexes = "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%'";
    let of_sqlite: Vec<(String,)> = sqlx::query_as(indexes).fetch_all(&sqlite).await.unwrap();
    let indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' \
                   AND indexname NOT IN (SELECT conname FROM pg_constraint)";
    let of_postgres: Vec<(String,)> = sqlx::query_as(indexes).fetch_all(&postgres).await.unwrap();
    assert!(!of_sqlite.is_empty());
    assert_eq!(BTreeSet::from_iter(of_sqlite), BTreeSet::from_iter(of_postgres));
}

async fn sqlite_columns(pool: &SqlitePool) -> Vec<Column> {
    let sql = "SELECT tables.name, columns.name, columns.type, columns.\"notnull\" = 0 AND columns.pk = 0 \
               FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns \
               WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%' AND tables.name <> '_sqlx_migrations'";
    let rows: Vec<(String, String, String, bool)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    let rows = rows.into_iter().map(|(table, column, declared, nullable)| {
        let common = match declared.as_str() {
            "TEXT" => "text",
            "INTEGER" => "number",
            other => panic!("{table}.{column} is {other}"),
        };
        (table, column, common, nullable)
    });
    sorted(rows.collect())
}

async fn postgres_columns(pool: &PgPool) -> Vec<Column> {
    let sql = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' \
               FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'";
    let rows: Vec<(String, String, String, bool)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    let rows = rows.into_iter().map(|(table, column, declared, nullable)| {
        let common = match declared.as_str() {
            "text" => "text",
            // SQLite keeps booleans as 0 and 1.
            "bigint" | "boolean" => "number",
            other => panic!("{table}.{column} is {other}"),
        };
        (table, column, common, nullable)
    });
    sorted(rows.collect())
}

fn sorted(mut columns: Vec<Column>) -> Vec<Column> {
    columns.sort();
    columns
}
