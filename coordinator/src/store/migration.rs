//! The schema's steps, embedded, and their application.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use super::{engine::Db, error::StoreError, url::DatabaseUrl};

/// One step of the schema, in both dialects.
struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($version:literal, $file:literal) => {
        Step {
            version: $version,
            name: $file,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $file, ".sql")),
        }
    };
}

/// Every step ever released, oldest first. A released step is never edited: the next step corrects it.
const STEPS: &[Step] = &[
    step!(1, "0001_first"),
    step!(2, "0002_configuration_events"),
    step!(3, "0003_fleet_configuration"),
    step!(4, "0004_people_and_orders"),
    step!(5, "0005_fencing"),
    step!(6, "0006_order_ids"),
    step!(7, "0007_generations_end"),
];

/// Applies the steps that are missing.
pub(super) async fn migrate(db: &Db, url: &DatabaseUrl) -> Result<(), StoreError> {
    let done = match db {
        Db::Sqlite { write, .. } => {
            let migrator = migrator(|step| step.sqlite);
            // One transaction around all steps: two programs that open a new file at once do not meet half-way.
            match write.begin_with("BEGIN IMMEDIATE").await {
                Err(source) => Err(MigrateError::from(source)),
                Ok(mut transaction) => match migrator.run_direct(None, &mut *transaction, false).await {
                    Ok(()) => transaction.commit().await.map_err(MigrateError::from),
                    Err(error) => Err(error),
                },
            }
        }
        // Locks by itself.
        Db::Postgres(pool) => migrator(|step| step.postgres).run(pool).await,
    };
    done.map_err(|error| explain(error, url))
}

fn migrator(dialect: impl Fn(&Step) -> &'static str) -> Migrator {
    let steps = STEPS.iter().map(|step| {
        let sql = dialect(step).into_sql_str();
        Migration::new(step.version, step.name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(steps.collect())
}

fn explain(error: MigrateError, url: &DatabaseUrl) -> StoreError {
    let known = STEPS.last().map_or(0, |step| step.version);
    match error {
        MigrateError::VersionMissing(found) if found > known => {
            StoreError::Newer { url: url.clone(), found, known }
        }
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            StoreError::Edited { url: url.clone(), version }
        }
        source => StoreError::Migrate { url: url.clone(), source },
    }
}
