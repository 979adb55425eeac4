//! The two engines, and the macros that write one expression for both.

use sqlx::{PgPool, SqlitePool};

use super::error::StoreError;

/// The connections of one open database.
#[derive(Clone, Debug)]
pub(super) enum Db {
    /// One connection that writes; several that only read.
    Sqlite { write: SqlitePool, read: SqlitePool },
    /// One pool for both.
    Postgres(PgPool),
}

/// Evaluates one expression with the pool that reads: `on_reader!(self, |db| …fetch_all(db).await)`.
macro_rules! on_reader {
    ($store:expr, |$db:ident| $run:expr) => {
        match &$store.db {
            $crate::store::engine::Db::Sqlite { read: $db, .. } => $run,
            $crate::store::engine::Db::Postgres($db) => $run,
        }
    };
}

/// Evaluates one expression with the pool that writes; for a single statement, which is a transaction by itself.
macro_rules! on_writer {
    ($store:expr, |$db:ident| $run:expr) => {
        match &$store.db {
            $crate::store::engine::Db::Sqlite { write: $db, .. } => $run,
            $crate::store::engine::Db::Postgres($db) => $run,
        }
    };
}

/// Runs a block in one transaction: an `Ok` is committed, an `Err` leaves nothing behind. Inside, `?` takes
/// [`sqlx::Error`] and [`StoreError`] alike; the whole is a `Result<T, Abort>`.
macro_rules! in_transaction {
    ($store:expr, |$connection:ident| $run:block) => {
        match &$store.db {
            $crate::store::engine::Db::Sqlite { write, .. } => {
                // IMMEDIATE: another process that writes is waited for here, not in the middle.
                in_transaction!(@run write.begin_with("BEGIN IMMEDIATE"), $connection, $run)
            }
            $crate::store::engine::Db::Postgres(pool) => in_transaction!(@run pool.begin(), $connection, $run),
        }
    };
    (@run $begin:expr, $connection:ident, $run:block) => {
        match $begin.await {
            Err(source) => Err($crate::store::engine::Abort::Sql(source)),
            Ok(mut transaction) => {
                let done: Result<_, $crate::store::engine::Abort> = async {
                    let $connection = &mut *transaction;
                    $run
                }
                .await;
                match done {
                    Ok(value) => match transaction.commit().await {
                        Ok(()) => Ok(value),
                        Err(source) => Err($crate::store::engine::Abort::Sql(source)),
                    },
                    Err(abort) => {
                        // The transaction is void either way; what made it so is the error to tell.
                        let _ = transaction.rollback().await;
                        Err(abort)
                    }
                }
            }
        }
    };
}

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Abort {
    /// The database said no.
    Sql(sqlx::Error),
    /// The store said no.
    Refused(StoreError),
}

impl Abort {
    /// The error to tell: the store's own, or the database's under the name of what was attempted.
    pub(super) fn or(self, attempted: impl FnOnce(sqlx::Error) -> StoreError) -> StoreError {
        match self {
            Self::Sql(source) => attempted(source),
            Self::Refused(error) => error,
        }
    }
}

impl From<sqlx::Error> for Abort {
    fn from(source: sqlx::Error) -> Self {
        Self::Sql(source)
    }
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}
