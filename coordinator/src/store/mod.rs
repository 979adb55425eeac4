//! The coordinator's memory: one text of SQL for SQLite and PostgreSQL.
//!
//! Every statement is written once, with `$1…$n`, explicit columns and instants that the caller binds; what the two
//! engines cannot share is in `dialect`. Each method is one statement or one transaction: it happened as a whole or not
//! at all, also when the caller stops waiting for it (a dropped transaction is rolled back before its connection is
//! used again). No task is spawned here.
//!
//! SQLite has one connection that writes, so that writers queue here instead of meeting `SQLITE_BUSY`, and several that
//! can only read. On PostgreSQL one pool does both; rows that two coordinators could meet on are locked by the
//! statement that reads them.
//!
//! All lists have a limit and say when it cut something off ([`Page`]).

#[macro_use]
mod engine;
#[macro_use]
mod row;

mod alert;
mod audit;
mod config;
mod dialect;
mod error;
mod event;
mod fence;
mod migration;
mod node;
mod order;
mod outbox;
mod sole;
mod token;
mod url;
mod user;

use std::path::Path;

pub use alert::{FindingFilter, FindingNumberRow, FindingRow};
pub use audit::{AuditFilter, AuditOutcome, AuditRow};
pub use config::{ApplyState, Begun, GenerationRow, NewGeneration, StepRow, StepState, hash};
pub use error::StoreError;
pub use event::{
    AppendOutcome, EventBatch, EventRow, GapRow, Happening, PruneOutcome, TransitionFilter, TransitionRow,
};
pub use fence::{FENCES_MAX, FenceCommit, FenceEntry, FenceFilter, FenceRow, FenceStandingRow};
pub use node::{NodeRow, SnapshotRow};
pub use order::{OPEN_ORDERS_MAX, OrderKind, OrderRow, OrderState};
pub use outbox::{NewOutbox, OutboxRow, OutboxStatus, OutboxSummary};
pub use sole::{Sole, SoleError};
pub use token::{NewToken, Spend, TokenRow};
pub use url::{DatabaseUrl, DatabaseUrlError};
pub use user::{AddUser, CredentialKind, CredentialRow, RevokeUser, Role, TokenBearer, UserRow};

use crate::sealing::Sealing;
use engine::Db;

/// The most rows one call returns, whatever limit was asked for.
pub const MAX_ROWS: u32 = 10_000;

/// The open database. Clones share the same connections.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    url: DatabaseUrl,
    /// What texts with secrets in them are sealed with; without it none is written.
    sealing: Option<Sealing>,
}

/// A list that was cut at a limit, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the order that the method names.
    pub rows: Vec<T>,
    /// More rows matched than the limit allowed.
    pub truncated: bool,
}

impl Store {
    /// Opens the database and brings its schema up to date. A SQLite file is made when it is missing, readable for its
    /// owner only; its directory must exist. A PostgreSQL database must exist.
    ///
    /// # Errors
    /// The database cannot be reached or is not one, its schema was written by a newer program or was changed by hand.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let db = dialect::connect(url).await?;
        let store = Self { db, url: url.clone(), sealing: None };
        if let Err(error) = migration::migrate(&store.db, url).await {
            store.close().await;
            return Err(error);
        }
        Ok(store)
    }

    /// The same store, with what secrets are sealed by.
    #[must_use]
    pub fn sealed_by(self, sealing: Sealing) -> Self {
        Self { sealing: Some(sealing), ..self }
    }

    /// Waits for what is running, writes SQLite's log back into its file, and closes every connection.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }

    /// Asks the database for one row, by the connection that writes.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let answer: sqlx::Result<(i64,)> =
            on_writer!(self, |db| sqlx::query_as("SELECT CAST(1 AS BIGINT)").fetch_one(db).await);
        answer.map(|_| ()).map_err(|source| StoreError::Read { what: "a first row".into(), source })
    }

    /// Writes a consistent copy of a SQLite database to a new file, readable for its owner only, while it is in use.
    /// The file is there whole or not at all.
    ///
    /// # Errors
    /// The file exists already or cannot be written; or the database is PostgreSQL, whose own tools make backups.
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        dialect::backup(&self.db, path).await
    }

    /// Where this database is, without its password.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }
}

impl<T> Page<T> {
    /// From rows that were asked for with one more than `limit`.
    fn cut(mut rows: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let truncated = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, truncated }
    }
}

/// Between 1 and [`MAX_ROWS`].
fn bounded(limit: u32) -> u32 {
    limit.clamp(1, MAX_ROWS)
}
